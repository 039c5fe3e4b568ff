"""Against complex numbers in float64; halves also against the same NumPy operations in the same precision."""

import numpy as np
import pytest
from kernel_harness import SIZES, close, dtypes, every_schedule, no_worse, rounded

from weft.kernels import rotary as kernels


def plain(x, cos, sin, interleaved):
    n = cos.shape[-1]
    a, b = (x[..., : 2 * n : 2], x[..., 1 : 2 * n : 2]) if interleaved else (x[..., :n], x[..., n : 2 * n])
    y = np.array(np.broadcast_to(x, x.shape))
    there = (slice(0, 2 * n, 2), slice(1, 2 * n, 2)) if interleaved else (slice(n), slice(n, 2 * n))
    y[..., there[0]], y[..., there[1]] = a * cos - b * sin, b * cos + a * sin
    return y


def check(low, high, angles, interleaved):
    cos, sin = np.cos(angles).astype("f"), np.sin(angles).astype("f")

    def run():
        y = kernels.rotary(low, cos, sin, interleaved=interleaved)
        return y, kernels.rotary(y, cos, sin, interleaved=interleaved, inverse=True)

    y, back = every_schedule(run)
    exact = plain(high, np.cos(angles), np.sin(angles), interleaved)
    if low.dtype == np.float32:
        close(y, exact)
        close(back, high, 2)
    else:
        no_worse(y, plain(low, cos.astype(low.dtype), sin.astype(low.dtype), interleaved), exact)
        np.testing.assert_allclose(back.astype("d"), high, atol=0.05)


both = pytest.mark.parametrize("interleaved", [False, True])


@dtypes
@both
@pytest.mark.parametrize(
    "shape", [(2, 3, 5, 64), (2, 3, 5, 6), (1, 2, 3, 40), (7, 16), (2, 2, 2, 3, 8), (2, 9, 3, 16)], ids=str
)
def test_shapes(rng, dtype, interleaved, shape):
    check(*rounded(rng.standard_normal(shape), dtype), rng.standard_normal((shape[-2], shape[-1] // 2)), interleaved)


@dtypes
@both
@pytest.mark.parametrize("length", SIZES)
def test_lengths(rng, dtype, interleaved, length):
    check(*rounded(rng.standard_normal((1, length, 4)), dtype), rng.standard_normal((length, 2)), interleaved)


@dtypes
@both
@pytest.mark.parametrize("turned", [2, 16, 32])
def test_in_part(rng, dtype, interleaved, turned):
    check(*rounded(rng.standard_normal((2, 2, 3, 48)), dtype), rng.standard_normal((3, turned // 2)), interleaved)


@both
@pytest.mark.parametrize("table", [(2, 1, 5, 8), (2, 6, 5, 8), (1, 6, 1, 8), (1, 8), (8,)], ids=str)
def test_tables(rng, interleaved, table):
    """Angles of each sample, and what else broadcasts."""
    check(*rounded(rng.standard_normal((2, 6, 5, 16)), np.float32), rng.standard_normal(table), interleaved)


@both
def test_layouts(rng, interleaved):
    """Heads as a projection leaves them, and rows that run backwards."""
    low, high = rounded(rng.standard_normal((2, 5, 3, 4, 16)), np.float32)
    angles = rng.standard_normal((5, 8))
    check(*(x[:, :, 1].swapaxes(1, 2) for x in (low, high)), angles, interleaved)
    check(*(x[:, :, 1].swapaxes(1, 2)[..., ::-1] for x in (low, high)), angles, interleaved)


def test_too_many_threads():
    x = np.lib.stride_tricks.as_strided(np.zeros(4, np.float32), (1 << 32, 1, 1, 4), (0, 0, 0, 4))
    with pytest.raises(ValueError, match="got 4294967296 for"):
        kernels.rotary(x, np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
