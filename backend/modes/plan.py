"""Where in one piece of memory lies what a step makes.

What is made lives from the first call that touches it to the last. Pieces whose lives do not overlap share memory: the largest is
placed first, each as low as it fits. And what is made of something else, part by part, takes its very place, if each part of
that is read for the last time before, or by the call that computes the same elements.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..tape.sharing import reach
from .log import Call, Decision, Fork, Region, Root, assign

__all__ = ["extent", "flat", "needed_before", "plan", "touched", "uses_of"]

LINE = 64  # bytes: where a piece starts in a cache line is kept
WORTH = 1 << 14  # bytes of a piece that is worth looking for another's place
ELEMENTWISE = {assign, np.copyto, np.ndarray.clip, np.clip}


def touched(entry: Any) -> list[Region]:
    """The regions that an entry reads or writes."""
    if isinstance(entry, Decision):
        return [entry.region]
    if isinstance(entry, Fork):
        return [r for branch in entry.branches for e in branch for r in touched(e)]
    return [*entry.reads, *entry.writes, *(r for r in entry.results if r is not None)]


def needed_before(entry: Any) -> list[Region]:
    """The regions that an entry finds or leaves outside: of a fork, what several branches touch; what one has is its own."""
    if not isinstance(entry, Fork):
        return touched(entry)
    by_branch = [[r for e in branch for r in touched(e)] for branch in entry.branches]
    branches = Counter(key for regions in by_branch for key in {id(r.root) for r in regions})
    return [r for regions in by_branch for r in regions if branches[id(r.root)] > 1]


def written_by(entry: Any) -> list[Region]:
    """The regions that an entry writes."""
    if isinstance(entry, Decision):
        return []
    if isinstance(entry, Fork):
        return [r for branch in entry.branches for e in branch for r in written_by(e)]
    return [*entry.writes, *(r for r in entry.results if r is not None)]


def flat(entries: list[Any]) -> Iterable[Any]:
    """Calls and decisions, those in forks too."""
    for entry in entries:
        if isinstance(entry, Fork):
            for branch in entry.branches:
                yield from flat(branch)
        else:
            yield entry


def uses_of(entries: list[Any]) -> dict[int, tuple[set[Region], int, int, bool]]:
    """By root: its regions that are used, the first and the last entry that does, and whether one is a fork."""
    found: dict[int, Any] = {}
    for i, entry in enumerate(entries):
        for region in touched(entry):
            regions, first, _, is_forked = found.get(id(region.root), (set(), i, i, False))
            regions.add(region)
            found[id(region.root)] = regions, first, i, is_forked or isinstance(entry, Fork)
    return found


class _Access(NamedTuple):
    """What one call does to a root."""

    when: tuple[int, int, int]  # entry, branch of a fork, place in the branch
    start: int
    end: int
    region: Region
    call: Any

    def is_before(self, other: _Access) -> bool:
        """Whether it is over when the other begins: branches of a fork wait for nobody."""
        if self.when[0] != other.when[0]:
            return self.when[0] < other.when[0]
        return self.when[1] == other.when[1] and self.when[2] < other.when[2]

    def gives_way_to(self, other: _Access) -> bool:
        """Whether the other may be to the same memory: later, to another part, or the same elements in one call."""
        if self.is_before(other) or self.end <= other.start or other.end <= self.start:
            return True
        call = self.call
        if call is not other.call or not isinstance(call, Call) or self.region[1:4] != other.region[1:4]:
            return False
        is_elementwise = isinstance(call.function, np.ufunc) and call.function.signature is None
        return (is_elementwise or call.function in ELEMENTWISE) and other.region in (*call.writes, *call.results)


def _accesses(entries: list[Any]) -> dict[int, list[_Access]]:
    """What is done to each root, in order."""
    found: dict[int, list[_Access]] = {}
    for i, entry in enumerate(entries):
        branches = entry.branches if isinstance(entry, Fork) else [[entry]]
        for k, branch in enumerate(branches):
            for j, call in enumerate(branch):
                for region in touched(call):
                    start, end = extent(region)
                    found.setdefault(id(region.root), []).append(_Access((i, k, j), start, end, region, call))
    return found


def extent(region: Region) -> tuple[int, int]:
    """The first byte of a region within its root, and the one behind its last."""
    if not region.nbytes:
        return 0, 0
    return reach(region.offset, region.shape, region.strides, region.dtype.itemsize)


def _phase(regions: Iterable[Region]) -> int:
    """Where in a cache line a root is to start, so that the first of what is in it starts at one's beginning."""
    return -min(r.offset for r in regions) % LINE


