"""Noise by its moments, erased rectangles by their shape."""

import numpy as np
import pytest

from weft.data import augment as A


class TestGaussianNoise:
    def test_moments(self):
        y = A.GaussianNoise(0.1, 0.05)(np.full((8, 3, 32, 32), 0.5))
        assert abs(y.mean() - 0.6) < 2e-3
        assert abs(y.std() - 0.05) < 2e-3

    def test_is_cut_to_the_range(self):
        x = np.zeros((2, 1, 8, 8), np.float32)
        assert A.GaussianNoise()(x).min() == 0
        assert A.GaussianNoise(clip=False)(x).min() < 0

    def test_bytes(self):
        y = A.GaussianNoise(sigma=0.1)(np.full((8, 3, 32, 32), 128, np.uint8))
        assert y.dtype == np.uint8
        assert abs(y.std() - 25.5) < 1

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`sigma` must be a number in \[0, inf\], got -1"):
            A.GaussianNoise(sigma=-1)


class TestRandomErasing:
    def test_one_rectangle(self):
        x = np.ones((300, 2, 20, 20), np.uint8)
        y = A.RandomErasing(0.5, value=(7, 9))(x)
        erased = (y != 1).any(1)
        hit = erased.any((1, 2))
        assert 120 < hit.sum() < 180
        for image, cut in zip(y[hit], erased[hit]):
            rows, columns = np.nonzero(cut.any(1))[0], np.nonzero(cut.any(0))[0]
            window = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert (window[0] == 7).all()
            assert (window[1] == 9).all()
            assert window[0].size == cut.sum()
        share = erased[hit].mean((1, 2))
        assert share.min() < 0.06
        assert 0.25 < share.max() < 0.36

    def test_random_value(self):
        y = A.RandomErasing(1, (0.3, 0.33), value="random")(np.zeros((4, 1, 32, 32), np.float32))
        assert y.max() < 1
        assert 0.45 < y[y > 0].mean() < 0.55

    def test_nothing_to_erase(self):
        x = np.ones((4, 1, 8, 8))
        assert (A.RandomErasing(1, (0, 0))(x) == x).all()

    def test_wrong(self):
        with pytest.raises(
            ValueError, match=r"`value` must be a number, one for each channel, or 'random', got 'noise'"
        ):
            A.RandomErasing(value="noise")
