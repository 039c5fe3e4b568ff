"""Bit for bit what `pooling.cu` computes, whose tests are against float64; sums in another order against float64 themselves."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, halves, no_worse

from weft.backend.nn.pooling import Axis, windows
from weft.kernels import pooling as kernels
from weft.kernels import pooling_strided

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1.0, 1.0, -1.0, 65504.0], np.float32)


class Case(NamedTuple):
    shape: tuple
    kernel: tuple
    stride: tuple
    padding: tuple = (0, 0)
    ceil_mode: bool = False

    @property
    def axes(self):
        found = zip(self.shape[2:], self.kernel, self.stride, self.padding)
        return tuple(Axis(n, windows(n, k, s, p, 1, self.ceil_mode), k, s, p, 1) for n, k, s, p in found)


# Strides below the size of windows, equal to it and above; widths and numbers of windows that are even and odd; images of one tile
# and of several, down and across, many to a block and one; sequences, whose planes are rows; windows of one column; the last cut
CASES = [
    Case((2, 5, 16, 16), (7, 7), (2, 2), (3, 3)),
    Case((1, 9, 13, 13), (4, 4), (2, 2), (2, 2)),
    Case((3, 3, 12, 18), (3, 3), (3, 3)),
    Case((2, 2, 11, 20), (4, 5), (4, 3), (2, 1), ceil_mode=True),
    Case((1, 3, 21, 17), (2, 3), (3, 5), (1, 1)),
    Case((1, 1, 50, 150), (5, 5), (2, 2), (2, 2)),
    Case((1, 1, 100, 67), (8, 7), (5, 9)),
    Case((3, 5, 1, 300), (1, 5), (1, 2), (0, 2)),
    Case((2, 3, 1, 64), (1, 4), (1, 4)),
    Case((2, 2, 9, 70), (3, 1), (2, 1), (1, 0)),
    Case((1, 2, 60, 9), (32, 8), (7, 2), (16, 4)),
    Case((5, 7, 3, 3), (5, 5), (2, 2), (2, 2)),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, (*c.shape, *c.kernel, *c.stride))))


@pytest.fixture
def _only_these(monkeypatch):
    monkeypatch.setattr(kernels, "SPECIAL_BACKWARD", ())
    monkeypatch.setattr(kernels, "ANY_SIZE_BACKWARD", (pooling_strided,))


def data(case, dtype, some=SPECIAL):
    """Pixels with many equals and all that is special, their maxima, and gradients whose sums are exact in whatever order."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(case.shape).astype(np.float32)
    x.flat[::3] = rng.choice(some, x.flat[::3].size)
    _, taps, where = kernels.max_pool(x.astype(dtype), *case.axes, return_indices=True)
    return np.rint(4 * rng.standard_normal(taps.shape)).astype(dtype), taps, where


@cases
@dtypes
@pytest.mark.usefixtures("_only_these")
def test_same_bits(case, dtype, only_general):
    down, across = case.axes
    g, taps, _ = data(case, dtype)
    assert pooling_strided.fits_backward(np.empty(case.shape, dtype), down, across)
    (got,) = every_schedule(lambda: (kernels.max_pool_gradient(g, taps, down, across),))
    only_general()
    expected = kernels.max_pool_gradient(g, taps, down, across)
    assert got.dtype == expected.dtype
    assert got.tobytes() == expected.tobytes()


def shifted(a):
    """A copy that begins off 16 bytes."""
    memory = np.empty(a.size + 1, a.dtype)
    memory[1:] = a.ravel()
    return memory[1:].reshape(a.shape)


@dtypes
@pytest.mark.usefixtures("_only_these")
def test_arrays_that_begin_anywhere(dtype):
    case = CASES[0]
    g, taps, _ = data(case, dtype)
    expected = kernels.max_pool_gradient(g, taps, *case.axes)
    assert kernels.max_pool_gradient(shifted(g), taps, *case.axes).tobytes() == expected.tobytes()
    assert kernels.max_pool_gradient(g, shifted(taps), *case.axes).tobytes() == expected.tobytes()


@pytest.mark.parametrize("case", CASES[:6])
@dtypes
@pytest.mark.usefixtures("_only_these")
def test_gradient(case, dtype):
    """Sums in another order than the windows', always the same."""
    _, taps, where = data(case, dtype)
    g = np.random.default_rng(6).standard_normal(taps.shape).astype(dtype)
    exact, plain = np.zeros(case.shape), np.zeros(case.shape, dtype)
    for at in np.ndindex(*g.shape):
        exact[at[:2]].flat[where[at]] += float(g[at])
        plain[at[:2]].flat[where[at]] += g[at]
    (got,) = every_schedule(lambda: (kernels.max_pool_gradient(g, taps, *case.axes),))
    close(got, exact) if dtype == np.float32 else no_worse(got, plain, exact)


@halves
@pytest.mark.usefixtures("_only_these")
def test_infinite_gradients_stay_infinite(dtype):
    """Sums share their words with where they belong."""
    case = CASES[0]
    g, taps, where = data(case, dtype, np.ones(1, np.float32))
    g[..., 1, 1] = np.inf
    g[..., 6, 6] = np.nan
    got = kernels.max_pool_gradient(g, taps, *case.axes).astype(float)
    for n, c in np.ndindex(*g.shape[:2]):
        assert np.isinf(got[n, c].flat[where[n, c, 1, 1]])
        assert np.isnan(got[n, c].flat[where[n, c, 6, 6]])
    assert np.isfinite(got).sum() == got.size - 2 * got[..., 0, 0].size


def axis(size, kernel, stride=2, before=0, dilation=1, output=None):
    reach = size + 2 * before - dilation * (kernel - 1) - 1
    return Axis(size, reach // stride + 1 if output is None else output, kernel, stride, before, dilation)


REFUSED = {
    "dilation": axis(32, 5, dilation=2), "too long": axis(64, 33), "too many taps": axis(64, 17),
    "no window": axis(32, 5, output=0),
    "a window without a pixel": axis(32, 5, output=17), "padding beyond half": axis(32, 5, before=3),
    "far apart": axis(400, 5, stride=200),
}  # fmt: skip


@pytest.mark.parametrize("across", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit(across):
    down = axis(64, 17)
    x = np.broadcast_to(np.float32(0), (1, 1, down.size, across.size))
    assert pooling_strided.fits_backward(x, down, axis(32, 5))
    assert not pooling_strided.fits_backward(x, down, across)


def test_sizes_that_do_not_fit():
    square, row = axis(32, 5, before=2), axis(1, 1, stride=1)
    for planes, fits in ((0, False), (1, True), ((1 << 31) - 1, True), (1 << 31, False)):
        x = np.broadcast_to(np.float32(0), (planes, 1, 32, 32))
        assert pooling_strided.fits_backward(x, square, square) == fits
        # planes of one row are rows of one plane, if it is not too large
        assert pooling_strided.fits_backward(x[:, :, :1], row, square) == fits
