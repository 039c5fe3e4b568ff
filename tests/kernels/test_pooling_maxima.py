"""Bit for bit what `pooling.cu` computes, whose tests are against float64; gradients also against these."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import close, dtypes, every_schedule, halves, no_worse

from weft.backend.nn.pooling import Axis
from weft.kernels import pooling as kernels
from weft.kernels import pooling_maxima, pooling_running

NEGATIVE_NAN = -np.float32(np.nan)
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, NEGATIVE_NAN, 1.0, 1.0, -1.0, 65504.0], np.float32)


class Case(NamedTuple):
    shape: tuple
    kernel: tuple
    before: tuple = (0, 0)
    behind: tuple = (0, 0)

    @property
    def axes(self):
        return tuple(
            Axis(n, n + p + q - k + 1, k, 1, p, 1)
            for n, k, p, q in zip(self.shape[2:], self.kernel, self.before, self.behind)
        )


# Sides of windows with each remainder by 4, behind even padding and odd, and sides less than 4; widths that are even, odd and whole
# accesses; images of one tile and of several, down and across, many to a block and too many; windows that are larger than the image
CASES = [
    Case((2, 5, 16, 16), (5, 5), (2, 2), (2, 2)),
    Case((1, 9, 13, 13), (5, 5), (2, 2), (2, 2)),
    Case((3, 3, 12, 18), (3, 3)),
    Case((2, 2, 11, 20), (3, 5), (1, 2), (1, 2)),
    Case((1, 3, 21, 17), (7, 7), (3, 3), (3, 3)),
    Case((1, 2, 20, 22), (8, 6), (4, 2), (1, 3)),
    Case((2, 1, 10, 16), (4, 4), (2, 2), (2, 2)),
    Case((1, 2, 20, 20), (13, 13), (6, 6), (6, 6)),
    Case((1, 1, 50, 150), (9, 9), (4, 4), (4, 4)),
    Case((1, 1, 70, 91), (5, 7), (0, 3), (2, 0)),
    Case((1, 1, 100, 8), (32, 8), (16, 4), (15, 3)),
    Case((5, 7, 3, 3), (5, 5), (2, 2), (2, 2)),
    Case((2, 3, 9, 20), (4, 4), (1, 1), (2, 2)),
    Case((1, 3, 9, 14), (5, 5), (1, 1), (3, 3)),
    Case((1, 1, 20, 150), (6, 6), (3, 3), (2, 2)),
    Case((4, 33, 4, 5), (4, 5)),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, (*c.shape, *c.kernel))))


def everything(x, g, down, across):
    y, taps, _ = kernels.max_pool(x, down, across)
    return y, taps, kernels.max_pool_gradient(g, taps, down, across)


@pytest.fixture
def _only_these(monkeypatch):
    for special in kernels.SPECIAL:
        monkeypatch.setattr(special, "width_of_access", lambda *_: 0)
    monkeypatch.setattr(pooling_running, "fits", lambda *_: False)


def data(case, dtype, some=SPECIAL):
    """Pixels with many equals and all that is special, and gradients whose sums are exact in whatever order."""
    rng = np.random.default_rng(5)
    down, across = case.axes
    x = rng.standard_normal(case.shape).astype(np.float32)
    x.flat[::3] = rng.choice(some, x.flat[::3].size)
    g = np.rint(4 * rng.standard_normal((*case.shape[:2], down.output, across.output)))
    return x.astype(dtype), g.astype(dtype)


@cases
@dtypes
@pytest.mark.parametrize("some", [SPECIAL, SPECIAL[:4], -np.inf], ids=["NaN", "no NaN", "−inf"])
@pytest.mark.usefixtures("_only_these")
def test_same_bits(case, dtype, some, only_general):
    down, across = case.axes
    x, g = data(case, dtype, np.atleast_1d(np.float32(some)))
    if np.ndim(some) == 0:
        x[..., : x.shape[3] // 2] = -np.inf  # windows of nothing else, which have a maximum all the same
    assert pooling_maxima.fits(x, down, across)
    assert pooling_maxima.fits_backward(x, down, across)
    got = every_schedule(lambda: everything(x, g, down, across))
    only_general()
    for ours, general in zip(got, everything(x, g, down, across)):
        assert ours.dtype == general.dtype
        assert ours.tobytes() == general.tobytes()


def shifted(a):
    """A copy that begins off 16 bytes."""
    memory = np.empty(a.size + 1, a.dtype)
    memory[1:] = a.ravel()
    return memory[1:].reshape(a.shape)


@dtypes
@pytest.mark.usefixtures("_only_these")
def test_arrays_that_begin_anywhere(dtype):
    case = CASES[0]
    x, g = data(case, dtype)
    down, across = case.axes
    expected = everything(x, g, down, across)
    for ours, aligned in zip(everything(shifted(x), shifted(g), down, across), expected):
        assert ours.tobytes() == aligned.tobytes()
    grad_x = kernels.max_pool_gradient(g, shifted(expected[1]), down, across)
    assert grad_x.tobytes() == expected[2].tobytes()


@cases
@dtypes
def test_gradient(case, dtype):
    """Sums in another order than the windows', always the same."""
    rng = np.random.default_rng(6)
    down, across = case.axes
    x = rng.standard_normal(case.shape).astype(dtype)
    g = rng.standard_normal((*case.shape[:2], down.output, across.output)).astype(dtype)
    _, taps, where = kernels.max_pool(x, down, across, return_indices=True)
    exact, plain = np.zeros(x.shape), np.zeros(x.shape, dtype)
    for at in np.ndindex(*g.shape):
        exact[at[:2]].flat[where[at]] += float(g[at])
        plain[at[:2]].flat[where[at]] += g[at]
    (got,) = every_schedule(lambda: (kernels.max_pool_gradient(g, taps, down, across),))
    close(got, exact) if dtype == np.float32 else no_worse(got, plain, exact)


