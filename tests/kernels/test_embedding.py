"""Against NumPy's indexing and a sum in float64, row by row; halves also against sums in the same precision."""

import kernel_harness as harness
import numpy as np
import pytest
from kernel_harness import FLOATS, close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.backend.nn import embedding as E
from weft.backend.tape import autograd
from weft.kernels import embedding as kernels
from weft.kernels import emulator
from weft.kernels.toolchain.settings import settings

WIDTHS = (1, 31, 32, 33, 1025)


def summed(g, indices, rows, padding_idx=None):
    """The sums in the dtype of g, in order."""
    out = np.zeros((rows, g.shape[-1]), g.dtype)
    np.add.at(out, indices.reshape(-1), g.reshape(indices.size, g.shape[-1]))
    if padding_idx is not None:
        out[padding_idx] = 0
    return out


def compare(ours, exact, plain):
    if ours.dtype == np.float32:
        close(ours, exact)
    else:
        no_worse(ours, plain, exact)


def check(rng, dtype, indices, rows, width, padding_idx=None):
    weight = rounded(rng.standard_normal((rows, width)), dtype)[0]
    g_low, g_high = rounded(rng.standard_normal((*indices.shape, width)), dtype)
    y, grad = every_schedule(
        lambda: (kernels.forward(indices, weight), kernels.backward(g_low, indices, rows, padding_idx=padding_idx))
    )
    np.testing.assert_array_equal(y, weight[indices])
    compare(grad, summed(g_high, indices, rows, padding_idx), summed(g_low, indices, rows, padding_idx))


@dtypes
@pytest.mark.parametrize("count", harness.SIZES)
@pytest.mark.parametrize("width", [5, 32])
def test_every_number_of_indices(rng, dtype, count, width):
    check(rng, dtype, rng.integers(0, 50, count), 50, width)


@dtypes
@pytest.mark.parametrize("width", WIDTHS)
def test_every_width(rng, dtype, width):
    check(rng, dtype, rng.integers(0, 7, (5, 14)), 7, width)


@pytest.mark.parametrize("padding_idx", [None, 0, 3])
@pytest.mark.parametrize("draw", ["uniform", "skewed", "one", "sorted", "two"])
def test_segments_of_every_length(rng, draw, padding_idx):
    """Within a chunk, over the edges of many, all of them; beginning and ending at edges."""
    indices = {
        "uniform": rng.integers(0, 300, 2000),
        "skewed": np.minimum(rng.geometric(0.2, 2000), 40) - 1,
        "one": np.full(2000, 3),
        "sorted": np.repeat(np.arange(9), [32, 1, 31, 33, 64, 96, 0, 1, 300]),
        "two": np.where(np.arange(9000) % 64, 3, 7),
    }[draw]
    for dtype in FLOATS:
        check(rng, dtype, indices, 300, 8, padding_idx)


@pytest.mark.parametrize("index", [np.int32, np.int64, np.uint8])
def test_dtypes_of_indices(rng, index):
    check(rng, np.dtype(np.float32), rng.integers(0, 200, (3, 50)).astype(index), 200, 6)


def test_shapes_of_indices(rng):
    for shape in [(), (2, 3, 4), (0, 3), (7, 0)]:
        check(rng, np.dtype(np.float32), np.asarray(rng.integers(0, 9, shape)), 9, 4)
    check(rng, np.dtype(np.float32), np.zeros(3, int), 5, 0)


def test_layouts(rng):
    """Scattered and shifted in memory, also what is written to."""
    wide = rng.standard_normal((40, 33)).astype(np.float32)
    indices = rng.integers(0, 20, (30, 8))[::3, ::2]
    for weight in (wide[::2, 1::2], wide.reshape(-1)[1:321].reshape(20, 16)):
        np.testing.assert_array_equal(kernels.forward(indices, weight), weight[indices])
    g = rng.standard_normal((16, 4, 10)).astype(np.float32).transpose(2, 1, 0)
    memory = np.full(20 * 16 + 1, np.nan, np.float32)[1:].reshape(20, 16)
    assert kernels.backward(g, indices, 20, out=memory) is memory
    close(memory, summed(g.astype(np.float64), indices, 20))


def test_a_large_vocabulary(rng):
    check(rng, np.dtype(np.float32), rng.integers(0, 50257, 100), 50257, 8)


