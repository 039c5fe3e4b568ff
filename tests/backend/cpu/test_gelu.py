"""The normal distribution behind GELU on NumPy, against `math.erfc`."""

import math

import numpy as np
import pytest

import weft
from weft.backend.cpu import gelu
from weft.backend.nn import activation

X = np.linspace(-40, 40, 40001).astype(np.float32).astype(np.float64)
Φ = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in X])
SLOPE = Φ + X * np.exp(-X * X / 2) / math.sqrt(2 * math.pi)


def test_fit():
    """Good to 5.4·10⁻⁸ everywhere; and the exponent falls where the fit has ended, so that Φ stays 0 and 1 there."""
    n = -gelu.ALPHA * X * X
    k = n + gelu.FIRST
    for a, b in gelu.STEPS:
        k = a / k + n + b
    with np.errstate(over="ignore"):
        found = 1 / (1 + np.exp(X * k))
    assert np.abs(found - Φ).max() < 5.4e-8
    assert (np.diff(X * k) < 0).all()


@pytest.mark.parametrize("far", [1e4, 1e15, 3e38])
def test_far_out(far):
    x = np.array([-far, far], np.float32)
    y, (pull,) = activation.gelu.impls["cpu"](x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    np.testing.assert_array_equal(pull(np.ones_like(x)), [0, 1])


def test_float32():
    """A few roundings of Φ, absolutely; with and without a tape the same bits."""
    x = X.astype(np.float32)
    y, (pull,) = activation.gelu.impls["cpu"](x)
    assert (np.abs(y - X * Φ) <= 3e-7 * np.maximum(1, np.abs(X))).all()
    assert np.abs(pull(np.ones_like(x)) - SLOPE).max() <= 3e-7
    with weft.no_grad():
        np.testing.assert_array_equal(activation.gelu.impls["cpu"](x)[0], y)