@halves
def test_infinite_gradients_stay_infinite(dtype):
    """Sums share their words with where they belong."""
    case = CASES[0]
    down, across = case.axes
    x, g = data(case, dtype, np.ones(1, np.float32))
    g[..., 3, 3] = np.inf
    g[..., 9, 9] = np.nan
    _, taps, where = kernels.max_pool(x, down, across, return_indices=True)
    got = kernels.max_pool_gradient(g, taps, down, across).astype(float)
    for n, c in np.ndindex(*x.shape[:2]):
        assert np.isinf(got[n, c].flat[where[n, c, 3, 3]])
        assert np.isnan(got[n, c].flat[where[n, c, 9, 9]])
    assert np.isfinite(got).sum() == got.size - 2 * got[..., 0, 0].size


def axis(size, kernel, stride=1, before=0, dilation=1, output=None):
    return Axis(
        size,
        output or (size + 2 * before - dilation * (kernel - 1) - 1) // stride + 1,
        kernel,
        stride,
        before,
        dilation,
    )


REFUSED = {
    "stride": axis(32, 5, stride=2), "dilation": axis(32, 5, dilation=2), "too long": axis(64, 33), "too many taps": axis(64, 17),
    "a window without a pixel": axis(32, 5, output=33), "padding beyond half": axis(32, 5, before=3), "one row": axis(1, 1),
}  # fmt: skip


@pytest.mark.parametrize("down", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit(down):
    across = axis(64, 17 if down.kernel == 17 else 5)
    x = np.broadcast_to(np.float32(0), (1, 1, down.size, across.size))
    assert not pooling_maxima.fits(x, down, across)
    assert not pooling_maxima.fits_backward(x, down, across)


def test_sizes_that_do_not_fit():
    square = axis(32, 5, before=2)
    for planes, fits in ((0, False), (1, True), ((1 << 31) - 1, True), (1 << 31, False)):
        x = np.broadcast_to(np.float32(0), (planes, 1, 32, 32))
        assert pooling_maxima.fits(x, square, square) == fits
        assert pooling_maxima.fits_backward(x, square, square) == fits
    tall = axis(64, 5, before=2)  # two tiles
    x = np.broadcast_to(np.float32(0), (1 << 30, 1, 64, 64))
    assert not pooling_maxima.fits(x, tall, tall)
    small = axis(9, 3, before=1)
    assert not pooling_maxima.fits(x[:1, :, :9, :9], small, small)  # pooling_small is for these
    assert pooling_maxima.fits_backward(x[:1, :, :9, :9], small, small)
    for narrow in (axis(32, 1), axis(32, 2)):
        assert not pooling_maxima.fits(x[:1, :, :32, :32], square, narrow)
