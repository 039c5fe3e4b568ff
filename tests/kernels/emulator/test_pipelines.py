"""Mbarriers, bulk copies, named barriers and products of warpgroups in the emulator: right ones pass, each fault is named."""

import re
from pathlib import Path

import numpy as np
import pytest
from kernel_harness import every_schedule

import weft
from weft.kernels import emulator
from weft.kernels.emulator import counters
from weft.kernels.toolchain import launch
from weft.kernels.toolchain.tensor_map import TensorMap

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")

SOURCE = Path(__file__).parents[1] / "pipelines.cu"
FAULTS = {  # of `relay`: kind, what the message says
    "FEW_BYTES": ("hang", "mbarrier, 1 of 1 arrivals, 1024 bytes missing"),
    "MANY_BYTES": ("hang", "mbarrier, 1 of 1 arrivals, 512 bytes more than were announced"),
    "NO_WAIT": ("missing wait|uninitialised read|race", "dynamic shared memory"),
    "NO_FREE": ("missing wait|race", "dynamic shared memory"),
    "EARLY_FREE": ("missing wait|race", "dynamic shared memory"),
    "ONE_OF_TWO": ("hang", "mbarrier, 1 of 2 arrivals, 0 bytes missing"),
    "NO_SYNCWARP": ("missing wait|race", "dynamic shared memory"),
    "NO_INIT": ("uninitialised read", "`(here|free)`"),
    "NO_TURN": ("hang", "(named barrier, 32 of 64|mbarrier, 1 of 2)"),
    "WRONG_COUNT": ("misuse", "others come with another number of threads"),
    "MISALIGNED": ("misaligned access", "128 bytes at once"),
}
relay = launch.Kernel(SOURCE, "relay", range(1 + len(FAULTS)))
product = launch.Kernel(SOURCE, "product", range(4))
products = launch.Kernel(SOURCE, "products", range(2))
in_turn = launch.Kernel(SOURCE, "in_turn", range(2))
HALF = np.dtype(np.float16)


def boxes_of(x, boxes, row=0, column=0, fault=0):
    y = launch.empty(boxes * 512 + 32, np.float32, like=x)
    relay[fault](
        1, 96, TensorMap(x, 8), y, np.int32(boxes), np.int32(row), np.int32(column), shared=2 * 1024 + 1024 + 64
    )
    return y[:-32].reshape(-1, 64)


def multiply(a, b, fault=0):
    d = launch.empty((64, 64), np.float32, like=a)
    product[fault](1, 128, a, b, d, shared=2 * 64 * 128 + 1024)
    return d


def lines_at_fault(name):
    """The lines of the source that say `// fault:` and this name."""
    return [
        i for i, line in enumerate(SOURCE.read_text().splitlines(), 1) if re.search(rf"// fault:.*\b{name}\b", line)
    ]


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 50, 72)).astype(HALF)


class TestRelay:
    @pytest.mark.parametrize("boxes", [1, 2, 3, 6])
    def test_passes_everything_on(self, x, boxes):
        assert (every_schedule(lambda: boxes_of(x, boxes)) == x[0, 0, : 8 * boxes, :64].astype("f4") + 1).all()

    @pytest.mark.gpu
    def test_on_hopper(self, x):
        if "cuda" not in weft.devices():
            pytest.skip("needs a GPU")
        import cupy

        if cupy.cuda.Device().compute_capability != "90":
            pytest.skip("needs a Hopper GPU")
        assert (boxes_of(cupy.asarray(x), 6).get() == x[0, 0, :48, :64].astype("f4") + 1).all()

    def test_brings_zeros_where_there_is_nothing(self, x):
        expected = np.zeros((40, 64), np.float32)
        expected[8 : 8 + 24, :64] = 0  # rows −8 … 31 of columns 16 … 79, of 50 rows and 72 columns
        expected[8:, :56] = x[0, 0, :32, 16:]
        assert (boxes_of(x, 5, row=-8, column=16) == expected + 1).all()
        assert (boxes_of(x, 2, row=44) == np.pad(x[0, 0, 44:, :64], [(0, 10), (0, 0)]).astype("f4") + 1).all()

    def test_takes_views(self, x):
        heads = np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2)[1:, 1:]  # (B, L, H, D) in memory
        assert (boxes_of(heads, 2) == x[1, 1, :16, :64].astype("f4") + 1).all()

    @pytest.mark.parametrize("order", ["forward", "reverse", "random"])
    @pytest.mark.parametrize("name", FAULTS)
    def test_faults_are_caught(self, x, name, order):
        kind, detail = FAULTS[name]
        with emulator.schedule(order), pytest.raises(emulator.KernelFault, match=detail) as caught:
            boxes_of(x, 6, fault=1 + list(FAULTS).index(name))
        assert re.fullmatch(kind, caught.value.kind), caught.value
        where = re.search(r"at pipelines\.cu:(\d+), block \(0, 0, 0\), thread \(\d+, 0, 0\)", str(caught.value))
        assert where, caught.value
        assert int(where[1]) in lines_at_fault(name), caught.value

    def test_counts(self, x):
        with counters.counting() as launches:
            boxes_of(x[..., :64].copy(), 6)
        (found,) = launches
        (copy,) = (c for c in found.counts if (c.space, c.how, c.bytes) == ("global", "read", 16))
        assert (copy.sectors, copy.ideal) == (6 * 8 * 4, 6 * 8 * 4)  # 128 bytes of a row are 4 sectors
        (landing,) = (c for c in found.counts if (c.space, c.how) == ("shared", "write") and c.line == copy.line)
        assert (landing.phases, landing.cycles) == (6 * 8, 6 * 8)  # a row fills all banks


