"""Mixtures: of two inputs, with labels that say how much there is of each."""

import numpy as np
import pytest

from weft.data import augment as A


class TestMixUp:
    @pytest.mark.parametrize("shape", [(), (5,), (3, 8, 8)])
    def test_labels_say_what_inputs_are(self, shape):
        """Of constant inputs the mixture's value and its label tell the same share."""
        n = 16
        x = np.broadcast_to(np.arange(n, dtype=np.float64).reshape(-1, *[1] * len(shape)), (n, *shape))
        y, labels = A.MixUp(num_classes=n)(x, np.arange(n))
        np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
        np.testing.assert_allclose(
            y,
            np.broadcast_to((labels @ np.arange(n)).reshape(x[:, ...].shape[:1] + (1,) * len(shape)), y.shape),
            rtol=1e-5,
        )
        assert labels.dtype == np.float32
        assert ((labels > 0).sum(1) <= 2).all()

    def test_alpha(self):
        shares = [
            A.MixUp(alpha=a, num_classes=2)(np.zeros((2000, 1)), np.arange(2000) % 2)[1][:, 0] for a in (0.1, 1.0, 50.0)
        ]
        assert [abs(s.var() - 1 / (4 * (2 * a + 1))) < 0.01 for s, a in zip(shares, (0.1, 1.0, 50.0))] == [True] * 3

    def test_shares_are_mixed_as_they_are(self):
        labels = np.array([[0.5, 0.5], [1.0, 0.0]])
        _, mixed = A.MixUp()(np.zeros((2, 3)), labels)
        np.testing.assert_allclose(mixed.sum(1), 1)
        assert mixed.dtype == np.float64

    def test_without_labels(self):
        assert A.MixUp()(np.zeros((4, 3, 8, 8), np.uint8)).dtype == np.uint8

    def test_wrong(self):
        x = np.zeros((4, 3, 8, 8))
        with pytest.raises(ValueError, match=r"`alpha` must be a number in .*, got 0"):
            A.MixUp(alpha=0)
        with pytest.raises(ValueError, match=r"`num_classes` must be a positive integer or None, got 0"):
            A.MixUp(num_classes=0)
        with pytest.raises(ValueError, match=r"`num_classes` must be given where labels are classes \(N,\), got None"):
            A.MixUp()(x, np.arange(4))
        with pytest.raises(ValueError, match=r"`labels` must be in \[0, 3\), got \[0, 3\]"):
            A.MixUp(num_classes=3)(x, np.arange(4))
        with pytest.raises(ValueError, match=r"`labels` must be classes \(N,\) or shares .*, got float64 \(4,\)"):
            A.MixUp(num_classes=3)(x, np.zeros(4))
        with pytest.raises(ValueError, match=r"`masks` must be None for CutMix, which mixes labels"):
            A.CutMix()(x, masks=x)


class TestCutMix:
    def test_labels_are_areas(self):
        n = 64
        x = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 2, 9, 7))
        y, labels = A.CutMix(num_classes=n)(x, np.arange(n))
        np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
        for i in range(n):
            np.testing.assert_allclose(labels[i, i], (y[i] == i).mean(), rtol=1e-5)
            pasted = y[i, 0] != i
            rows, columns = pasted.any(1), pasted.any(0)
            assert (pasted == rows[:, None] & columns).all()
            assert (y[i, 0][pasted] == (i - 1) % n).all()
        assert 0.1 < 1 - labels.max(1).mean() < 0.5
