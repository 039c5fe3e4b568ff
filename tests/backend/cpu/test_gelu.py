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
    """Good to 7.1·10⁻⁸ everywhere; and u rises where the fit has ended, so that Φ stays 0 and 1 there."""
    (b0, a1, b1, a2), n = gelu.FRACTION, X * X
    u = gelu.ALPHA * X * (n + b0 + a2 / (n + b1 + a1 / (n + b0)))
    assert np.abs((1 + np.tanh(u)) / 2 - Φ).max() < 7.1e-8
    assert (np.diff(u) > 0).all()


@pytest.fixture(params=[1, -2], ids=["tanh", "exp"], autouse=True)
def scale(request, monkeypatch):
    """Both ways of the distribution, whichever this machine takes."""
    monkeypatch.setattr(gelu, "SCALE", request.param)
    gelu._numbers.cache_clear()
    yield
    gelu._numbers.cache_clear()


@pytest.mark.parametrize(
    ("target", "has_vectors"), [("X86_V4", True), ("AVX512_SKX", True), ("baseline(X86_V2)", False), ("NEON", False)]
)
def test_choice(target, has_vectors, monkeypatch):
    known = {"tanh": {"ff": {"current": target}}}
    monkeypatch.setattr("numpy.lib.introspect.opt_func_info", lambda func_name: known)
    assert gelu._has_vectors() == has_vectors


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
def test_captured(approximate):
    """Also what lies far out in one replay and not in the next."""

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
