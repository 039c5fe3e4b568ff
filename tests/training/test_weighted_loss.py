"""Samples weighted by their class, against NumPy in float64."""

import numpy as np
import pytest

import weft
from weft.training.weighted_loss import SampleWeightedCrossEntropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_value_and_gradient(rng, smoothing):
    x, y, w = rng.standard_normal((7, 3)), rng.integers(0, 3, 7), np.array([0.5, 1.0, 9.0])
    input = weft.tensor(x, requires_grad=True)
    loss = SampleWeightedCrossEntropy(weft.tensor(w), smoothing)(input, weft.asarray(y))
    loss.backward()
    q = (1 - smoothing) * np.eye(3)[y] + smoothing / 3
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loss.item(), (w[y] * -(q * np.log(p)).sum(axis=1)).sum() / w[y].sum())
    np.testing.assert_allclose(input.grad.numpy(), (p - q) * w[y][:, None] / w[y].sum(), atol=1e-12)


def test_equal_weights_change_nothing(rng):
    x, y = weft.tensor(rng.standard_normal((7, 3))), weft.asarray(rng.integers(0, 3, 7))
    weighted = SampleWeightedCrossEntropy(weft.tensor([2.0, 2.0, 2.0], dtype=weft.float64), 0.1)(x, y)
    np.testing.assert_allclose(weighted.item(), weft.layers.CrossEntropyLoss(label_smoothing=0.1)(x, y).item())


def test_mixed_samples(rng):
    """Whole shares are classes."""
    x, y, w = (
        weft.tensor(rng.standard_normal((7, 3))),
        rng.integers(0, 3, 7),
        weft.tensor([0.5, 1.0, 9.0], dtype=weft.float64),
    )
    loss = SampleWeightedCrossEntropy(w, 0.1)
    np.testing.assert_allclose(loss(x, weft.tensor(np.eye(3)[y])).item(), loss(x, weft.asarray(y)).item())
