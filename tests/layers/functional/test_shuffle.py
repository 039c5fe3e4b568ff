"""Against loops over the formulas' indices."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F


def shuffled(x, r):
    *lead, c, h, w = x.shape
    y = np.empty((*lead, c // r**2, h * r, w * r), x.dtype)
    for i in range(r):
        for j in range(r):
            y[..., i::r, j::r] = x[..., i * r + j :: r * r, :, :]
    return y


@pytest.mark.parametrize("r", [1, 2, 3])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3), (0,)])
def test_pixels(r, lead, rng):
    x = rng.standard_normal((*lead, 2 * r * r, 3, 4))
    y = shuffled(x, r)
    np.testing.assert_array_equal(F.pixel_shuffle(weft.tensor(x), r).numpy(), y)
    np.testing.assert_array_equal(F.pixel_unshuffle(weft.tensor(y), r).numpy(), x)


@pytest.mark.parametrize("f", [F.channel_shuffle, F.native_channel_shuffle])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_channels(f, groups, rng):
    x = rng.standard_normal((2, 6, 3, 2))
    order = [g * (6 // groups) + i for i in range(6 // groups) for g in range(groups)]
    np.testing.assert_array_equal(f(weft.tensor(x), groups).numpy(), x[:, order])


def test_gradients_move_back(rng):
    for f, shape, n in [
        (F.pixel_shuffle, (2, 8, 3, 2), 2),
        (F.pixel_unshuffle, (1, 4, 6), 2),
        (F.channel_shuffle, (2, 6, 2), 3),
    ]:
        x = weft.tensor(rng.standard_normal(shape), requires_grad=True)
        y = f(x, n)
        y.backward(y.detach())
        np.testing.assert_array_equal(x.grad.numpy(), x.detach().numpy())


def test_errors():
    with pytest.raises(ValueError, match=r"a multiple of `upscale_factor`² = 4 channels on axis -3, got 6 in shape"):
        F.pixel_shuffle(weft.ones((6, 2, 2)), 2)
    with pytest.raises(
        ValueError, match=r"multiples of `downscale_factor` = 2 as its last two axes, got shape \(1, 3, 2\)"
    ):
        F.pixel_unshuffle(weft.ones((1, 3, 2)), 2)
    with pytest.raises(ValueError, match=r"`groups` must divide the 6 channels of `input` \(1, 6, 2\), got 4"):
        F.channel_shuffle(weft.ones((1, 6, 2)), 4)
    with pytest.raises(ValueError, match=r"`input` must have at least 3 axes, got shape \(6, 2\)"):
        F.pixel_shuffle(weft.ones((6, 2)), 2)
    with pytest.raises(ValueError, match=r"`upscale_factor` must be .*, got 0"):
        F.pixel_shuffle(weft.ones((4, 2, 2)), 0)
