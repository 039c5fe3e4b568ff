"""How often warps run each part of a kernel's machine code: what the emulator counted of the source, carried over.

A line of the source may have many copies in the machine code, as loops are unrolled. So each basic block is taken for itself:

    1. where the compiler put a slow path that it hopes never to take (a call of what no source has, as of a division's; threads
       that diverge at a shuffle; sines of large angles), and where there is code of lines that no warp came to (but for a few
       instructions that were moved elsewhere), and what only these lead to: never, where there is a way around it
    2. where it has loads or stores: their requests, which the counters know, over the copies of those instructions
    3. the head of a loop: as often as what each turn asks for; where that is divided with loops within it, as warps come to the
       line that decides whether there is another turn, if it is no other loop's, too; or else what any block asks for; of one
       without loads and stores that all threads do, its arithmetic, that of integers where there is no other, as warps come to
       its lines; or as they come to all its lines
    4. where control passes nothing but a block ahead that has loads or stores: as that; where all ways lead to copies that have
       nothing to do, and where there are fewer turns than the smallest of the copies behind makes: never
    5. else: as often as warps come to its lines, but no more often than control comes from elsewhere

Copies: accesses of the width that was asked for; of those that are inlined by several calls each call's share, by its lines; of
those of an unrolled loop by the way through all of them that makes as many turns of the largest as go into what is asked for
each time, and the rest with the smaller (shares.py, ways.py).
What enters a loop leaves it; what branches meets again at last; a function begins as often as it is called.

These are estimates: exact for straight code, and for most loops whose turns are the same for all warps. Where the compiler gives
the head of an outer loop to a line of an inner one, it counts for each turn of that (of
`im2col<float>` on sm_100: 2.5 times its stores).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from ..toolchain.machine_code import Instruction
from ..toolchain.sources import Place
from .control_flow import Blocks, Flow, callers_first, calls
from .counters import Launch
from .reachable import reachable
from .requests import Part, accesses, asked_of, free_loops, key_of, width_of, worked_of
from .shares import Shares

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
    asked = asked_of(blocks, launch, around)
    free = free_loops(blocks, flows)
    worked = worked_of(blocks, launch, around, free)
    for number, flow in flows.items():
        _Function(blocks, launch, asked, worked, free, flow, times).run(begun[number])
        for n in flow.order:
            begun[calls(blocks[n])] += times[n]
    return times


class _Function(Shares):
    """The blocks of one function, each taken when what leads to it is known."""

    def __init__(
        self,
        blocks: Blocks,
        launch: Launch,
        asked: Sequence[Part],
        worked: dict[tuple[Place, int], list[Part]],
        free: set[int],
        flow: Flow,
        times: dict[int, float],
    ):
        super().__init__(blocks, launch, worked, flow, times)
        self.free = free
        self.entries: dict[int, float] = {}  # of loops, by their heads
        self.asking: dict[int, list[tuple[Instruction, Part]]] = defaultdict(list)
        for part in asked:
            for copy in part.copies:
                self.asking[copy.block].append((copy.instruction, part))

    def run(self, begun: float) -> None:
        """Fill in `times`; it is called so often."""
        for number in self.flow.order:
            self.now, self.come = number, self._come(number, begun)
            if number in self.flow.loops:
                self.times[number] = self._turns(number)
            else:
                self.times[number] = self._once(number) if number in self.flow.dominator else begun

    def _come(self, number: int, begun: float) -> float:
        ways = [n for n in self.flow.before[number] if not self.flow.dominates(number, n)]
        if not ways:
            return begun
        return min(sum(self._leave(n, number) for n in ways), self._leave(self.flow.dominator[number], number))

    def _leave(self, one: int, other: int) -> float:
        """How often control leaves a block for another, at most: a loop is left as often as it is entered."""
        return next(
            (self.entries[h] for h in reversed(self.around[one]) if h not in self.around[other]),
            self.times.get(one, 0.0),
        )

    def _turns(self, head: int) -> float:
        """Of a loop: as its loads and stores are asked for, or else as warps come to its lines."""
        level = [n for n in self.flow.order if self.around[n][:1] == [head]]
        by_block = {n: max(them) if n == head else _middle(them) for n in level if (them := self._asked_by_all(n))}
        latch = self._latch(head)
        sure = [
            times
            for n, times in by_block.items()
            if times >= self.come
            and self.flow.passes(n, head)
            and (latch is None or n == head or not self._is_split(n, head))
        ]
        some = [each for n in level if (each := self._asked_by_some(n)) is not None]
        if latch is not None and not sure and any(self._is_split(n, head) for n in level):
            sure = [latch]
        found = sure or [*by_block.values(), *some]  # not all that other blocks ask for is known to be theirs
        lines = [t for n in level for t in self._lines(n) if t >= self.come]
        worked = self._turns_of_work(level) if head in self.free else None
        if worked is not None:
            found.append(worked if self._is_plain(head) else min([worked, *lines]))
        turns = max(found) if found else min(lines, default=self.come)
        silent = [self._is_silent(n) for n in self.flow.loops[head] if accesses(self.blocks[n])]
        turns = 0.0 if silent and all(silent) else turns
        self.entries[head] = min(self.come, turns)
        return turns

    def _is_split(self, number: int, head: int) -> bool:
        """Whether other blocks of a loop have copies, too, of what a block asks for: how often each does is not known yet."""
        within = self.flow.loops[head] - {number}
        return any(copy.block in within for _, part in self.asking[number] for copy in part.copies)

    def _latch(self, head: int) -> float | None:
        """How often warps come to the line that decides whether there is another turn, where that is no other loop's line, too."""
        own = self._deciding(head)
        if len(own) != 1 or any(own & self._deciding(other) for other in self.flow.loops if other != head):
            return None
        turns = float(self.trips.get(next(iter(own)), 0))
        return turns if turns >= self.come else None

    def _deciding(self, head: int) -> set[Place]:
        return {
            self.blocks[n][-1].lines[0]
            for n in self.flow.before[head] & self.flow.loops[head]
            if self.blocks[n][-1].lines
        }

    def _is_plain(self, head: int) -> bool:
        """Whether each instruction of arithmetic of a loop's lines is there once, so that no turns were unrolled.

        And nothing that is another loop's: none is within it, and nothing is loaded or stored.
        """
        numbers = self.flow.loops[head]
        if any(self.around[n][0] != head or any(key_of(i)[1] is not None for i in self.blocks[n]) for n in numbers):
            return False
        lines = {(i.lines[0], n) for n in numbers for i in self.blocks[n] if i.lines}
        return all(len(part.copies) == 1 for line in lines for part in self.worked.get(line, ()))

    def _turns_of_work(self, numbers: list[int]) -> float | None:
        """How often the middle one of the instructions of arithmetic runs, of lines that loops without accesses have.

        A line's opcodes vote: some are merged, or needed once for several turns.
        """
        found: list[tuple[float, float]] = []
        for number in numbers:
            for place in {i.lines[0] for i in self.blocks[number] if i.lines}:
                votes: Counter[tuple[float, float]] = Counter()
                many = 0
                for part in self.worked.get((place, number), ()):
                    own = [copy.part for copy in part.copies if copy.block == number]
                    votes[sum(own), self.share(part, number)] += 1
                    many += len(own)
                if votes:
                    _, times = max(votes, key=lambda vote: (votes[vote], vote[0]))
                    found += [(float(self.trips[place]), times)] * many
        often = [times for trips, times in found if trips >= self.come]
        return _middle(often or [times for _, times in found]) if found else None

    def _once(self, number: int) -> float:
        found = self._asked_by_all(number)
        before = self.flow.dominator.get(number)
        passed = self._leave(before, number) if before is not None and self.flow.passes(number, before) else None
        if found:  # where these do not agree, what control brings may tell
            return passed if passed is not None and min(found) <= passed <= max(found) else _middle(found)
        if passed is not None:
            return passed
        if self._is_silent(number) or self._leads_nowhere(number) or self._is_jumped_over(number):
            return 0.0
        ahead = self._ahead(number)
        if ahead is not None:
            return min(self.come, ahead)
        some = self._asked_by_some(number)
        if some is not None:
            return min(self.come, some)
        worked = self._turns_of_work([number])
        lines = [worked] if worked is not None else self._lines(number)
        return min(self.come, _middle(lines)) if lines else self.come

    def _ahead(self, number: int) -> float | None:
        """What is asked for where all that comes here comes to, too, and nothing else."""
        for n in self.flow.order[self.flow.order.index(number) + 1 :]:
            if self.around[n] == self.around[number] and self.flow.dominates(number, n) and self.flow.passes(n, number):
                found = self._asked_by_all(n)
                if found:
                    return _middle(found)
        return None

    def _leads_nowhere(self, number: int) -> bool:
        """Whether all that comes here comes to loads or stores, or to a loop of them, that nobody does."""
        for n in self.flow.order[self.flow.order.index(number) + 1 :]:
            around = self.around[n][1:] if n in self.flow.loops else self.around[n]
            if around == self.around[number] and self.flow.passes(n, number):
                within = self.flow.loops.get(n, {n})
                found = [times for m in within for times in self._asked_by_all(m)]
                if found and max(found) < 1e-6:
                    return True
        return False

    def _is_jumped_over(self, number: int) -> bool:
        """Whether it belongs to an unrolled loop of too few turns: only what is left by the smallest copies behind it is done.

        That is other blocks', which all together make fewer turns than such a copy.
        """
        loops = self.around[number]
        scope = self.flow.loops[loops[0]] if loops else set(self.flow.order)
        behind = {n for n in scope if self.flow.dominates(number, n)}
        parts = {id(part): part for n in behind for i, part in self.asking[n] if not i.is_conditional}
        for part in parts.values():
            sizes: dict[int, float] = defaultdict(float)
            for copy in part.copies:
                sizes[copy.block] += copy.part
            rest = sizes.keys() - behind
            is_left = all(self.around.get(n) == loops for n in rest)
            if (
                len(sizes) > len(rest) > 0
                and is_left
                and sum(sizes[n] for n in rest) < min(sizes[n] for n in sizes if n in behind)
            ):
                lines = {i.lines[0] for n in sizes for i in self.blocks[n] if i.lines}
                own = {i.lines[0] for i in self.blocks[number] if i.lines}
                if own <= lines and all(self.share(part, n) < 1e-6 for n in sizes if n in behind):
                    return True
        return False

    def _lines(self, number: int) -> list[float]:
        return [float(self.trips[i.lines[0]]) for i in self.blocks[number] if i.lines and i.lines[0] in self.trips]

    def _asked_by_all(self, number: int) -> list[float]:
        """By each kind and width of loads and stores that all threads do; none, where the counters have not seen most of them."""
        if self._is_silent(number):
            return []
        asking = [(i, part) for i, part in self.asking[number] if not i.is_conditional]
        return _evened([(i, self.share(part, number)) for i, part in asking if not self._is_partial(part, asking)])

    def _is_partial(self, part: Part, asking: list[tuple[Instruction, Part]]) -> bool:
        """Whether some copies of a part were given another line: a second one, asked for as often, has them in other loops, too."""
        own = {copy.block for copy in part.copies}
        for _, other in asking:
            every = {copy.block for copy in other.copies}
            if other.requests == part.requests and own < every and all(self.around.get(n) for n in every):
                return True
        return False

    def _is_silent(self, number: int) -> bool:
        counted = sum(not i.is_conditional for i, _ in self.asking[number])
        return 2 * counted < accesses(self.blocks[number])

    def _asked_by_some(self, number: int) -> float | None:
        """By loads and stores that some threads do: the most of them."""
        return max((self.share(part, number) for i, part in self.asking[number] if i.is_conditional), default=None)


def _middle(values: list[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def _evened(times: list[tuple[Instruction, float]]) -> list[float]:
    """By kind and width, as the compiler gives some accesses of a block the line of another, but each line's requests."""
    alike = defaultdict(list)
    for instruction, each in times:
        alike[key_of(instruction)[1], width_of(instruction)].append(each)
    return [sum(them) / len(them) for them in alike.values()]