class TestProduct:
    @pytest.fixture
    def operands(self, rng):
        return rng.standard_normal((2, 64, 16)).astype(HALF)

    def test_right(self, operands):
        a, b = operands
        found = every_schedule(lambda: multiply(a, b))
        assert np.allclose(found, a.astype("f8") @ b.T.astype("f8"), rtol=1e-6, atol=1e-6)

    def test_a_result_is_not_there_before_the_wait(self, operands):
        assert (multiply(*operands, fault=1) == -1).all()

    @pytest.mark.parametrize("order", ["forward", "reverse", "random"])
    @pytest.mark.parametrize(("fault", "name", "kind"), [(2, "OVERWRITTEN", "race"), (3, "NO_END", "misuse")])
    def test_faults_are_caught(self, operands, fault, name, kind, order):
        with emulator.schedule(order), pytest.raises(emulator.KernelFault) as caught:
            multiply(*operands, fault=fault)
        assert caught.value.kind == kind, caught.value
        assert int(re.search(r"pipelines\.cu:(\d+)", str(caught.value))[1]) in lines_at_fault(name)

    def test_counts(self, operands):
        with counters.counting() as launches:
            multiply(*operands)
        (done,) = (c for c in launches[0].counts if c.space == "tensor")
        assert (done.requests, done.requested) == (4, 2 * 64 * 64 * 16)
        (read,) = (c for c in launches[0].counts if (c.space, c.how, c.line) == ("shared", "read", done.line))
        assert read.cycles == 2 * 64 * 32 // 128  # A once in parts, B once for the group


class TestProductsOfARing:
    def add(self, x, fault=0):
        d = launch.empty((64, 64), np.float32, like=x)
        products[fault](1, 160, TensorMap(x, 64), d, np.int32(x.shape[2] // 64), shared=64 * 128 + 1024)
        return d

    @pytest.fixture
    def x(self, rng):
        return rng.standard_normal((1, 1, 192, 64)).astype(HALF)

    def test_right(self, x):
        parts = x.astype("f8").reshape(3, 64, 64)[..., :16]
        assert np.allclose(every_schedule(lambda: self.add(x)), (parts @ parts.mT).sum(axis=0), rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("order", ["forward", "reverse", "random"])
    def test_a_place_that_is_given_back_before_the_products_are_done(self, x, order):
        with emulator.schedule(order), pytest.raises(emulator.KernelFault, match="dynamic shared memory") as caught:
            self.add(x, fault=1)
        assert re.fullmatch("race|missing wait", caught.value.kind), caught.value
        assert int(re.search(r"pipelines\.cu:(\d+)", str(caught.value))[1]) in lines_at_fault("TOO_EARLY")


class TestTurns:
    def add(self, blocks, fault=0):
        y, turn, ticket = np.zeros(1, np.float32), np.zeros(1, np.int32), np.zeros(1, np.int32)
        in_turn[fault](blocks, 1, y, turn, ticket)
        return y

    def test_sums_have_one_order(self):
        expected = np.float32(0)
        for n in range(20):
            expected += np.float32(1) / np.float32(n + 2)
        assert every_schedule(lambda: self.add(20)) == expected

    def test_a_turn_that_never_comes(self):
        with pytest.raises(emulator.KernelFault, match="a flag in global memory, whose value no block") as caught:
            self.add(1, fault=1)
        assert caught.value.kind == "hang"
        assert int(re.search(r"pipelines\.cu:(\d+)", str(caught.value))[1]) in lines_at_fault("TURN")


def test_wrong_argument(x):
    with pytest.raises(TypeError, match="argument 0 of `relay<0>` must be a TensorMap, got"):
        relay[0](1, 96, x, np.zeros(544, np.float32), np.int32(1), np.int32(0), np.int32(0), shared=4096)
