"""What kernels as users write them are said to run, against turns worked out by hand, on every architecture."""

from pathlib import Path

import numpy as np
import pytest

from weft.kernels.emulator import counters
from weft.kernels.emulator.executions import executions
from weft.kernels.emulator.roofline import machine_code_of
from weft.kernels.toolchain import launch
from weft.kernels.toolchain.machine_code import by_block

pytestmark = pytest.mark.usefixtures("disassembler")

SOURCE = Path(__file__).parents[1] / "users.cu"
ARCHITECTURES = pytest.mark.parametrize("arch", ["sm_80", "sm_90a", "sm_100"])
WARPS = 8  # four blocks of 64 threads
ONES = np.ones(256, np.float32)


def of(name, *parameters):
    return launch.Kernel(SOURCE, name, *([parameters] if parameters else []))


class Run:
    """One launch, and how often its machine code runs."""

    def __init__(self, kernel, arch, grid, block, *args, key=()):
        with counters.counting() as launches:
            kernel[key](grid, block, *args)
        self.launch = launches[0]
        self.code, _ = machine_code_of(kernel[key], arch)
        self.times = executions(self.code, self.launch)
        self.total = sum(self.times[i.block] for i in self.code)

    def done(self, opcode):
        """How many of these instructions."""
        return sum(self.times[i.block] for i in self.code if i.opcode.startswith(opcode))

    def loops(self):
        """The turns of each loop of one block."""
        last = [block[-1] for block in by_block(self.code)]
        return [self.times[i.block] for i in last if i.is_conditional and i.target == i.block]

    def asked(self, space, how):
        """Requests, and what they cost: sectors or cycles."""
        own = [c for c in self.launch.counts if (c.space, c.how) == (space, how)]
        return sum(c.requests for c in own), sum(c.sectors if space == "global" else c.cycles for c in own)


def steps(v):
    """Turns of Collatz's loop."""
    found = 0
    while v != 1:
        v = 3 * v + 1 if v & 1 else v // 2
        found += 1
    return found


kernels = {
    name: of(name)
    for name in (
        "saxpy4", "collatz", "interpret", "sum_of_blocks", "divergent", "matrix_vector", "histogram", "lower_bound",
        "hashed", "list", "stencil", "ragged", "sums_of_rows", "tiled",
    )
}  # fmt: skip
choose = of("choose", False, True)