def test_indices_outside(rng):
    """Nothing beyond the table is touched: NaN comes out, and no gradient goes in."""
    indices = np.array([2, -1, 7, 1 << 40, 2, -(1 << 40)])
    weight = rng.standard_normal((7, 4)).astype(np.float32)
    y = kernels.forward(indices, weight)
    assert np.isnan(y[[1, 2, 3, 5]]).all()
    np.testing.assert_array_equal(y[[0, 4]], weight[[2, 2]])
    grad = kernels.backward(np.ones((6, 4), np.float32), indices, 7)
    np.testing.assert_array_equal(grad, np.where(np.arange(7)[:, None] == 2, 2, 0) * np.ones(4))


class TestAsTheyCome:
    """Without the promise of the same bits: added to float sums by atomics."""

    @pytest.fixture(autouse=True)
    def _nondeterministic(self, monkeypatch):
        monkeypatch.setattr(settings, "deterministic", False)

    def check(self, rng, dtype, indices, rows, width, padding_idx=None):
        g_low, g_high = rounded(rng.standard_normal((*indices.shape, width)), dtype)
        for order in ("forward", "reverse", "random"):
            with emulator.schedule(order):
                grad = kernels.backward(g_low, indices, rows, padding_idx=padding_idx)
            compare(grad, summed(g_high, indices, rows, padding_idx), summed(g_low, indices, rows, padding_idx))

    @dtypes
    @pytest.mark.parametrize("count", harness.SIZES)
    def test_every_number_of_indices(self, rng, dtype, count):
        self.check(rng, dtype, rng.integers(0, 50, count), 50, 5)

    @dtypes
    @pytest.mark.parametrize("width", WIDTHS)
    def test_every_width(self, rng, dtype, width):
        self.check(rng, dtype, rng.integers(0, 7, (5, 14)), 7, width, padding_idx=3)

    @dtypes
    def test_whole_numbers_are_exact(self, rng, dtype):
        """Whatever the order, and in the memory that was given."""
        indices, g = rng.integers(0, 9, 200), rng.integers(-3, 4, (200, 33)).astype(dtype)
        memory = np.full((9, 33), np.nan, dtype)
        grad = every_schedule(lambda: kernels.backward(g, indices, 9, out=memory))
        assert grad is memory
        np.testing.assert_array_equal(grad, summed(g.astype(np.float64), indices, 9))

    def test_indices_outside(self):
        indices = np.array([2, -1, 7, 1 << 40, 2, -(1 << 40)])
        grad = kernels.backward(np.ones((6, 4), np.float32), indices, 7)
        np.testing.assert_array_equal(grad, np.where(np.arange(7)[:, None] == 2, 2, 0) * np.ones(4))


class TestPrimitive:
    @pytest.mark.parametrize("padding_idx", [None, 3])
    def test_same_as_on_the_cpu(self, rng, padding_idx):
        indices, table = rng.integers(0, 9, (4, 30)), rng.standard_normal((9, 12)).astype(np.float32)
        g = rng.standard_normal((4, 30, 12)).astype(np.float32)
        results = []
        for device in ("emulator", "cpu"):
            weight = weft.asarray(table, device=device).requires_grad_()
            y = E.embedding(weft.asarray(indices, device=device), weight, padding_idx=padding_idx)
            y.backward(weft.asarray(g, device=device))
            results.append((y.detach().numpy(), weight.grad.numpy()))
        np.testing.assert_array_equal(results[0][0], results[1][0])
        close(results[0][1], results[1][1].astype(np.float64))

    def test_gradient_into_the_arena(self, rng):
        indices, memory = rng.integers(0, 9, 20), np.full((9, 4), np.nan, np.float32)
        _, vjp = E.embedding.impls["emulator"](indices, rng.standard_normal((9, 4)).astype(np.float32))
        g = rng.standard_normal((20, 4)).astype(np.float32)
        none, grad = vjp(g, [False, True], [None, memory])
        assert none is None
        assert grad is memory
        close(memory, summed(g.astype(np.float64), indices, 9))

    def test_float64_falls_back(self, monkeypatch):
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        with pytest.warns(UserWarning, match="`embedding` on emulator fell back"):
            E.embedding(weft.asarray([1], device="emulator"), weft.ones((3, 2), dtype=weft.float64, device="emulator"))
