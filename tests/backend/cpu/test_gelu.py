"""The normal distribution behind GELU on NumPy, against `math.erfc`."""

import math

import numpy as np
import pytest

import weft
from weft.backend.cpu import gelu
from weft.backend.nn import activation
from weft.layers import functional as F

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


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_next_to_what_lies_far_out(approximate):
    """Whose powers are taken otherwise: a few roundings apart from what it is among others, at the bounds as well."""
    near = np.linspace(-12.49, 12.49, 3001).astype(np.float32)
    near = near if approximate == "none" else near * np.float32(9.49 / 12.49)
    both = np.concatenate([near, np.float32([60, -60])])
    (y, (pull,)), (wide, (pull_wide,)) = (
        activation.gelu.impls["cpu"](x, approximate=approximate) for x in (near, both)
    )
    assert (np.abs(y - wide[:-2]) <= 3e-7 * np.maximum(1, np.abs(near))).all()
    assert np.abs(pull(np.ones_like(near)) - pull_wide(np.ones_like(both))[:-2]).max() <= 3e-7 * 4
    np.testing.assert_array_equal(wide[-2:], [60, 0])


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_captured(approximate):
    """What lies far out in one replay and not in the next is told apart in each."""

    weight = weft.ones((300, 200)).requires_grad_()

    def step(x):
        weight.grad = None
        y = F.gelu(x * weight, approximate=approximate)
        y.sum().backward()
        return y

    run = weft.capture(step, strict=True)
    for i in range(6):
        x = np.random.default_rng(i).standard_normal((300, 200)).astype(np.float32) * (1 if i % 2 else 30)
        y, of_weight = [], []
        for f in (run, step):
            y.append(f(weft.asarray(x)).detach().numpy().copy())
            of_weight.append(weight.grad.numpy().copy())
        np.testing.assert_array_equal(*y)
        np.testing.assert_array_equal(*of_weight)