@ARCHITECTURES
class TestUserKernels:
    def test_a_grid_stride_over_vectors(self, arch):
        """3,000 of 1,024 threads: 32, 32 and 30 warps, the last of which has 24 threads: 12 sectors, not 16."""
        x = np.ones((3000, 4), np.float32)
        run = Run(kernels["saxpy4"], arch, 4, 256, x, x.copy(), np.float32(2), np.int32(3000))
        assert run.loops() == [94]
        assert (run.done("LDG"), run.done("STG")) == (188, 94)
        assert run.asked("global", "write") == (94, 93 * 16 + 12)

    def test_a_loop_whose_end_the_data_decides(self, arch):
        """A warp goes on until the last of its lanes is done; both arms are selections."""
        x = np.random.default_rng(0).integers(1, 1000, 128).astype(np.int32)
        run = Run(kernels["collatz"], arch, 2, 64, x, np.zeros(128, np.int32), np.int32(128))
        turns = sum(max(steps(int(v)) for v in warp) for warp in x.reshape(4, 32))
        assert run.loops() == [turns]

    def test_a_switch(self, arch):
        """Lanes of each warp take every arm; no angle is so large that its remainder is taken in 64 bits."""
        op = np.arange(256, dtype=np.int32) % 5
        run = Run(kernels["interpret"], arch, 4, 64, op, ONES, ONES.copy(), np.int32(250))
        assert [run.done(opcode) for opcode in ("STG", "MUFU", "DMUL")] == [WARPS, 4 * WARPS, 0]
        if arch == "sm_90a":
            assert run.total == pytest.approx(124 * WARPS, rel=0.1)

    def test_a_function_that_is_not_inlined(self, arch):
        """20 reciprocals in each warp, or none."""
        args = ONES, ONES.copy(), np.int32(250), np.int32(20)
        for key, reciprocals in ((True, 20 * WARPS), (False, 0)):
            assert Run(choose, arch, 4, 64, *args, key=key).done("MUFU") == reciprocals

    def test_a_reduction(self, arch):
        """5,000 numbers are those of 157 warps; 32 warps shuffle five times, and four do so again."""
        run = Run(
            kernels["sum_of_blocks"], arch, 4, 256, np.ones(5000, np.float32), np.zeros(4, np.float32), np.int32(5000)
        )
        assert [run.done(opcode) for opcode in ("LDG", "SHFL", "STS", "BAR", "STG")] == [157, 180, 32, 32, 4]

    def test_arms_that_lanes_take(self, arch):
        """Ten exponentials in each warp, and ten logarithms, of polynomials."""
        run = Run(kernels["divergent"], arch, 4, 64, ONES, ONES.copy(), np.int32(10))
        assert run.done("MUFU") == 10 * WARPS
        if arch == "sm_90a":  # two turns of four, two of one, each of 11 + 28 and some
            assert run.total == pytest.approx(WARPS * (13 + 7 + 2 * 176 + 3 + 2 * 45 + 5), rel=0.1)

    @pytest.mark.parametrize(("columns", "fours"), [(6, 1), (30, 7)])
    def test_two_levels(self, arch, columns, fours):
        """Two rows for each of four warps; not the version of the outer loop for no columns.

        The two columns that are left are loaded by code for three, the last of which is predicated.
        """
        a, x, y = (np.ones(n, np.float32) for n in (256 * columns, columns, 256))
        run = Run(kernels["matrix_vector"], arch, 2, 64, a, x, y, np.int32(256), np.int32(columns))
        assert run.loops() == [0, fours * 8]
        assert run.done("LDG") == pytest.approx(2 * (4 * fours + 3) * 8)
        if arch == "sm_90a":
            assert run.total == pytest.approx({6: 612, 30: 1812}[columns])

    def test_a_histogram(self, arch):
        """Two blocks of four warps: 256 bins in two turns, 3,000 numbers of 94 warps, of which groups of eight have one bin."""
        x, bins = (np.arange(3000) // 8 % 256).astype(np.int32), np.zeros(256, np.int32)
        run = Run(kernels["histogram"], arch, 2, 128, x, bins, np.int32(3000))
        assert [run.done(opcode) for opcode in ("STS", "ATOMS", "LDS")] == [16, 94, 16]
        assert run.asked("shared", "update") == (94, 8 * 94)
        assert bins.sum() == 3000

    def test_a_binary_search(self, arch):
        """Ten or eleven halvings of 1,024."""
        x = np.linspace(0, 1, 1024, dtype=np.float32)
        run = Run(
            kernels["lower_bound"],
            arch,
            4,
            64,
            x,
            x[::4].copy(),
            np.zeros(256, np.int32),
            np.int32(256),
            np.int32(1024),
        )
        assert 10 * WARPS <= run.loops()[0] <= 11 * WARPS
        assert run.done("LDG") == run.loops()[0] + WARPS

    @pytest.mark.parametrize("n", [0, 3, 10, 103])
    def test_integers(self, arch, n):
        """Four turns at a time, and what is left."""
        run = Run(
            kernels["hashed"], arch, 4, 64, np.arange(256, dtype=np.uint32), np.zeros(256, np.uint32), np.int32(n)
        )
        assert run.loops() == [n // 4 * WARPS, n % 4 * WARPS]

    def test_a_list(self, arch):
        """Three links; the compiler gives two of the loads the line of the loop."""
        following = np.full(1024, -1, np.int32)
        following[:512] = np.arange(256, 768)
        args = np.arange(256, dtype=np.int32), following, np.ones(1024, np.float32), ONES.copy()
        run = Run(kernels["list"], arch, 4, 64, *args)
        assert run.loops() == [3 * WARPS]
        assert run.done("LDG") == (1 + 2 * 3) * WARPS

    def test_a_halo(self, arch):
        """Twelve blocks of eight warps, of which one has the row above and one the row below."""
        x = np.ones(30 * 80, np.float32)
        run = Run(kernels["stencil"], arch, (3, 4), (32, 8), x, x.copy(), np.int32(30), np.int32(80))
        assert run.done("STS") == 3 * 96 + 2 * 12
        assert run.done("STG") == 90
        if arch == "sm_90a":
            assert run.total == pytest.approx(7600, rel=0.1)

    def test_rows_of_their_own_lengths(self, arch):
        """Twelve rows of eight warps, each with five shuffles; Σ ⌈n / 32⌉ stores."""
        lengths = np.array([100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 32, 64], np.int32)
        x = np.ones(12 * 1024, np.float32)
        run = Run(kernels["ragged"], arch, 2, 128, lengths, x, x.copy(), np.int32(12))
        assert run.done("SHFL") == 5 * 12
        assert run.done("STG") == pytest.approx(sum(-(-n // 32) for n in lengths.tolist()))

    @pytest.mark.parametrize(
        ("n", "m", "loads", "turn"),
        [(3, 5, 5, 49), (7, 16, 16, 71), (1, 1, 1, 17), (2, 23, 23, None), (3, 4, 4, None), (2, 0, 0, None)],
    )
    def test_a_loop_in_a_loop(self, arch, n, m, loads, turn):
        """16, 8, 4 and 1 at a time; each turn of the outer loop passes 17 instructions, and what its loads take."""
        x = np.ones(max(1, n * m * 256), np.float32)
        run = Run(kernels["sums_of_rows"], arch, 2, 128, x, ONES.copy(), np.int32(n), np.int32(m))
        assert run.done("LDG") == loads * n * WARPS
        if arch == "sm_90a" and turn:
            assert run.total == (23 + n * turn) * WARPS

    def test_turns_that_are_left_are_predicated(self, arch):
        """Four of each warp in both loops, all by the code for what 16 and 8 leave; none by the loop for what four leave.

        For sm_100 these loops are not unrolled.
        """
        x = np.arange(256.0 * 256, dtype=np.float32).reshape(256, 256)
        y = np.empty_like(x)
        run = Run(kernels["tiled"], arch, (8, 8), (32, 8), x, y, np.int32(256))
        assert [run.done(opcode) for opcode in ("LDG", "STS", "LDS", "STG")] == [4 * 512] * 4
        assert set(run.loops()) == {4 * 512 if arch == "sm_100" else 0}
        if arch == "sm_90a":
            assert run.total == (67 + 57) * 512
        assert (y == x.T).all()
