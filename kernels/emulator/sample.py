"""Some blocks of a large grid that stand for all: which, for how many each, and how far off what they tell may be.

The grid is cut into cells, along all axes in turn; of each cell one block is run, for as many as the cell has. The first and the
last block, which often do what no other does, stand for themselves alone. Where costs grow linearly along an axis, as in a
triangle, neighbours are alike, and little is left to chance. How much that is, neighbours tell.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Iterator, Sequence

__all__ = ["SAMPLE", "TRUSTED", "Sample", "samples"]

SAMPLE = 64  # cells at first
TRUSTED = 0.05  # standard error, as a share: what blocks cost is known well enough
_MORE = 4  # times as many cells, where it is not

Place = tuple[int, ...]  # a block's place in the grid
Cell = Sequence[tuple[int, int]]  # from, to of each axis


@dataclasses.dataclass(frozen=True)
class Sample:
    """`blocks` by number, the first and the last at the ends and neighbours side by side; `weights`: for how many each stands.

    `known`: those that a smaller sample has, in the order that they are run in.
    """

    blocks: tuple[int, ...]
    weights: tuple[int, ...]
    known: tuple[int, ...] = ()

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
        total = sum(weight * cost for weight, cost in zip(self.weights, costs))
        inner, weights = costs[1:-1], self.weights[1:-1]
        steps = [(b - a) ** 2 / 2 for a, b in itertools.pairwise(inner)]
        of_each = [sum(them) / len(them) for i in range(len(inner)) if (them := steps[max(0, i - 1) : i + 1])]
        variance = sum(weight * (weight - 1) * each for weight, each in zip(weights, of_each))
        return math.sqrt(variance) / total if total else 0.0


def samples(grid: Sequence[int]) -> Iterator[Sample]:
    """Larger and larger ones, each of less than all blocks."""
    cells, sample = SAMPLE, Sample((), ())
    while cells + 2 < math.prod(grid):
        sample = Sample.of(grid, cells, sample.order)
        yield sample
        cells *= _MORE


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
