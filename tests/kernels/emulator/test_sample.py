"""What some blocks tell of all, against sums by hand of grids whose blocks differ."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.kernels import emulator
from weft.kernels.emulator import counters, counts
from weft.kernels.emulator.sample import SAMPLE, TRUSTED, Sample, samples
from weft.kernels.toolchain import launch

GRIDS = Path(__file__).parents[1] / "grids.cu"
NAMES = ("one_does_all", "causal", "causal_by_remainder", "last_adds_up", "in_order", "counts_blocks")
KERNELS = {name: launch.Kernel(GRIDS, name) for name in NAMES}


def unravelled(number, grid):
    """Where a block lies: x counts fastest."""
    return tuple(int(i) for i in np.unravel_index(number, tuple(reversed(grid))))[::-1]


class Blocks:
    """Blocks that cost as much as a function of their number says."""

    def __init__(self, cost):
        self.cost, self.costs = cost, {}

    def __call__(self, wanted):
        self.costs |= {n: self.cost(n) for n in wanted if n not in self.costs}
        return dict(self.costs)


class TestSample:
    @pytest.mark.parametrize(
        "grid", [(67, 1, 1), (1000, 1, 1), (3, 3, 9), (8, 12, 4), (128, 16, 1), (2, 2, 5000), (1, 1, 70)]
    )
    @pytest.mark.parametrize("cells", [SAMPLE, 4 * SAMPLE])
    def test_all_blocks_are_stood_for(self, grid, cells):
        count = math.prod(grid)
        if cells + 2 >= count:
            assert cells not in [len(each.blocks) for each in samples(grid, Blocks(lambda n: 1.0))]
            return
        found = Sample.of(grid, cells)
        assert len(set(found.blocks)) == len(found.blocks) in (cells, cells + 1, cells + 2)
        assert sum(found.weights) == count
        assert (found.blocks[0], found.weights[0], found.blocks[-1], found.weights[-1]) == (0, 1, count - 1, 1)
        assert max(found.weights) <= 2 * count / cells
        assert all(0 <= block < count for block in found.blocks)

    def test_short_axes_are_covered_whole(self):
        """Of 2 × 2 × 5000 blocks 16 cells lie at each (x, y)."""
        found = Sample.of((2, 2, 5000), SAMPLE)
        assert Counter(unravelled(n, (2, 2, 5000))[:2] for n in found.blocks[1:-1]) == {
            (x, y): 16 for x in (0, 1) for y in (0, 1)
        }

    @pytest.mark.parametrize("axis", range(3))
    def test_what_grows_along_an_axis(self, axis):
        grid = (32, 48, 16)
        found = Sample.of(grid, SAMPLE)
        costs = [unravelled(n, grid)[axis] + 1 for n in found.blocks]
        exact = (grid[axis] + 1) / 2 * math.prod(grid)
        assert sum(w * c for w, c in zip(found.weights, costs)) == pytest.approx(exact, rel=0.05)

    def test_no_error_where_all_cost_the_same(self):
        found = Sample.of((7, 30, 5), SAMPLE)
        assert found.error([3.0] * len(found.blocks)) == 0
        assert found.error([0.0] * len(found.blocks)) == 0

    def test_error_by_hand(self):
        """Three blocks for ten each, that cost 1, 3 and 5, and ends of 2 and 4: steps of 2, whose squares halved are 2."""
        found = Sample((0, 5, 15, 25, 31), (1, 10, 10, 10, 1))
        assert found.error([2, 1, 3, 5, 4]) == pytest.approx(math.sqrt(3 * 10 * 9 * 2) / (2 + 90 + 4))

    def test_the_error_is_the_one_that_is_made(self):
        """Costs that chance decides, of 500 grids."""
        grid = (64, 32, 1)
        found = Sample.of(grid, SAMPLE)
        made, told = [], []
        for seed in range(500):
            costs = np.random.default_rng(seed).exponential(size=math.prod(grid))
            seen = costs[list(found.blocks)]
            made.append((seen @ found.weights / costs.sum() - 1) ** 2)
            told.append(found.error(seen.tolist()))
        assert np.mean(told) == pytest.approx(np.sqrt(np.mean(made)), rel=0.1)

    def test_samples_grow(self):
        """And see all that was seen before."""
        few, more, most = samples((2000, 1, 1), Blocks(lambda n: 1.0))
        assert (len(few.blocks), len(more.blocks)) == (66, 258)
        assert 1024 < len(most.blocks) < 1100
        assert set(few.blocks) < set(more.blocks) < set(most.blocks)
        assert {sum(each.weights) for each in (few, more, most)} == {2000}
        assert more.order[: len(few.blocks)] == few.order
        assert most.order[: len(more.blocks)] == more.order
        assert sorted(most.order) == sorted(most.blocks)
        assert list(samples((66, 1, 1), Blocks(lambda n: 1.0))) == []


class TestRepeated:
    @pytest.mark.parametrize(("period", "number"), [(2, 200), (8, 96), (8, 192), (16, 192), (12, 48)])
    def test_three_blocks_of_each_kind(self, period, number):
        """A triangle for each head: all that they cost is known, from a part of them. The ends may cost what they will."""
        cost = lambda n: 1000.0 * (n in (0, number - 1)) + 1 + n % period
        blocks = Blocks(cost)
        found = next(samples((number, 1, 1), blocks))
        assert found.period == period
        assert set(found.blocks) == set(blocks.costs)
        assert min(Counter(n % period for n in found.blocks if 0 < n < number - 1).values()) >= 3
        assert len(found.blocks) <= 18 + 3 * period
        assert sum(w * cost(n) for n, w in zip(found.blocks, found.weights)) == sum(map(cost, range(number)))
        assert found.error([cost(n) for n in found.blocks]) == 0

    def test_two_of_each_kind_would_not_do(self):
        """Of 74 triangles of 24 blocks those seen would look like 148 of 12, which are 14 % less."""
        for number, period in itertools.product(range(48, 24 * 80, 24), (8, 12, 16, 24)):
            blocks = Blocks(lambda n, period=period: 10.0 + n % period)
            for found in itertools.islice(samples((number, 1, 1), blocks), 1):
                total = sum(w * blocks.costs[n] for n, w in zip(found.blocks, found.weights) if found.period)
                assert total in (0, sum(10.0 + n % period for n in range(number))), (number, period, found.period)

    def test_one_that_is_not_alike(self):
        """Then there are samples as of any grid, and none of what was seen is lost."""
        blocks = Blocks(lambda n: 1.0 + n % 8 + 0.5 * (n > 1000))
        found = list(samples((2048, 1, 1), blocks))
        assert all(each.period == 0 for each in found)
        assert set(blocks.costs) < set(found[0].blocks)

    def test_all_alike_is_no_pattern(self):
        """What one block in fifty may do is worth a larger sample."""
        few, *_ = samples((2048, 1, 1), Blocks(lambda n: 1.0))
        assert (few.period, len(few.blocks)) == (0, SAMPLE + 2)


def sampled(name, grid, *args):
    with counters.sampling() as launches:
        KERNELS[name](grid, 32, *args)
    return launches[0]


def asked(found, how="read"):
    """Requests of global memory."""
    return sum(c.requests for c in found.counts if (c.space, c.how) == ("global", how))


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
class TestLaunches:
    @pytest.mark.parametrize("which", [0, 999])
    def test_the_first_or_the_last_block_does_all(self, which):
        """5,000 turns of one block, one of each of 999 others."""
        n = 5000
        found = sampled(
            "one_does_all", 1000, np.ones(32 * n, np.float32), np.zeros(32000, np.float32), np.int32(which), np.int32(n)
        )
        assert (asked(found), asked(found, "write"), found.sampled) == (n + 999, 1000, SAMPLE + 2)
        assert (found.read, found.written) == (32 * 4 * n, 128_000)
        assert found.error < 0.01

    def test_one_that_was_seen_in_the_midst(self):
        """It is no cell's whole, so all blocks are run."""
        seen = next(samples((1000, 1, 1), Blocks(lambda n: 1.0))).blocks[30]
        n = 5000
        found = sampled(
            "one_does_all", 1000, np.ones(32 * n, np.float32), np.zeros(32000, np.float32), np.int32(seen), np.int32(n)
        )
        assert (asked(found), found.sampled) == (n + 999, 0)

    @pytest.mark.parametrize(
        ("name", "grid", "rest"), [("causal", (16, 128), ()), ("causal_by_remainder", 2048, (np.int32(16),))]
    )
    def test_a_triangle(self, name, grid, rest):
        """16 · 17 / 2 turns of each of 128 rows, whether the grid says so or not: three blocks of each kind tell."""
        found = sampled(name, grid, np.ones(512, np.float32), np.zeros(2048 * 32, np.float32), *rest)
        assert (asked(found), asked(found, "write")) == (136 * 128, 2048)
        assert (found.read, found.written) == (2048, 2048 * 128)
        assert found.sampled <= 18 + 3 * 16
        assert found.error == 0

    def test_a_line(self):
        """1 + 2 + … + 1000."""
        found = sampled("causal", 1000, np.ones(32000, np.float32), np.zeros(32000, np.float32))
        assert asked(found) == pytest.approx(500_500, rel=0.01)
        assert found.sampled == SAMPLE + 2

    def test_a_triangle_that_the_grid_hides(self):
        """The first sample is too small to tell; a larger one does: 37 · 38 / 2 turns of each of 55 rows, and of 13 blocks."""
        args = np.ones(32 * 37, np.float32), np.zeros(2048 * 32, np.float32), np.int32(37)
        found = sampled("causal_by_remainder", 2048, *args)
        assert 4 * SAMPLE < found.sampled < 5 * SAMPLE
        assert found.error <= TRUSTED
        assert asked(found) == pytest.approx(703 * 55 + 91, rel=2 * TRUSTED)
        assert f"(by {found.sampled} blocks for all, ± {found.error:.1%})" in str(found)

    @pytest.mark.parametrize(("steps", "sampled"), [((1,), 258), ((0, 1), 258), ((), 0), ((0,), 0), ((0, 1), 0)])
    def test_one_that_grew_is_the_one_made_in_one_piece(self, steps, sampled, monkeypatch):
        """Of a larger sample only the blocks that the smaller one has not run are run, of all blocks what is left."""
        every = list(samples((2048, 1, 1), Blocks(lambda n: 1.0)))
        monkeypatch.setattr(emulator, "samples", lambda grid, run: [every[step] for step in steps])
        monkeypatch.setattr(counts.Launch, "is_trusted", property(lambda self: self.sampled in (0, sampled)))
        y = np.zeros(2048 * 32, np.float32)
        come = np.zeros(1, np.int32)
        with counters.sampling() as launches:
            KERNELS["causal_by_remainder"](2048, 32, np.ones(512, np.float32), y, np.int32(16))
            KERNELS["counts_blocks"](2048, 32, np.ones(24 * 2048 + 8, np.float32), come)
        assert come[0] == (sampled or 2048)
        with monkeypatch.context() as context:
            context.setattr(emulator, "samples", lambda grid, run: [every[1]] if sampled else [])
            with counters.sampling() as again:
                KERNELS["causal_by_remainder"](2048, 32, np.ones(512, np.float32), y, np.int32(16))
                KERNELS["counts_blocks"](2048, 32, np.ones(24 * 2048 + 8, np.float32), come)
        assert launches == again
        assert [launch.sampled for launch in launches] == [sampled] * 2

    def test_the_last_to_come(self):
        """Only where all blocks come does one find itself the last: 200 · 32 updates by 32 lanes, beside two of each block."""
        zeros = [np.zeros(n, dtype) for n, dtype in ((6400, np.float32), (1, np.int32), (32, np.float32))]
        found = sampled("last_adds_up", 200, np.ones(6400, np.float32), *zeros)
        assert (asked(found, "update"), found.sampled) == (200 + 2 * 200, 0)
        assert zeros[2].sum() == 6400

    def test_blocks_that_wait_for_each_other(self):
        y = np.zeros(3200, np.float32)
        found = sampled("in_order", 100, np.ones(3200, np.float32), y, np.zeros(1, np.int32))
        assert (asked(found, "write"), found.sampled) == (100, 0)
        assert y.all()