def _groups(roots: list[Root], entries: list[Any], lasting: set[int]) -> list[list[Root]]:
    """Roots that lie in the very same place, each after the one before it."""
    accesses = _accesses(entries)
    groups: list[tuple[list[Root], list[_Access]]] = []
    by_size: dict[tuple[int, int], list[int]] = {}
    for root in sorted(roots, key=lambda r: accesses[id(r)][0].when):
        own = accesses[id(root)]
        key = root.nbytes, _phase([a.region for a in own])
        place = None
        if root.nbytes >= WORTH and root.content is None:
            for g in by_size.get(key, ()):
                members, before = groups[g]
                overlaps = before[-1].when[0] >= own[0].when[0] and id(members[-1]) not in lasting
                if overlaps and all(a.gives_way_to(b) for a in before if a.when[0] >= own[0].when[0] for b in own):
                    place = g
                    break
        if place is None:
            if root.content is None:
                by_size.setdefault(key, []).append(len(groups))
            groups.append(([root], list(own)))
        else:
            groups[place][0].append(root)
            groups[place] = groups[place][0], sorted([*groups[place][1], *own], key=lambda a: a.when)
    return [members for members, _ in groups]


def plan(roots: list[Root], entries: list[Any], uses: dict, lasting: set[int]) -> tuple[dict[int, int], int]:
    """Where in one piece of memory each root lies, and how long that is.

    What only one branch of a fork uses is planned within the fork: branches share nothing, the calls of each do.
    """
    within = {id(r): i for i, r in enumerate(roots)}
    offsets: dict[int, int] = {}
    blocks: list[_Block] = []
    inner: set[int] = set()
    for i, entry in enumerate(entries):
        for branch in entry.branches if isinstance(entry, Fork) else ():
            own = uses_of(branch)
            mine = [roots[within[k]] for k in own if k in within and uses[k][1] == uses[k][2] == i and k not in lasting]
            others = {id(r.root) for b in entry.branches if b is not branch for e in b for r in touched(e)}
            mine = [r for r in mine if id(r) not in others]
            if mine:
                parts, size = plan(mine, branch, own, set())
                inner.update(parts)
                blocks.append(_Block(size, 0, i, i, parts))
    outer = [r for r in roots if id(r) not in inner]
    found, total = _arranged([*blocks, *_blocks(_groups(outer, entries, lasting), uses, lasting, len(entries))])
    alone = _arranged([*blocks, *_blocks([[r] for r in outer], uses, lasting, len(entries))])
    found, total = min((found, total), alone, key=lambda f: f[1])
    for block, at in found:
        offsets |= {key: at + offset for key, offset in block.parts.items()}
    return offsets, total


class _Block(NamedTuple):
    """What is placed as one: its size, where in a cache line it starts, the first and the last entry that it lives at."""

    size: int
    phase: int
    first: int
    last: int
    parts: dict[int, int]  # where in it roots lie


def _blocks(groups: list[list[Root]], uses: dict, lasting: set[int], end: int) -> list[_Block]:
    """Each group as a block."""
    found = []
    for group in groups:
        first = min(uses[id(r)][1] for r in group)
        last = max(end if id(r) in lasting else uses[id(r)][2] for r in group)
        phase = _phase(uses[id(group[0])][0])
        found.append(_Block(group[0].nbytes, phase, first, last, {id(r): 0 for r in group}))
    return found


def _arranged(blocks: list[_Block]) -> tuple[list[tuple[_Block, int]], int]:
    """The best of some placements."""
    least = max((sum(b.size for b in blocks if b.first <= i <= b.last) for i in {b.first for b in blocks}), default=0)
    best = _placed(sorted(blocks, key=ORDERS[0]))
    for order in ORDERS[1:]:
        if best[1] > 1.02 * least:
            best = min(best, _placed(sorted(blocks, key=order)), key=lambda f: f[1])
    return best


# In which order blocks are placed: by size, by size and life together, by life, as they come, as they go.
ORDERS: tuple[Callable[[_Block], Any], ...] = (
    lambda b: -b.size,
    lambda b: -b.size * (b.last - b.first + 1),
    lambda b: (b.first - b.last, -b.size),
    lambda b: (b.first, -b.size),
    lambda b: (-b.last, -b.size),
)


def _placed(blocks: list[_Block]) -> tuple[list[tuple[_Block, int]], int]:
    """Each block as low as it fits beside those before it whose lives it meets, and how long all of that is."""
    total, placed, found = 0, list[tuple[int, int, int, int]](), []
    for block in blocks:
        at = block.phase
        for start, end, first, last in placed:  # in the order of where they start
            if first <= block.last and block.first <= last and start < at + block.size and at < end:
                at = -(-(end - block.phase) // LINE) * LINE + block.phase
        insort(placed, (at, at + max(block.size, 1), block.first, block.last))
        total = max(total, at + block.size)
        found.append((block, at))
    return found, total
