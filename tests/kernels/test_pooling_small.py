"""Bit for bit what `pooling.cu` computes, whose tests are against float64."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import dtypes, every_schedule

from weft.backend.nn.pooling import window_axes
from weft.kernels import pooling as kernels
from weft.kernels import pooling_small

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
    Case((1, 2, 1, 1), 3, 1, 1),
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
    assert pooling_small.fits(x, down, across)
    assert pooling_small.fits_backward(x, down, across) == (case.stride == 2)
    for special in kernels.SPECIAL:
        monkeypatch.setattr(special, "width_of_access", lambda *_: 0)
    got = every_schedule(lambda: everything(x, g, down, across))
    only_general()
    for ours, general in zip(got, everything(x, g, down, across)):
        assert ours.dtype == general.dtype
        assert ours.tobytes() == general.tobytes()


def test_what_does_not_fit():
    x = np.zeros((1, 1, 9, 9), np.float32)
    for kernel, stride, dilation in [((3, 2), 2, 1), ((4, 4), 2, 1), ((3, 3), 3, 1), ((7, 7), 1, 1), ((3, 3), 2, 2)]:
        axes = window_axes(x, kernel, (stride,) * 2, (0, 0), (1, dilation), False)
        assert not pooling_small.fits(x, *axes)
    for stride in (1, 2):
        assert not pooling_small.fits(x[:0], *window_axes(x, (3, 3), (stride,) * 2, (0, 0), (1, 1), False))


def _windows(kernel, stride, size):
    return window_axes(
        np.broadcast_to(np.float32(0), (1, 1, *size)), (kernel,) * 2, (stride,) * 2, (1, 1), (1, 1), False
    )


@dtypes
@pytest.mark.parametrize(("kernel", "stride"), pooling_small.MAXIMA)
def test_any_number_of_rows_down(kernel, stride, dtype, monkeypatch, only_general):
    """Each instantiation, whichever the size of an image would choose."""
    rng = np.random.default_rng(6)
    down, across = _windows(kernel, stride, (9, 7))
    x = rng.standard_normal((1, 2, 9, 7)).astype(dtype)
    g = np.rint(4 * rng.standard_normal((1, 2, down.output, across.output))).astype(dtype)
    for special in kernels.SPECIAL:
        monkeypatch.setattr(special, "width_of_access", lambda *_: 0)
    found = []
    for rows in pooling_small.DOWN:
        with monkeypatch.context() as patch:
            patch.setattr(pooling_small, "DOWN", (rows,))
            found.append(every_schedule(lambda: everything(x, g, down, across)))
    only_general()
    expected = [a.tobytes() for a in everything(x, g, down, across)]
    for got in found:
        assert [a.tobytes() for a in got] == expected


@dtypes
@pytest.mark.parametrize(("kernel", "stride"), pooling_small.MEANS)
@pytest.mark.parametrize("padded", [False, True])
def test_means(kernel, stride, padded, dtype, monkeypatch, only_general):
    """Sums of small whole numbers are exact, in whatever order."""
    rng = np.random.default_rng(7)
    down, across = _windows(kernel, stride, (11, 8))
    x = rng.integers(-4, 5, (2, 1, 11, 8)).astype(dtype)
    g = rng.integers(-4, 5, (2, 1, down.output, across.output)).astype(dtype)

    def both():
        return kernels.avg_pool(x, down, across, padded, 4), kernels.avg_pool_gradient(g, down, across, padded, 4)

    for special in kernels.SPECIAL:
        monkeypatch.setattr(special, "width_of_access", lambda *_: 0)
    found = []
    for rows in pooling_small.DOWN_MEANS:
        with monkeypatch.context() as patch:
            patch.setattr(pooling_small, "DOWN_MEANS", (rows,))
            found.append(every_schedule(both))
    only_general()
    expected = [a.tobytes() for a in both()]
    for got in found:
        assert [a.tobytes() for a in got] == expected


@dtypes
def test_adaptive_means_of_any_size(dtype, only_general):
    """The general kernel, which others have taken the place of for all but huge images."""
    x = np.random.default_rng(8).integers(-4, 5, (2, 3, 8, 12)).astype(dtype)
    expected = kernels.adaptive_avg_pool(x, (2, 3))
    only_general()
    (got,) = every_schedule(lambda: (kernels.adaptive_avg_pool(x, (2, 3)),))
    assert got.tobytes() == expected.tobytes()
