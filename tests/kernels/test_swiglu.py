"""Against the formula in float64; halves also against the same NumPy operations in the same precision."""

import numpy as np
import pytest
from kernel_harness import SIZES, close, dtypes, every_schedule, no_worse, rounded

from weft.kernels import swiglu as kernels


def sigmoid(x):
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-abs(x)))


def plain(g, x, gate):
    s = sigmoid(gate)
    return x * (gate * s), g * (gate * s), g * x * (s * (1 + gate * (1 - s)))


def check(g, x, gate):
    """Each a pair: in the dtype, and the same numbers in float64."""

    def run():
        return kernels.forward(x[0], gate[0]), *kernels.backward(g[0], x[0], gate[0])

    for ours, exact, half in zip(every_schedule(run), plain(g[1], x[1], gate[1]), plain(g[0], x[0], gate[0])):
        if ours.dtype == np.float32:
            close(ours, exact, 3)
        else:
            no_worse(ours, half, exact)


def drawn(rng, dtype, *shapes):
    return [rounded(2 * rng.standard_normal(s), dtype) for s in shapes]


@dtypes
@pytest.mark.parametrize("shape", [*SIZES, (3, 5, 33), (2, 64), (3, 0), (1025, 3)], ids=str)
def test_shapes(rng, dtype, shape):
    check(*drawn(rng, dtype, shape, shape, shape))


@dtypes
@pytest.mark.parametrize("width", [5, 64])
def test_halves_of_one_array(rng, dtype, width):
    """Rows with something between them are not copied."""
    g, both = drawn(rng, dtype, (3, 7, width), (3, 7, 2 * width))
    check(g, *([a[..., part] for a in both] for part in (slice(width), slice(width, None))))


def test_any_layout(rng):
    g, x, gate = ([a.T for a in pair] for pair in drawn(rng, np.float32, (9, 8), (9, 8), (9, 8)))
    check(g, x, gate)
    check(*([a[::-1] for a in pair] for pair in (g, x, gate)))
