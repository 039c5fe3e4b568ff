"""Counters against numbers worked out by hand; what is wasteful is reported with its line."""

from pathlib import Path

import numpy as np
import pytest

import weft
from weft.kernels import emulator
from weft.kernels.emulator import counters
from weft.kernels.emulator.sample import SAMPLE
from weft.kernels.toolchain import launch

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")

COUNTED = Path(__file__).parents[1] / "counted.cu"
NAMES = ("copy", "copy_vectors", "copy_strided", "product", "triangle", "count_in_shared")
KERNELS = {name: launch.Kernel(COUNTED, name) for name in NAMES}
transpose = launch.Kernel(COUNTED, "transpose", (32, 33))
WASTEFUL = [i for i, line in enumerate(COUNTED.read_text().splitlines(), 1) if "// wasteful" in line]


def counted(kernel, grid, block, *args):
    with counters.counting() as launches:
        kernel(grid, block, *args)
    (found,) = launches
    return found


def one(found, space, how):
    """The counters of the one line that does this."""
    (counts,) = (c for c in found.counts if (c.space, c.how) == (space, how))
    return counts


def line_of(text):
    """The one line that has this."""
    (line,) = (i for i, line in enumerate(COUNTED.read_text().splitlines(), 1) if text in line)
    return line


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


class TestCopies:
    def test_copy(self):
        """2 blocks of 8 warps; a warp's 32 × 4 bytes are 4 sectors of one line."""
        x, y = np.arange(512, dtype=np.float32), zeros(512)
        found = counted(KERNELS["copy"], 2, 256, x, y)
        assert (x == y).all()
        for how in ("read", "write"):
            c = one(found, "global", how)
            assert (c.requests, c.threads, c.bytes, c.requested) == (16, 512, 4, 2048)
            assert (c.sectors, c.ideal, c.lines) == (64, 64, 16)
            assert (c.file, c.line) == ("counted.cu", line_of("y[i] = x[i];"))
        assert (found.read, found.written, found.sectors_read, found.sectors_written) == (2048, 2048, 64, 64)
        assert found.trips["counted.cu", line_of("y[i] = x[i];")] == 16

    def test_copy_of_vectors(self):
        """A warp's 32 × 16 bytes are one request of 16 sectors, however the host's compiler takes them apart."""
        x, y = np.arange(1024, dtype=np.float32), zeros(1024)
        found = counted(KERNELS["copy_vectors"], 1, 256, x, y)
        assert (x == y).all()
        for how in ("read", "write"):
            c = one(found, "global", how)
            assert (c.requests, c.threads, c.bytes, c.requested) == (8, 256, 16, 4096)
            assert (c.sectors, c.ideal, c.lines) == (128, 128, 32)
            assert c.line == line_of("store(y + i, load<4>(x + i));")

    def test_strided_copy(self):
        """Each thread of a warp reads 4 bytes of a sector of its own: 32 where 4 would do, in 8 lines."""
        x, y = np.arange(2048, dtype=np.float32), zeros(256)
        found = counted(KERNELS["copy_strided"], 1, 256, x, y)
        read, write = one(found, "global", "read"), one(found, "global", "write")
        assert (read.requests, read.sectors, read.ideal, read.lines) == (8, 256, 32, 64)
        assert read.excess == 8
        assert (write.requests, write.sectors, write.ideal, write.lines) == (8, 32, 32, 8)
        assert (found.read, found.sectors_read) == (1024, 256)  # a sector for each of the numbers
        assert f"counted.cu:{read.line}" in str(found)
        assert "32 sectors per request, 4 ideal" in str(found)
        assert read.line == WASTEFUL[0]

    def test_misaligned_rows(self):
        """Starting 4 bytes into a sector, 128 bytes touch 5 sectors of 2 lines."""
        x, y = np.arange(257, dtype=np.float32), zeros(256)
        read = one(counted(KERNELS["copy"], 1, 256, x[1:], y), "global", "read")
        assert (read.requests, read.sectors, read.ideal, read.lines) == (8, 40, 32, 16)


class TestTransposition:
    @pytest.mark.parametrize(("width", "cycles", "worst"), [(32, 32 * 32 * 4, 32), (33, 32 * 4, 1)])
    def test_conflicts(self, width, cycles, worst):
        """64 × 64 in 4 blocks of 8 warps that take 4 turns: 128 requests. A column of the tile lies in one bank, or in all."""
        x, y = np.arange(64 * 64, dtype=np.float32).reshape(64, 64), zeros(64, 64)
        found = counted(transpose[width], (2, 2), (32, 8), x, y, np.int32(64))
        assert (y == x.T).all()
        for how in ("read", "write"):
            c = one(found, "global", how)
            assert (c.requests, c.sectors, c.ideal, c.lines) == (128, 512, 512, 128)
        write, read = one(found, "shared", "write"), one(found, "shared", "read")
        assert (write.requests, write.phases, write.cycles, write.worst) == (128, 128, 128, 1)
        assert (read.requests, read.phases, read.cycles, read.worst) == (128, 128, cycles, worst)
        assert read.line == WASTEFUL[1]
        assert f"{worst} cycles per phase, {worst} at most" in str(read)
        assert found.trips["counted.cu", read.line] == 128


