"""How often warps run each part of a kernel's machine code: what the emulator counted of the source, carried over.

A line of the source may have many copies in the machine code, as loops are unrolled, and moved code, merged loads and wrong lines
besides. So it takes three steps:

    1. never, where there is a way around: where the compiler put a slow path that it hopes never to take (a call of what no source
       has, as of a division's; threads that diverge at a shuffle; sines of large angles), code of lines that no warp came to, but
       for a few instructions that were moved elsewhere, and what only these lead to (reachable.py)
    2. each block is estimated by its own loads, stores and lines (estimates.py, shares.py, ways.py)
    3. of all numbers that control flow allows those are taken that are nearest to the requests that were counted, of each line and
       of all lines together, and then to the estimates (balance.py, network.py, deviations.py): what comes to a block leaves it, a
       function begins as often as it is called, and stores are made as often as they were asked for

These are estimates: exact for straight code, and for most loops whose turns are the same for all warps. What threads do under a
predicate, of which some may have none, is between nothing and all; and loads that the compiler merged are fewer than were counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ..toolchain.machine_code import Instruction
from .balance import Estimate, balanced
from .control_flow import Flow, callers_first, calls
from .counters import Launch
from .estimates import Estimates
from .reachable import reachable
from .requests import asked_of, by_calls, free_loops, worked_of

__all__ = ["executions"]


def executions(code: Sequence[Instruction], launch: Launch) -> dict[int, float]:
    """How many times warps run each basic block, by its number."""
    every = callers_first(code)
    left = reachable(every, launch)
    blocks = {number: block for number, block in every.items() if number in left}
    times: dict[int, float] = dict.fromkeys(every, 0.0)
    first = next(iter(every))
    begun = defaultdict(float, {first: float(math.prod(launch.grid) * -(-math.prod(launch.block) // 32))})
    called = {calls(block) for block in blocks.values()}
    begins = [
        n
        for n, previous in zip(blocks, [[], *blocks.values()])
        if not previous or previous[0].function != blocks[n][0].function
    ]
    flows = {n: Flow.of(blocks, n) for n in begins if n == first or n in called}
    around = {n: flow.around(n) for flow in flows.values() for n in flow.order}
    asked = asked_of(blocks, launch)
    by_call = [each for part in asked for each in by_calls(part, launch, around)]
    free = free_loops(blocks, flows)
    worked = worked_of(blocks, launch, around, free)
    estimates: dict[int, Estimate] = {}
    for number, flow in flows.items():
        estimates |= Estimates(blocks, launch, by_call, worked, free, flow, times).run(begun[number])
        for n in flow.order:
            begun[calls(blocks[n])] += times[n]
    return times | balanced(blocks, flows, launch, asked, estimates, begun[first])
