"""Activations against their formulas in NumPy, and what they say of wrong arguments."""

import math

import numpy as np
import pytest

import weft
from weft.layers import functional as F

X = np.array([[-50.0, -3.5, -3.0, -1.0, -0.1, 0.0], [0.1, 0.5, 1.0, 3.0, 6.5, 50.0]])
ERF = np.vectorize(math.erf)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def softplus(x):
    return np.logaddexp(0, x)


def elu(x, a=1.0):
    return np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))


CASES = {
    "relu": [((), lambda x: np.maximum(x, 0)), ((True,), lambda x: np.maximum(x, 0))],
    "relu6": [((), lambda x: np.clip(x, 0, 6))],
    "leaky_relu": [((), lambda x: np.where(x > 0, x, 0.01 * x)), ((0.3,), lambda x: np.where(x > 0, x, 0.3 * x))],
    "hardtanh": [((), lambda x: np.clip(x, -1, 1)), ((-2.0, 0.5), lambda x: np.clip(x, -2, 0.5))],
    "threshold": [((0.2, 7.0), lambda x: np.where(x > 0.2, x, 7.0))],
    "heaviside": [((), lambda x: np.heaviside(x, 1.0)), ((0.5,), lambda x: np.heaviside(x, 0.5))],
    "hardsigmoid": [((), lambda x: np.clip(x + 3, 0, 6) / 6)],
    "hardswish": [((), lambda x: x * np.clip(x + 3, 0, 6) / 6)],
    "elu": [((), elu), ((2.0,), lambda x: elu(x, 2.0))],
    "selu": [((), lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772))],
    "celu": [((2.0,), lambda x: np.maximum(x, 0) + np.minimum(0, 2 * np.expm1(np.minimum(x, 0) / 2)))],
    "sigmoid": [((), sigmoid)],
    "logsigmoid": [((), lambda x: -softplus(-x))],
    "tanh": [((), np.tanh)],
    "silu": [((), lambda x: x * sigmoid(x))],
    "gelu": [
        ((), lambda x: 0.5 * x * (1 + ERF(x / math.sqrt(2)))),
        (("tanh",), lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    ],
    "mish": [((), lambda x: x * np.tanh(softplus(x)))],
    "softplus": [((), softplus), ((2.0, 1.5), lambda x: np.where(2 * x > 1.5, x, softplus(2 * x) / 2))],
    "softsign": [((), lambda x: x / (1 + np.abs(x)))],
    "softmax": [
        ((0,), lambda x: np.exp(x) / np.exp(x).sum(0)),
        ((-1,), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    ],
    "softmin": [((1,), lambda x: np.exp(-x) / np.exp(-x).sum(1, keepdims=True))],
    "log_softmax": [((1,), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True)))],
    "glu": [((), lambda x: x[:, :3] * sigmoid(x[:, 3:])), ((0,), lambda x: x[:1] * sigmoid(x[1:]))],
}


@pytest.mark.parametrize(("name", "args", "reference"), [(n, a, r) for n, forms in CASES.items() for a, r in forms])
def test_values(name, args, reference):
    np.testing.assert_allclose(getattr(F, name)(weft.tensor(X), *args).numpy(), reference(X), rtol=1e-13, atol=1e-13)


class TestPrelu:
    def test_values(self):
        x = weft.tensor(X)
        np.testing.assert_allclose(
            F.prelu(x, weft.tensor([0.5], dtype=weft.float64)).numpy(), np.where(X > 0, X, 0.5 * X)
        )
        np.testing.assert_allclose(
            F.prelu(x, weft.tensor(0.5, dtype=weft.float64)).numpy(), np.where(X > 0, X, 0.5 * X)
        )
        w = np.arange(6) / 10
        np.testing.assert_allclose(F.prelu(x, weft.tensor(w)).numpy(), np.where(X > 0, X, w * X))

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"`weight` must have shape \(1,\) or \(3,\), one for each channel of `input`, got \(2,\)"
        ):
            F.prelu(weft.ones((2, 3)), weft.ones(2))
        with pytest.raises(TypeError, match="`input` must have the dtype of `weight`, float64, got float32"):
            F.prelu(weft.ones((2, 3)), weft.ones(1, dtype=weft.float64))