class TestProduct:
    def test_product(self):
        """48 × 48 in 9 blocks of 8 warps that take 3 turns, each with 16 multiplications; a warp has two rows of the block.

        Two rows of 64 bytes are 4 sectors in 2 lines. The warp reads 2 numbers of a's tile, and 16 of b's.
        """
        rng = np.random.default_rng(0)
        a, b = (rng.integers(-4, 4, (48, 48)).astype(np.float32) for _ in range(2))
        c = zeros(48, 48)
        found = counted(KERNELS["product"], (3, 3), (16, 16), a, b, c, np.int32(48))
        assert (c == a @ b).all()
        warps, turns = 72, 216
        reads = [k for k in found.counts if (k.space, k.how) == ("global", "read")]
        assert [k.requests for k in reads] == [turns, turns]
        assert [k.sectors for k in reads] == [4 * turns] * 2 == [k.ideal for k in reads]
        write = one(found, "global", "write")
        assert (write.requests, write.sectors, write.ideal) == (warps, 4 * warps, 4 * warps)
        assert found.read == 2 * found.written == 2 * 48 * 48 * 4
        assert sum(k.requested for k in reads) == 2 * turns * 128  # each number is read three times
        assert [(k.requests, k.cycles) for k in found.counts if (k.space, k.how) == ("shared", "write")] == [
            (turns, turns)
        ] * 2
        from_a, from_b = (k for k in found.counts if (k.space, k.how) == ("shared", "read"))
        # rows ty and ty + 1 of a's tile are 16 words apart, in other banks; b's row is 16 words, each for two threads
        assert (from_a.requests, from_a.cycles, from_a.worst) == (16 * turns, 16 * turns, 1)
        assert (from_b.requests, from_b.cycles, from_b.worst) == (16 * turns, 16 * turns, 1)
        assert found.trips["counted.cu", line_of("sum += x * y;")] == 16 * turns


