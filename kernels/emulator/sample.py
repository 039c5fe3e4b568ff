"""Some blocks of a large grid that stand for all: which, for how many each, and how far off what they tell may be.

The grid is cut into cells, along all axes in turn; of each cell one block is run, for as many as the cell has. The first and the
last block, which often do what no other does, stand for themselves alone. Where costs grow linearly along an axis, as in a
triangle, neighbours are alike, and little is left to chance. How much that is, neighbours tell.

Where a few blocks show that a grid repeats itself, as where all heads of an attention have the same triangle, three of each kind
are enough: those that are a multiple of so many blocks apart, and did exactly as much.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

__all__ = ["SAMPLE", "TRUSTED", "Sample", "samples"]

SAMPLE = 64  # cells at first
TRUSTED = 0.05  # standard error, as a share: what blocks cost is known well enough
_MORE = 4  # times as many cells, where it is not
_KIND = 3  # blocks of each kind: two may do the same by chance
_PROBE = 16  # cells whose blocks may show that a grid repeats itself, after so many blocks at most

Place = tuple[int, ...]  # a block's place in the grid
Cell = Sequence[tuple[int, int]]  # from, to of each axis


@dataclasses.dataclass(frozen=True)
class Sample:
    """`blocks` by number, the first and the last at the ends and neighbours side by side; `weights`: for how many each stands.

    `known`: those that a smaller sample has, in the order that they are run in. `period`: after how many blocks the grid repeats
    itself, if it does.
    """

    blocks: tuple[int, ...]
    weights: tuple[int, ...]
    known: tuple[int, ...] = ()
    period: int = 0

    @property
    def order(self) -> tuple[int, ...]:
        """In which blocks are run: first those of smaller samples, so that no larger one runs them again."""
        seen = set(self.known)
        return *self.known, *(block for block in self.blocks if block not in seen)

    @staticmethod
    def of(grid: Sequence[int], cells: int, known: Sequence[int] = ()) -> Sample:
        """One block of each of so many cells, beside the first and the last; the same ones each time.

        Where a cell has blocks that are `known`, these: what a smaller sample has seen, a larger one sees.
        """
        chance = random.Random(math.prod(grid))
        ends = [tuple(0 for _ in grid), tuple(n - 1 for n in grid)]
        found = [(ends[0], 1)]
        every = {*ends, *(_place(number, grid) for number in known)}
        for cell, within in _cut([(0, n) for n in grid], cells, grid, sorted(every)):
            others = math.prod(high - low for low, high in cell) - sum(end in within for end in ends)
            chosen = [at for at in within if at not in ends]
            while others and not chosen:
                at = tuple(chance.randrange(low, high) for low, high in cell)
                chosen = [at] if at not in ends else []
            found += [(at, (others + i) // len(chosen)) for i, at in enumerate(chosen)]
        found.append((ends[1], 1))
        blocks = tuple(_number(at, grid) for at, _ in found)
        return Sample(blocks, tuple(weight for _, weight in found), tuple(known))

    def error(self, costs: Sequence[float]) -> float:
        """The standard error of the sum of all blocks' costs, as a share, by what these cost: neighbours differ by chance.

        What no block of the sample does is not in it.
        """
        if self.period:
            return 0.0  # else it would not be one
        total = sum(weight * cost for weight, cost in zip(self.weights, costs))
        inner, weights = costs[1:-1], self.weights[1:-1]
        steps = [(b - a) ** 2 / 2 for a, b in itertools.pairwise(inner)]
        of_each = [sum(them) / len(them) for i in range(len(inner)) if (them := steps[max(0, i - 1) : i + 1])]
        variance = sum(weight * (weight - 1) * each for weight, each in zip(weights, of_each))
        return math.sqrt(variance) / total if total else 0.0


def samples(grid: Sequence[int], run: Callable[[Sequence[int]], dict[int, float]]) -> Iterator[Sample]:
    """Larger and larger ones, each of less than all blocks, unless one that is not asked for more is enough.

    `run` runs blocks, but for those that it has run before, and returns what each of all that it has run costs.
    """
    number = math.prod(grid)
    order: tuple[int, ...] = ()
    if number > 2 * (_PROBE + 2):
        costs = run(Sample.of(grid, _PROBE).order)
        for period in range(2, _PROBE + 1):
            if number % period == 0 and number >= 4 * period and (found := _repeated(number, period, costs, run)):
                yield found
                break
        order = tuple(run(()))
    cells = SAMPLE
    while max(cells, len(order)) + 2 < number:
        sample = Sample.of(grid, cells, order)
        yield sample
        order = sample.order
        cells *= _MORE


def _repeated(
    number: int, period: int, costs: dict[int, float], run: Callable[[Sequence[int]], dict[int, float]]
) -> Sample | None:
    """Three blocks of each kind at least, if kinds differ and all blocks of a kind do the same; the ends are no one's kind."""
    if not _are_alike(number, period, costs):
        return None
    seen = Counter(n % period for n in costs if 0 < n < number - 1)
    wanted = [
        n
        for kind in range(period)
        for n in [n for n in _spread(range(kind, number, period), number) if n not in costs][
            : max(0, _KIND - seen[kind])
        ]
    ]
    costs = run(wanted)
    if not _are_alike(number, period, costs):
        return None
    weights = {0: 1, number - 1: 1}
    for kind in range(period):
        chosen = [n for n in costs if n % period == kind and n not in weights]
        others = number // period - sum(end % period == kind for end in (0, number - 1))
        weights |= {n: (others + i) // len(chosen) for i, n in enumerate(chosen)}
    blocks = sorted(weights)
    return Sample(tuple(blocks), tuple(weights[n] for n in blocks), tuple(costs), period)


def _are_alike(number: int, period: int, costs: dict[int, float]) -> bool:
    kinds = {(n % period, cost) for n, cost in costs.items() if 0 < n < number - 1}
    return len(kinds) == len({kind for kind, _ in kinds}) and len({cost for _, cost in kinds}) > 1


def _spread(kind: Sequence[int], number: int) -> list[int]:
    """Those of a kind that are no end, some that part it first."""
    inner = [n for n in kind if 0 < n < number - 1]
    first = [inner[len(inner) * k // _KIND] for k in range(_KIND)]
    return [*first, *(n for n in inner if n not in first)]


def _cut(cell: Cell, parts: int, grid: Sequence[int], known: Sequence[Place]) -> Iterator[tuple[Cell, Sequence[Place]]]:
    """Into so many parts of about the same size, not of no blocks, each with those known; neighbours side by side."""
    if parts == 1:
        yield cell, known
        return
    longer = [a for a, (low, high) in enumerate(cell) if high - low > 1]
    axis = max(longer, key=lambda a: (cell[a][1] - cell[a][0]) / grid[a])
    low, high = cell[axis]
    middle = (low + high) // 2
    share = round(parts * (middle - low) / (high - low))
    for n, a, b in ((share, low, middle), (parts - share, middle, high)):
        yield from _cut([*cell[:axis], (a, b), *cell[axis + 1 :]], n, grid, [at for at in known if a <= at[axis] < b])


def _number(at: Place, grid: Sequence[int]) -> int:
    number = 0
    for i, n in zip(reversed(at), reversed(grid)):
        number = number * n + i
    return number


def _place(number: int, grid: Sequence[int]) -> Place:
    found = []
    for n in grid:
        number, i = divmod(number, n)
        found.append(i)
    return tuple(found)
