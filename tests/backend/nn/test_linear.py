"""Against x Wᵀ + b in float64, and the activation applied to it."""

import harness
import ml_dtypes
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import activation
from weft.backend.nn.linear import linear
from weft.layers import functional as F

rng = np.random.default_rng(0)


def a(*shape):
    return rng.standard_normal(shape)


def affine(x, w, b, *, activation=None):
    z = x @ w.T + (0 if b is None else b)
    if activation == "gelu":
        return z * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    return np.maximum(z, 0) if activation == "relu" else z


CASES = [
    *[Case(linear, (a(*s, 4), a(5, 4), b), affine) for s in [(3,), (), (2, 3), (0,), (33,)] for b in (a(5), None)],
    *[Case(linear, (a(*s, 4), a(n, 4), b), affine, {"activation": name}, label=name)
      for name in ("relu", "gelu") for s in [(3,), (2, 3), (0,)] for n in (5, 8) for b in (a(n), None)],
]  # fmt: skip
test_primitive = harness.over(CASES)


class TestActivation:
    """Together, the same bits as one after the other."""

    @pytest.mark.parametrize(("name", "static"), [("relu", {}), ("gelu", {"approximate": "tanh"})])
    @pytest.mark.parametrize("shape", [(5, 7), (64, 200), (2, 5, 7)], ids=str)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_on_a_cpu(self, name, static, shape, dtype):
        raw = a(*shape), a(16, shape[-1]), a(16), a(*shape[:-1], 16)
        found = []
        for together in (True, False):
            x, w, b = (weft.asarray(r.astype(dtype)).requires_grad_() for r in raw[:3])
            if together:
                y = linear(x, w, b, activation=name)
            else:
                y = getattr(activation, name)(linear(x, w, b), **static)
            y.backward(weft.asarray(raw[3].astype(dtype)))
            found.append([t.detach().numpy().tobytes() for t in (y, x.grad, w.grad, b.grad)])
        assert found[0] == found[1]

    @pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
    def test_relu_in_half_precision(self, dtype):
        x, w, b = (weft.asarray(r.astype(dtype)) for r in (a(5, 7), a(16, 7), a(16)))
        together, apart = linear(x, w, b, activation="relu"), activation.relu(linear(x, w, b))
        assert together.dtype == dtype
        assert together.numpy().tobytes() == apart.numpy().tobytes()


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.parametrize("name", [None, "relu", "gelu"])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_gradients_of_halves_into_float32(name, dtype):
    """As `autocast` wants them: a kernel's pullback writes where it is told to, in the precision that it finds there."""
    x, w, b, g = (r.astype(dtype) for r in (a(6, 7), a(16, 7), a(16), a(6, 16)))
    there = weft.asarray(np.zeros(1), device="emulator").data
    to_device = lambda r: weft.asarray(r, device="emulator").data
    y, vjp = linear.impls["emulator"](to_device(x), to_device(w), to_device(b), activation=name)
    assert type(y) is type(there)
    into = [None, to_device(np.zeros((16, 7), "f")), to_device(np.zeros(16, "f"))]
    _, grad_w, grad_b = vjp(to_device(g), (False, True, True), into)
    assert grad_w is into[1]
    assert grad_b is into[2]
    exact = linear.generic(np, *(r.astype(float) for r in (x, w, b)), activation=name)[1](
        g.astype(float), (False, True, True), [None] * 3
    )
    tolerance = 1e-5 if name is None else 1e-2  # the gradient of what f is applied to is rounded to half precision
    for got, expected in zip((grad_w, grad_b), exact[1:]):
        np.testing.assert_allclose(got.get(), expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_activation_without_gradients(activation):
    """Replacements of activations have no pullback there."""
    x, w = weft.randn(40, 30), weft.randn(50, 30)
    with weft.no_grad():
        y = F.linear(x, w, activation=activation)
    np.testing.assert_array_equal(y.numpy(), F.linear(x, w, activation=activation).numpy())
