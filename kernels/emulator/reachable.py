"""Which blocks of a kernel's machine code warps may have come to, by what the emulator saw of its source.

Where the compiler put a slow path that it hopes never to take, there is a way around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..toolchain.machine_code import Instruction
from .control_flow import Blocks, calls, reached
from .counters import Launch
from .requests import key_of

__all__ = ["reachable"]

MOVED = 0.1  # of a block's instructions: so many belong elsewhere, as compilers move what can do no harm


def reachable(blocks: Blocks, launch: Launch) -> set[int]:
    """All but slow paths, blocks of which more than MOVED is code of lines that no warp came to, and what only these lead to.

    A way must be left to the end, and to all that was asked for, of each kind as well as of each line.
    """
    shares = {n: sum(i.place in launch.never for i in block) / len(block) for n, block in blocks.items()}
    shares |= {n: 1 + shares[n] for n, block in blocks.items() if _is_slow(blocks, block)}  # these first
    asked: set[Any] = {((c.file, c.line), (c.space, c.how)) for c in launch.counts}
    asked |= {(None, kind) for _, kind in asked}
    asking = {
        n: {k for i in block for k in (key_of(i), (None, key_of(i)[1])) if k in asked} for n, block in blocks.items()
    }
    left = reached(blocks)
    wanted = set().union(*(asking[n] for n in left))
    never: set[int] = set()
    most = {n: 0.5 if any(place for place, _ in asking[n]) else MOVED for n in left}
    for number in sorted((n for n in left if shares[n] > most[n]), key=lambda n: -shares[n]):
        still = reached(blocks, never | {number})
        if still and wanted == set().union(*(asking[n] for n in still)):
            never.add(number)
            left = still
    return left


def _is_slow(blocks: Blocks, block: Sequence[Instruction]) -> bool:
    """Whether the compiler hopes not to come here: a call of what no source has, threads that diverged before a shuffle, sines.

    Of angles beyond 10⁵ sine, cosine and tangent take the remainder of the quarter turn in 64 bits of an integer.
    """
    is_call = block[-1].opcode.startswith("CALL")
    is_own = calls(block) in blocks and not blocks[calls(block)][0].is_internal
    is_remainder = {"I2F.F64.S64", "DMUL", "F2F.F32.F64"} <= {i.opcode for i in block}
    return (is_call and not is_own) or is_remainder or any("COLLECTIVE" in i.opcode for i in block)
