"""Maxima bit for bit as `pooling.cu` computes them, whose tests are against float64; means as NumPy does in the same order."""

from typing import NamedTuple

import numpy as np
import pytest
from kernel_harness import dtypes, every_schedule, means_in_order, same_numbers

from weft.kernels import pooling as kernels
from weft.kernels import pooling_2x2

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1.0]


class Axis(NamedTuple):
    size: int
    output: int
    kernel: int = 2
    stride: int = 2
    before: int = 0
    dilation: int = 1


def maxima(x, g, down, across):
    y, taps, _ = kernels.max_pool(x, down, across)
    return y, taps, kernels.max_pool_gradient(g, taps, down, across)


@dtypes
@pytest.mark.parametrize("shape", [(1, 1, 2, 4), (2, 3, 6, 12), (3, 5, 10, 16), (1, 2, 2, 1032)])
def test_same_bits(shape, dtype, only_general):
    rng = np.random.default_rng(5)
    down, across = (Axis(n, n // 2) for n in shape[2:])
    x = rng.standard_normal(shape)
    x.flat[::3] = rng.choice(SPECIAL, x.flat[::3].size)
    g = rng.standard_normal((*shape[:2], down.output, across.output))
    g.flat[::5] = -0.0
    x, g = x.astype(dtype), g.astype(dtype)
    assert pooling_2x2.width_of_access(x, down, across) in (4, 8)
    means = every_schedule(lambda: (kernels.avg_pool(x, down, across), kernels.avg_pool_gradient(g, down, across)))
    same_numbers(means, means_in_order(x, g, down, across))
    got = every_schedule(lambda: maxima(x, g, down, across))
    only_general()
    for ours, general in zip(got, maxima(x, g, down, across)):
        assert ours.dtype == general.dtype
        assert ours.tobytes() == general.tobytes()


@pytest.mark.parametrize(
    ("down", "across"),
    [
        (Axis(6, 3), Axis(6, 3)),  # rows of six pixels
        (Axis(7, 3), Axis(8, 4)),  # a row left over
        (Axis(8, 4), Axis(8, 4, dilation=2)),
        (Axis(8, 5, before=1), Axis(8, 4)),
        (Axis(8, 7, stride=1), Axis(8, 4)),
        (Axis(8, 3, kernel=3), Axis(8, 4)),
    ],
)
def test_what_does_not_fit(down, across):
    x = np.zeros((1, 1, down.size, across.size), np.float32)
    assert pooling_2x2.width_of_access(x, down, across) == 0


def test_memory_that_begins_anywhere():
    memory = np.zeros(65, np.float32)
    down = across = Axis(8, 4)
    assert pooling_2x2.width_of_access(memory[1:].reshape(1, 1, 8, 8), down, across) == 0