class TestSwiglu:
    def test_values(self):
        a, b = X
        np.testing.assert_allclose(F.swiglu(weft.tensor(a), weft.tensor(b)).numpy(), a * b * sigmoid(b), rtol=1e-13)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`gate` must have shape \(2,\), got \(3,\)"):
            F.swiglu(weft.ones(2), weft.ones(3))


class TestSoftmax:
    def test_without_dim_it_warns_and_does_as_pytorch(self):
        for f in (F.softmax, F.softmin, F.log_softmax):
            for shape, axis in [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)]:
                with pytest.warns(
                    UserWarning, match=f"`{f.__name__}` without `dim` takes axis {axis} for {len(shape)} axes"
                ):
                    y = f(weft.ones(shape))
                np.testing.assert_array_equal(y.numpy(), f(weft.ones(shape), dim=axis).numpy())

    def test_dtype_is_that_of_the_computation(self):
        x = weft.tensor([1, 2])
        assert F.softmax(x, 0, dtype=weft.float64).dtype == weft.float64
        assert F.softmin(x, 0, dtype=weft.float64).dtype == weft.float64
        assert F.log_softmax(x, 0, dtype=weft.float32).dtype == weft.float32

    def test_of_a_single_number(self):
        assert F.softmax(weft.tensor(3.0), 0).item() == 1.0
        assert F.softmin(weft.tensor(3.0), 0).item() == 1.0
        assert F.log_softmax(weft.tensor(3.0), -1).item() == 0.0

    def test_errors(self):
        with pytest.raises(IndexError, match=r"`dim` must be in \[-2, 2\) for shape \(2, 3\), got 2"):
            F.softmax(weft.ones((2, 3)), 2)


class TestErrors:
    @pytest.mark.parametrize(
        "name", sorted(CASES.keys() - {"relu", "relu6", "hardtanh", "sigmoid", "softsign", "tanh", "threshold"})
    )
    def test_integers_are_refused(self, name):
        args = CASES[name][0][0]
        with pytest.raises(
            TypeError, match=r"`input` must have a real floating-point dtype, got int64; convert it: input.float"
        ):
            getattr(F, name)(weft.tensor([[1, 2]]), *args)

    def test_what_pytorch_computes_of_integers(self):
        assert F.relu(weft.tensor([-1, 2])).tolist() == [0, 2]
        assert F.relu(weft.tensor([-1, 2])).dtype == weft.int64

    def test_options(self):
        x = weft.ones((2, 3))
        with pytest.raises(ValueError, match="`min_val` must not exceed `max_val`, got 1 and 0"):
            F.hardtanh(x, 1, 0)
        with pytest.raises(ValueError, match="`approximate` must be one of 'none', 'tanh', got 'erf'"):
            F.gelu(x, "erf")
        with pytest.raises(ValueError, match="`alpha` must not be 0, got 0"):
            F.celu(x, 0)
        with pytest.raises(
            ValueError, match=r"`input` must have an even length along `dim` = -1, to be halved, got shape \(2, 3\)"
        ):
            F.glu(x)


def test_integers():
    """As in PyTorch: σ, softsign and tanhshrink in the default dtype, limits in that of the integers."""
    x = weft.tensor([-2, 1, 9])
    for f in (F.sigmoid, F.softsign, F.tanhshrink):
        assert f(x).dtype == weft.float32
        assert f(x).tolist() == f(x.float()).tolist()
    for y, expected in [(F.relu6(x), [0, 1, 6]), (F.hardtanh(x), [-1, 1, 1]), (F.hardtanh(x, 0.5, 3.5), [0, 1, 3])]:
        assert (y.dtype, y.tolist()) == (x.dtype, expected)
