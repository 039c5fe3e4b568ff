"""Colours against the steps of the definition, pixel by pixel, in float64."""

import colorsys

import numpy as np
import pytest

from weft.data import augment as A


def pictures(n=3, channels=3, dtype=np.float64):
    x = np.random.default_rng(0).random((n, channels, 4, 5))
    return np.rint(255 * x).astype(dtype) if np.dtype(dtype).kind == "u" else x.astype(dtype)


def luma(x):
    return 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]


class TestColorJitter:
    def test_brightness_contrast_saturation(self):
        x = pictures()
        y = A.ColorJitter((1.1, 1.1), (0.7, 0.7), (0.4, 0.4))(x)
        expected = 1.1 * x
        expected = 0.7 * expected + 0.3 * luma(expected).mean((1, 2))[:, None, None, None]
        expected = 0.4 * expected + 0.6 * luma(expected)[:, None]
        np.testing.assert_allclose(y, np.clip(expected, 0, 1), rtol=1e-12)

    def test_bytes_are_rounded_once(self):
        x = pictures(dtype=np.uint8)
        y = A.ColorJitter((1.3, 1.3), (0.7, 0.7))(x)
        expected = 1.3 * x
        expected = 0.7 * expected + 0.3 * luma(expected).mean((1, 2))[:, None, None, None]
        assert (y == np.rint(np.clip(expected, 0, 255))).mean() > 0.99
        assert np.abs(y - expected.clip(0, 255)).max() < 0.501

    @pytest.mark.parametrize("thirds", [-1, 1])
    def test_a_third_of_a_turn_is_that_of_hsv(self, thirds):
        x = pictures()
        y = A.ColorJitter(hue=(thirds / 3, thirds / 3))(x)
        for before, after in zip(np.moveaxis(x, 1, -1).reshape(-1, 3), np.moveaxis(y, 1, -1).reshape(-1, 3)):
            h, s, v = colorsys.rgb_to_hsv(*before)
            np.testing.assert_allclose(after, colorsys.hsv_to_rgb((h + thirds / 3) % 1, s, v), atol=1e-12)

    def test_hue_keeps_grey_and_sums(self):
        x = 0.3 + 0.2 * pictures()
        y = A.ColorJitter(hue=0.5)(x)
        np.testing.assert_allclose(y.sum(1), x.sum(1), rtol=1e-12)
        grey = np.full((2, 3, 2, 2), 0.4)
        np.testing.assert_allclose(A.ColorJitter(hue=0.5)(grey), grey, rtol=1e-12)

    def test_one_channel(self):
        x = pictures(channels=1)
        y = A.ColorJitter((0.9, 0.9), (0.5, 0.5), 0.5, 0.5)(x)
        np.testing.assert_allclose(y, 0.45 * x + 0.45 * x.mean((1, 2, 3), keepdims=True), rtol=1e-12)

    def test_ranges(self):
        jitter = A.ColorJitter(1.5, (0.2, 0.3), 0, 0.1)
        assert (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue) == (
            (0.0, 2.5), (0.2, 0.3), (1.0, 1.0), (-0.1, 0.1)
        )  # fmt: skip

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`hue` must be \(least, greatest\) in \[-0.5, 0.5\], got \(-0.6, 0.6\)"):
            A.ColorJitter(hue=0.6)
        with pytest.raises(ValueError, match=r"`contrast` must be at least 0 where it is one number, got -1"):
            A.ColorJitter(contrast=-1)
        with pytest.raises(
            ValueError, match=r"`inputs` must have 1 or 3 channels to change colours, got shape \(3, 2, 4, 5\)"
        ):
            A.ColorJitter(0.1)(pictures(channels=2))
        with pytest.raises(
            ValueError, match=r"`inputs` must be in \[0, 1\] to change colours, got \[.*\]; augment before"
        ):
            A.ColorJitter(0.1)(255 * pictures())


def test_grayscale():
    x = pictures(200)
    y = A.RandomGrayscale(0.3)(x)
    grey = np.isclose(y, luma(x)[:, None]).all((1, 2, 3))
    assert 40 < grey.sum() < 80
    assert (y[~grey] == x[~grey]).all()
