"""Tables: noise by its moments, new rows by where they lie."""

import numpy as np
import pytest

import weft
from weft.data import augment as A


class TestFeatureNoise:
    def test_moments(self):
        y = A.FeatureNoise([0.0, 0.5, 2.0])(np.ones((20000, 3)))
        np.testing.assert_allclose(y.std(0), [0, 0.5, 2], rtol=0.02)
        np.testing.assert_allclose(y.mean(0), 1, atol=0.05)

    def test_rows(self):
        y = A.FeatureNoise(p=0.3)(np.zeros((1000, 2), np.float32))
        assert y.dtype == np.float32
        assert 250 < (y != 0).all(1).sum() < 350
        assert ((y != 0).all(1) == (y != 0).any(1)).all()
        assert (A.FeatureNoise(0)(y) == y).all()

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`sigma` must have one number for each of 3 features, got 2"):
            A.FeatureNoise([0.1, 0.2])(np.zeros((4, 3)))
        with pytest.raises(
            ValueError, match=r"`inputs` must be floating-point numbers \(N, …, D\), got int64 \(4, 3\)"
        ):
            A.FeatureNoise()(np.zeros((4, 3), np.int64))


class TestInterpolation:
    def test_lies_between_two_of_its_class(self):
        labels = np.random.default_rng(0).integers(0, 4, 60)
        x = np.stack([np.arange(60.0), labels], 1)
        y, same = A.Interpolation(1.0)(x, labels)
        assert same is labels
        np.testing.assert_allclose(y[:, 1], labels)
        low, high = (np.array([f(x[labels == c, 0]) for c in labels]) for f in (np.min, np.max))
        assert ((low <= y[:, 0]) & (y[:, 0] <= high)).all()
        assert (y[:, 0] != x[:, 0]).sum() > 55

    def test_alone_in_its_class(self):
        x = np.arange(3.0)[:, None]
        assert (A.Interpolation(1.0)(x, np.arange(3))[0] == x).all()
        assert (A.Interpolation(1.0)(x) != x).all()
        assert (A.Interpolation(0)(x) == x).all()

    def test_devices(self, accelerator):
        x, labels = np.random.default_rng(0).random((30, 4)), np.arange(30) % 3
        expected = A.Interpolation()(x, labels, generator=weft.Generator(3))[0]
        there = [weft.asarray(a, device=accelerator) for a in (x, labels)]
        np.testing.assert_allclose(
            A.Interpolation()(*there, generator=weft.Generator(3))[0].numpy(), expected, rtol=1e-14
        )

    def test_wrong(self):
        with pytest.raises(ValueError, match=r"`labels` must be classes \(N,\), got float64 \(3, 2\)"):
            A.Interpolation()(np.zeros((3, 2)), np.zeros((3, 2)))


class TestSmote:
    def test_classes_are_equal_and_new_rows_lie_on_segments(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(60, 3)) + 1e4, np.repeat([2, 5, 9], [40, 12, 8])
        new_x, new_y = A.smote(x, y, 4)
        assert np.unique(new_y, return_counts=True)[1].tolist() == [40, 40, 40]
        assert (new_x[:60] == x).all()
        for row, label in zip(new_x[60:], new_y[60:]):
            own, fits = x[y == label], False
            for start in own:
                distance = ((own - start) ** 2).sum(1)
                for end in own[np.argsort(distance)[1:5]]:
                    share = (row - start) @ (end - start) / ((end - start) @ (end - start))
                    fits |= bool(-1e-6 <= share < 1 and np.allclose(row, start + share * (end - start), atol=1e-8))
            assert fits

    def test_seed_and_dtype(self):
        x, y = np.random.default_rng(0).random((9, 2), np.float32), np.array([0] * 6 + [1] * 3)
        first, again = (A.smote(x, y, generator=weft.Generator(3))[0] for _ in range(2))
        assert first.dtype == np.float32
        assert (first == again).all()

    def test_wrong(self):
        with pytest.raises(
            ValueError, match=r"`y` must have at least two rows of each class that is filled up, got one of .*1"
        ):
            A.smote(np.zeros((4, 2)), np.array([0, 0, 0, 1]))
        with pytest.raises(
            ValueError, match=r"`x` must be floating-point \(N, D\) and `y` \(N,\), got int64 \(4,\) and \(4,\)"
        ):
            A.smote(np.arange(4), np.arange(4))
        with pytest.raises(ValueError, match=r"`k_neighbors` must be an integer in \[1, inf\], got 0"):
            A.smote(np.zeros((4, 2)), np.arange(4), 0)