class TestTurns:
    def test_lanes_leave_one_after_the_other(self):
        """Turn k is that of lanes k + 1 … 31: 31 requests, Σ k = 496 accesses, 4 sectors while there are more than 24 lanes."""
        found = counted(KERNELS["triangle"], 1, 32, np.ones(1024, np.float32), zeros(32))
        read = one(found, "global", "read")
        assert (read.requests, read.threads) == (31, 496)
        assert read.sectors == sum(4 - (k + 1) // 8 for k in range(31))
        assert found.trips["counted.cu", line_of("sum += x[32 * k")] >= 31

    def test_updates_of_one_number_wait_for_each_other(self):
        """Lanes in four groups of 8, each for a number of its own: 8 cycles."""
        x, y = (np.arange(32) // 8).astype(np.int32), zeros(32, dtype=np.int32)
        update = one(counted(KERNELS["count_in_shared"], 1, 32, x, y), "shared", "update")
        assert (update.requests, update.phases, update.cycles, update.worst) == (1, 1, 8, 8)
        assert update.line == WASTEFUL[2]
        assert y[:4].tolist() == [8, 8, 8, 8]


class TestWaste:
    def test_planted_lines_are_found(self):
        """An uncoalesced load, bank conflicts and updates of few numbers, each by file and line; nothing else."""
        big, small, square = zeros(2048), zeros(256), zeros(32, 32)
        with counters.counting() as launches:
            KERNELS["copy_strided"](1, 256, big, small)
            transpose[32]((1, 1), (32, 8), square, zeros(32, 32), np.int32(32))
            KERNELS["count_in_shared"](1, 32, zeros(32, dtype=np.int32), zeros(32, dtype=np.int32))
            KERNELS["copy"](1, 256, small, zeros(256))
            transpose[33]((1, 1), (32, 8), square, zeros(32, 32), np.int32(32))
        found = [(c.file, c.line) for launch in launches for c in launch.wasteful()]
        assert found == [("counted.cu", line) for line in WASTEFUL]


class TestCounting:
    def test_off_by_default(self):
        assert counters.current() is None
        x, y = np.ones(256, np.float32), zeros(256)
        with counters.counting() as launches:
            pass
        KERNELS["copy"](1, 256, x, y)
        assert launches == []

    def test_without_code(self, monkeypatch):
        """The library that every launch runs counts the same of memory, and nothing is compiled beside it."""
        x, y = np.arange(64 * 64, dtype=np.float32).reshape(64, 64), zeros(64, 64)
        whole = counted(transpose[32], (2, 2), (32, 8), x, y, np.int32(64))
        monkeypatch.setattr(counters, "compile_counted", None)
        with counters.counting(code=False) as launches:
            transpose[32]((2, 2), (32, 8), x, y, np.int32(64))
        assert (y == x.T).all()
        (found,) = launches
        assert found.counts == whole.counts
        assert (found.read, found.sectors_written) == (whole.read, whole.sectors_written)
        assert (found.trips, found.never) == ({}, frozenset())

    @pytest.mark.parametrize("order", ["reverse", "random"])
    def test_schedules_count_alike(self, order):
        x, y = np.arange(64 * 64, dtype=np.float32).reshape(64, 64), zeros(64, 64)
        run = lambda: counted(transpose[32], (2, 2), (32, 8), x, y, np.int32(64))
        first = run()
        with emulator.schedule(order, 1):
            again = run()
        assert (first.counts, first.trips) == (again.counts, again.trips)

    def test_faults_are_found(self):
        with counters.counting() as launches, pytest.raises(emulator.KernelFault, match="out-of-bounds write"):
            KERNELS["copy"](1, 256, np.ones(256, np.float32), zeros(255))
        assert launches == []


class TestRough:
    """Counting without running everything."""

    def test_a_sample_of_the_blocks(self):
        """Of 1,000 blocks 64 run, in all parts of the grid, and both ends: for all, and no array has more than there is."""
        n = 256_000
        x, y = np.ones(n, np.float32), zeros(n)
        with counters.sampling() as launches:
            KERNELS["copy"](1000, 256, x, y)
        exact = counted(KERNELS["copy"], 1000, 256, x, zeros(n))
        ran = np.flatnonzero(y.reshape(1000, 256).all(axis=1))
        assert len(ran) == SAMPLE + 2 == y.sum() / 256
        assert (ran[0], ran[-1]) == (0, 999)
        ran = ran[1:-1]
        assert np.bincount(ran * 8 // 1000, minlength=8).tolist() == [8] * 8
        assert len(set(ran % 8)) == 8  # no pattern of the grid's rows
        assert (launches[0].counts, launches[0].trips) == (exact.counts, exact.trips)
        sums = ("read", "written", "sectors_read", "sectors_written")
        assert [getattr(launches[0], s) for s in sums] == [getattr(exact, s) for s in sums]

    def test_what_all_blocks_read_is_there_once(self):
        """A tiled product: its factors are read again and again, but are moved once."""
        size = 256
        a, b = np.ones((size, size), np.float32), np.ones((size, size), np.float32)
        arguments = (16, 16), (16, 16), a, b, zeros(size, size), np.int32(size)
        with counters.sampling() as launches:
            KERNELS["product"](*arguments)
        exact = counted(KERNELS["product"], *arguments)
        assert (launches[0].read, launches[0].written) == (exact.read, exact.written) == (2 * 4 * size**2, 4 * size**2)
        assert launches[0].counts == exact.counts

    def test_what_is_alike_runs_once(self):
        x, ys = np.ones(256, np.float32), [zeros(256) for _ in range(3)]
        with counters.sampling() as launches:
            for y in ys[:2]:
                KERNELS["copy"](1, 256, x, y)
            KERNELS["copy"](1, 128, x, ys[2])
        assert [y.sum() for y in ys] == [256, 0, 128]
        assert launches[0] is launches[1] is not launches[2]

    def test_listing_runs_nothing(self):
        y = zeros(256)
        with counters.listing() as instances:
            KERNELS["copy"](1, 256, np.ones(256, np.float32), y)
            assert not launch.empty(3, np.float32, like=y).any()
        assert [i.expression for i in instances] == ["copy"]
        assert not y.any()

    def test_only_one_runs(self):
        y, z = zeros(256), zeros(256)
        with counters.counting(only=KERNELS["copy"].instances[()]) as launches:
            KERNELS["copy_vectors"](1, 64, np.ones(256, np.float32), y)
            KERNELS["copy"](1, 256, np.ones(256, np.float32), z)
        assert [each.instance.expression for each in launches] == ["copy"]
        assert (y.sum(), z.sum()) == (0, 256)


def test_lines_that_nobody_comes_to():
    """The call that opens a block is none of the block before: a branch never taken has no trips, what follows a loop few."""
    path = COUNTED.with_name("turns.cu")
    lines = path.read_text().splitlines()

    def at(text):
        """The last line that has this, and the file."""
        return path.name, max(i for i, line in enumerate(lines, 1) if text in line)

    found = counted(launch.Kernel(path, "never_taken"), 1, 64, zeros(64), zeros(96), np.int32(1))
    assert {at("sqrtf(v)"), at("+ 32] = v")} <= found.never
    assert found.trips[at("y[threadIdx.x] = v;")] == 2
    looped = counted(launch.Kernel(path, "by_data"), 4, 32, np.full(128, 9, np.int32), zeros(128))
    assert looped.trips[at("y[i] = a;")] == 4 < max(looped.trips.values()) == 36
