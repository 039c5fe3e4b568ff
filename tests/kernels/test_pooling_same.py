"""Maxima bit for bit as `pooling.cu` computes them, whose tests are against float64; means as NumPy does in the same order."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import dtypes, every_schedule, means_in_order, same_numbers

from weft.kernels import pooling as kernels
from weft.kernels import pooling_same

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1.0]
# rows of one access and of more than a warp's; planes of one row, of ROWS and one more; strips that end within a warp
SHAPES = [(1, 1, 1, 4), (1, 2, 2, 8), (2, 3, 5, 12), (3, 5, 9, 16), (1, 2, 4, 1032)]


class Axis(NamedTuple):
    size: int
    output: int
    kernel: int = 3
    stride: int = 1
    before: int = 1
    dilation: int = 1


def maxima(x, g, axes):
    y, taps, _ = kernels.max_pool(x, *axes)
    return y, taps, kernels.max_pool_gradient(g, taps, *axes)


def means(x, g, axes, *count):
    return kernels.avg_pool(x, *axes, *count), kernels.avg_pool_gradient(g, *axes, *count)


def arrays(shape, dtype):
    rng = np.random.default_rng(5)
    x, g = (rng.standard_normal(shape) for _ in range(2))
    g.flat[::5] = -0.0
    axes = [Axis(n, n) for n in shape[2:]]
    assert pooling_same.width_of_access(x.astype(dtype), *axes) in (4, 8)
    return x, g.astype(dtype), axes


@dtypes
@pytest.mark.parametrize("shape", SHAPES)
def test_maxima(shape, dtype, only_general):
    x, g, axes = arrays(shape, dtype)
    x.flat[::3] = np.random.default_rng(6).choice(SPECIAL, x.flat[::3].size)
    x = x.astype(dtype)
    got = every_schedule(lambda: maxima(x, g, axes))
    only_general()
    for ours, general in zip(got, maxima(x, g, axes)):
        assert ours.dtype == general.dtype
        assert ours.tobytes() == general.tobytes()


@dtypes
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [(True, None), (False, None), (False, 5), (True, -2)], ids=str)
def test_means(shape, dtype, count):
    x, g, axes = arrays(shape, dtype)
    x = x.astype(dtype)
    same_numbers(every_schedule(lambda: means(x, g, axes, *count)), means_in_order(x, g, *axes, *count))


@pytest.mark.parametrize("width", [8, 12])
def test_what_is_not_finite_stays_in_its_windows(width):
    x = np.zeros((1, 1, 5, width), np.float32)
    x[0, 0, 2, 4] = np.inf
    axes = Axis(5, 5), Axis(width, width)
    for y in means(x, x, axes):
        assert np.isinf(y[0, 0, 1:4, 3:6]).all()
        assert np.isinf(y).sum() == 9
        assert not np.isnan(y).any()


@pytest.mark.parametrize(
    ("down", "across"),
    [
        (Axis(6, 6), Axis(6, 6)),  # rows of six pixels
        (Axis(8, 6, before=0), Axis(8, 8)),
        (Axis(8, 4, stride=2), Axis(8, 8)),
        (Axis(8, 9, kernel=2), Axis(8, 8)),
        (Axis(8, 6, dilation=2), Axis(8, 8)),
    ],
)
def test_what_does_not_fit(down, across):
    x = np.zeros((1, 1, down.size, across.size), np.float32)
    assert pooling_same.width_of_access(x, down, across) == 0


def test_memory_that_begins_anywhere():
    memory = np.zeros(65, np.float32)
    assert pooling_same.width_of_access(memory[1:].reshape(1, 1, 8, 8), Axis(8, 8), Axis(8, 8)) == 0
