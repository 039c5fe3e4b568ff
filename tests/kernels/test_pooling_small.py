"""Bit for bit what `pooling.cu` computes, whose tests are against float64."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import dtypes, every_schedule

from weft.backend.nn.pooling import window_axes
from weft.kernels import pooling as kernels
from weft.kernels import pooling_dense, pooling_small

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1.0]


class Case(NamedTuple):
    shape: tuple
    kernel: int
    stride: int
    before: int = 0
    ceil_mode: bool = False

    @property
    def axes(self):
        x = np.broadcast_to(np.float32(0), self.shape)
        return window_axes(x, (self.kernel,) * 2, (self.stride,) * 2, (self.before,) * 2, (1, 1), self.ceil_mode)


# planes of a few windows, many to a warp; rows of a warp and more; rows that no window reaches, and windows beyond the image;
# as many windows down as each of DOWN, one more and one less
CASES = [
    Case((3, 5, 7, 5), 2, 2),
    Case((1, 2, 3, 3), 2, 2, 1),
    Case((1, 2, 29, 67), 2, 2, ceil_mode=True),
    Case((2, 3, 7, 9), 3, 2),
    Case((2, 3, 15, 69), 3, 2, 1),
    Case((1, 2, 6, 6), 3, 2, ceil_mode=True),
    Case((1, 1, 21, 2), 3, 2, 1, ceil_mode=True),
    Case((1, 2, 9, 33), 3, 1, 1),
    Case((2, 3, 11, 6), 3, 1),
    Case((3, 1, 14, 14), 5, 1, 2),
    Case((1, 2, 5, 41), 5, 1),
    Case((1, 2, 1, 1), 5, 1, 2),
    Case((1, 1, 1, 1025), 3, 2, 1),
]


def everything(x, g, down, across):
    y, taps, _ = kernels.max_pool(x, down, across)
    return y, taps, kernels.max_pool_gradient(g, taps, down, across)


@dtypes
@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)))
def test_same_bits(case, dtype, monkeypatch, only_general):
    rng = np.random.default_rng(5)
    down, across = case.axes
    x = rng.standard_normal(case.shape)
    x.flat[::3] = rng.choice(SPECIAL, x.flat[::3].size)
    g = rng.standard_normal((*case.shape[:2], down.output, across.output))
    g.flat[::5] = -0.0
    if case.stride == 1:  # rows of windows are added up first, and so not in the same order: the sums are exact
        g = np.rint(4 * g)
    x, g = x.astype(dtype), g.astype(dtype)
    assert pooling_small.fits(x, down, across) != pooling_dense.fits(x, down, across)
    for special in kernels.SPECIAL:
        monkeypatch.setattr(special, "width_of_access", lambda *_: 0)
    got = every_schedule(lambda: everything(x, g, down, across))
    only_general()
    for ours, general in zip(got, everything(x, g, down, across)):
        assert ours.dtype == general.dtype
        assert ours.tobytes() == general.tobytes()


@pytest.mark.parametrize("module", [pooling_small, pooling_dense])
def test_what_does_not_fit(module):
    x = np.zeros((1, 1, 9, 9), np.float32)
    for kernel, stride, dilation in [((3, 2), 2, 1), ((4, 4), 2, 1), ((3, 3), 3, 1), ((7, 7), 1, 1), ((3, 3), 2, 2)]:
        axes = window_axes(x, kernel, (stride,) * 2, (0, 0), (1, dilation), False)
        assert not module.fits(x, *axes)
    for stride in (1, 2):
        assert not module.fits(x[:0], *window_axes(x, (3, 3), (stride,) * 2, (0, 0), (1, 1), False))
