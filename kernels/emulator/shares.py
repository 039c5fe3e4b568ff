"""How often each copy of an access runs, of what is asked for by all copies together: those of unrolled loops, above all.

By the way through all of them that makes as many turns of the largest as may be (ways.py), where it is known how often control
comes to it; or, where there is no such way or no loop, first what is on every way, and the rest by size.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from fractions import Fraction

from ..toolchain.sources import Place
from .control_flow import Blocks, Flow
from .counters import Launch
from .requests import Part, key_of
from .ways import Node, way

__all__ = ["Shares"]


class Shares:
    """The copies in one function. Of its blocks `times` has those before block `now`, to which control comes `come` times."""

    now: int
    come: float

    def __init__(
        self,
        blocks: Blocks,
        launch: Launch,
        worked: dict[tuple[Place, int], list[Part]],
        flow: Flow,
        times: dict[int, float],
    ):
        self.blocks, self.flow, self.times, self.trips, self.worked = blocks, flow, times, launch.trips, worked
        self.around = {n: flow.around(n) for n in flow.order}
        self.ways: dict[tuple[float, ...], dict[int, float] | None] = {}

    def share(self, part: Part, number: int) -> float:
        """How often a copy in a block runs."""
        whole = sum(copy.part for copy in part.copies)
        numbers = {copy.block for copy in part.copies}
        if any(n not in self.around for n in numbers):  # in other functions, too
            return part.requests / whole
        common = [h for h in self.around[number] if all(h in self.around[n] for n in numbers)]
        region = {n: next((h for h in reversed(self.around[n]) if h not in common), n) for n in numbers}
        sizes: dict[int, float] = defaultdict(float)
        for copy in part.copies:
            sizes[region[copy.block]] += copy.part
        loops = {region[n] for n in numbers if region[n] in self.around[n] and region[n] not in common}
        if len(sizes) == 1:
            return part.requests / whole
        before = functools.reduce(self.flow.common_dominator, sizes)
        times = self.come if before == self.now else self.times[before]
        if not times:
            return part.requests / whole
        if region[number] in (bare := self._bare(loops, part.requests)):
            return 0.0
        sizes, loops = {n: size for n, size in sizes.items() if n not in bare}, loops - bare
        if len(sizes) == 1:
            return part.requests / sum(sizes.values())
        turns = self._way(part, common[:1], before, part.requests / times, bare) if loops else None
        if turns is None:
            turns = self._turns_of(part.requests / times, sizes, loops, before)
        return turns[region[number]] * times

    def _way(
        self, part: Part, common: list[int], before: int, requests: float, bare: set[int]
    ) -> dict[int, float] | None:
        """How often the loops and blocks in loop `common` run that have copies, of so many requests after block `before`."""
        key = id(part), *common, before, requests
        if key not in self.ways:
            outer = next(iter(common), None)
            scope = self.flow.loops[outer] if outer is not None else set(self.flow.order)
            region = {}
            for n in self.flow.order:
                if n in scope:
                    loops = self.around[n][: self.around[n].index(outer)] if outer is not None else self.around[n]
                    region[n] = loops[-1] if loops else n
            nodes = {n: self._node(part, n, region, outer) for n in dict.fromkeys(region.values()) if n not in bare}
            self.ways[key] = way(nodes, region[before], requests)
        return self.ways[key]

    def _node(self, part: Part, number: int, region: dict[int, int], outer: int | None) -> Node:
        within = {n for n, head in region.items() if head == number}
        is_loop = number in self.flow.loops and number != outer
        size, optional = Fraction(0), []
        for copy in part.copies:
            if copy.block in within:
                each = Fraction(copy.part).limit_denominator(64)
                if copy.instruction.is_conditional and key_of(copy.instruction)[1] is not None and not is_loop:
                    optional.append(each)
                else:
                    size += each
        ways = [
            region[n] for w in within for n in self.flow.before[w] if n in region and n not in within and w != outer
        ]
        after = {n for n in self.flow.order if within & self.flow.before[n]}
        is_end = bool(within & self.flow.ends) or any(n not in region or n == outer for n in after)
        return Node(sorted(set(ways)), size, optional, is_loop and size > 0, is_end)

    def _bare(self, loops: set[int], requests: float) -> set[int]:
        """Loops that lack the inner loop of another, whose line warps come to as often: versions for when it has no turns."""
        inner: set[Place] = set()
        for head in loops:
            within = (n for n in self.flow.loops[head] if self.around[n][0] != head)
            inner |= {place for n in within for place in self._places(n) if self.trips.get(place, 0) >= requests}
        return {
            head
            for head in loops
            if inner and inner.isdisjoint(p for n in self.flow.loops[head] for p in self._places(n))
        }

    def _places(self, number: int) -> set[Place]:
        """Of what a turn needs anew: accesses, and in loops without these arithmetic."""
        accesses = {i.place for i in self.blocks[number] if key_of(i)[1] is not None}
        return accesses | {i.lines[0] for i in self.blocks[number] if i.lines and (i.lines[0], number) in self.worked}

    def _turns_of(self, left: float, sizes: dict[int, float], loops: set[int], before: int) -> dict[int, float]:
        """How often each loop and each block besides run, of `left` requests that are made after block `before`.

        What is on every way runs once; then as many turns of the largest loop as may be, and so on; the rest is other blocks'.
        """
        even = left / sum(sizes.values())
        turns = {n: min(1.0, left / sizes[n]) if self.flow.passes(n, before) else 0.0 for n in sizes}
        left -= sum(turns[n] * sizes[n] for n in sizes)
        for size in sorted({sizes[n] for n in loops}, reverse=True):
            alike = [n for n in loops if sizes[n] == size]
            more = max(0, math.floor(left / size + 1e-6))
            turns |= {n: turns[n] + more / len(alike) for n in alike}
            left -= more * size
        room = sum((1 - turns[n]) * sizes[n] for n in sizes.keys() - loops)
        if room > 0:
            share = min(1.0, max(0.0, left / room))
            turns |= {n: turns[n] + share * (1 - turns[n]) for n in sizes.keys() - loops}
            left -= share * room
        if loops:
            least = min(loops, key=lambda n: (sizes[n], n))
            turns[least] += max(0.0, left / sizes[least])
        return turns if left > -1e-6 and (loops or left < 1e-6) else dict.fromkeys(sizes, even)
