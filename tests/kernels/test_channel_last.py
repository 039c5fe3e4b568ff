"""Channel-last copies are exact."""

import numpy as np
import pytest
from kernel_harness import every_schedule, halves

from weft.kernels.channel_last import channel_last, pixel_pairs


@pytest.mark.parametrize("channels", [1, 3, 8, 9, 31, 64, 72, 130])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (1, 65), (6, 12)])
@halves
def test_values(channels, size, dtype):
    x = np.random.default_rng(0).standard_normal((2, channels, *size)).astype(dtype)
    y = every_schedule(lambda: channel_last(x))
    assert y.shape == (2, *size, -(-channels // 8) * 8)
    np.testing.assert_array_equal(y[..., :channels].astype(float), x.transpose(0, 2, 3, 1).astype(float))
    assert not y[..., channels:].astype(float).any()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (3, 130)])
@pytest.mark.parametrize("front", [0, 1])
@halves
def test_pairs(channels, size, front, dtype):
    """What follows a row, or comes before it, is zeros, not the next row's."""
    x = np.random.default_rng(0).standard_normal((2, channels, *size)).astype(dtype)
    y = every_schedule(lambda: pixel_pairs(x, front))
    h, w = size
    assert y.shape == (2, h, (w + front + 1) // 2, 8)
    pixels = y.reshape(2, h, -1, 4).astype(float)
    np.testing.assert_array_equal(pixels[:, :, front : front + w, :channels].transpose(0, 3, 1, 2), x.astype(float))
    assert np.count_nonzero(pixels) == np.count_nonzero(x)


@pytest.mark.parametrize("shift", [1, 2])
def test_pairs_misaligned(shift):
    """Where rows begin at no multiple of 4 bytes, and where at none of 16."""
    wide = np.arange(2 * 3 * 64 + shift).astype(np.float16)
    x = wide[shift:].reshape(2, 3, 8, 8)
    np.testing.assert_array_equal(pixel_pairs(x).reshape(2, 8, 8, 4)[..., :3].transpose(0, 3, 1, 2), x)


def test_misaligned():
    wide = np.arange(2 * 16 * 64 + 1).astype(np.float16)
    x = wide[1:].reshape(2, 16, 8, 8)
    np.testing.assert_array_equal(channel_last(x), x.transpose(0, 2, 3, 1))


def test_as_it_lies():
    """What is channel-last in memory is not copied, unless zeros are to be added or it begins anywhere."""
    last = np.ones((2, 4, 5, 8), np.float16)
    assert np.shares_memory(channel_last(last.transpose(0, 3, 1, 2)), last)
    assert channel_last(last[..., :7].transpose(0, 3, 1, 2)).shape == last.shape
    shifted = np.ones(last.size + 1, np.float16)[1:].reshape(last.shape)
    assert not np.shares_memory(channel_last(shifted.transpose(0, 3, 1, 2)), shifted)
