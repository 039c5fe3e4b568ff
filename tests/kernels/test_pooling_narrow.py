"""Bit for bit what `pooling_maxima_backward.cu` computes, whose tests are against float64."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import every_schedule, halves

from weft.backend.nn.pooling import Axis
from weft.kernels import pooling as kernels
from weft.kernels import pooling_maxima, pooling_narrow


class Case(NamedTuple):
    shape: tuple
    kernel: tuple
    before: int  # rows of padding

    @property
    def axes(self):
        (h, w), (k, columns) = self.shape[2:], self.kernel
        return Axis(h, h + 2 * self.before - k + 1, k, 1, self.before, 1), Axis(w, w, columns, 1, columns // 2, 1)


# Planes of a single tile, and of several across, down and both; more to a block than there are, fewer, and one for each
# last word of a row; rows that threads have all of, and no whole strips; windows as high as wide, lower and higher
CASES = [
    Case((2, 5, 16, 16), (5, 5), 2),
    Case((3, 3, 32, 32), (5, 5), 2),
    Case((1, 3, 20, 20), (7, 5), 3),
    Case((5, 7, 4, 4), (7, 5), 3),
    Case((1, 2, 40, 160), (5, 5), 2),
    Case((1, 1, 30, 300), (7, 5), 3),
    Case((1, 3, 100, 68), (3, 5), 1),
    Case((1, 2, 61, 72), (9, 5), 4),
    Case((2, 9, 13, 32), (5, 5), 0),
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, (*c.shape, *c.kernel))))


def data(case, dtype):
    rng = np.random.default_rng(5)
    down, across = case.axes
    x = rng.standard_normal(case.shape).astype(dtype)
    x.flat[::3] = 0
    g = rng.standard_normal((*case.shape[:2], down.output, across.output)).astype(dtype)
    _, taps, where = kernels.max_pool(x, down, across, return_indices=True)
    return g, taps, where


@cases
@halves
def test_same_bits(case, dtype, monkeypatch):
    g, taps, _ = data(case, dtype)
    down, across = case.axes
    assert pooling_maxima.fits_backward(np.empty(case.shape, dtype), down, across)
    assert pooling_narrow.fits(np.dtype(dtype), across)
    (got,) = every_schedule(lambda: (kernels.max_pool_gradient(g, taps, down, across),))
    monkeypatch.setattr(pooling_narrow, "fits", lambda *_: False)
    assert got.tobytes() == kernels.max_pool_gradient(g, taps, down, across).tobytes()


@halves
@pytest.mark.parametrize("columns", pooling_narrow.SIDES)
def test_infinite_gradients_stay_infinite(columns, dtype):
    """Sums share their words with where they belong."""
    case = Case((2, 2, 16, 16), (columns, columns), columns // 2)
    g, taps, where = data(case, dtype)
    g[..., 3, 3] = np.inf
    g[..., 11, 11] = np.nan
    got = kernels.max_pool_gradient(g, taps, *case.axes).astype(float)
    for n, c in np.ndindex(*g.shape[:2]):
        assert np.isinf(got[n, c].flat[where[n, c, 3, 3]])
        assert np.isnan(got[n, c].flat[where[n, c, 11, 11]])
    assert np.isfinite(got).sum() == got.size - 2 * got[..., 0, 0].size


@pytest.mark.parametrize(
    "across", [Axis(30, 30, 5, 1, 2, 1), Axis(32, 28, 5, 1, 0, 1), Axis(32, 31, 5, 1, 1, 1), Axis(32, 32, 7, 1, 3, 1)]
)
def test_what_does_not_fit(across):
    assert not pooling_narrow.fits(np.dtype(np.float16), across)


def test_what_does_not_fit_in_float():
    across = Axis(32, 32, 5, 1, 2, 1)
    assert pooling_narrow.fits(np.dtype(np.float16), across)
    assert not pooling_narrow.fits(np.dtype(np.float32), across)
