"""linear and bilinear against NumPy's einsum in float64; and what they say of wrong arguments."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F


def arrays(rng, *shapes):
    return [rng.standard_normal(s) for s in shapes]


class TestLinear:
    @pytest.mark.parametrize("lead", [(), (3,), (2, 3), (0,)])
    @pytest.mark.parametrize("bias", [True, False])
    def test_values(self, rng, lead, bias):
        x, w, b = arrays(rng, (*lead, 4), (5, 4), (5,))
        got = F.linear(weft.tensor(x), weft.tensor(w), weft.tensor(b) if bias else None)
        np.testing.assert_allclose(got.numpy(), np.einsum("...i,oi->...o", x, w) + b * bias, atol=1e-12)

    def test_a_vector_of_weights_gives_one_number(self, rng):
        x, w = arrays(rng, (2, 3, 4), (4,))
        np.testing.assert_allclose(F.linear(weft.tensor(x), weft.tensor(w)).numpy(), x @ w, atol=1e-12)

    @pytest.mark.parametrize("shape", [(5, 4), (4,)], ids=str)
    @pytest.mark.parametrize(("name", "f"), [("relu", F.relu), ("gelu", lambda x: F.gelu(x, "tanh"))])
    def test_activation(self, rng, name, f, shape):
        x, w = map(weft.tensor, arrays(rng, (2, 3, 4), shape))
        np.testing.assert_array_equal(F.linear(x, w, activation=name).numpy(), f(F.linear(x, w)).numpy())

    def test_errors(self):
        w = weft.ones((5, 4))
        with pytest.raises(ValueError, match="`activation` must be one of 'relu', 'gelu', got 'tanh'"):
            F.linear(weft.ones((2, 4)), w, activation="tanh")
        with pytest.raises(TypeError, match=r"`input` must be a weft.Tensor, got ndarray; convert it: weft.asarray"):
            F.linear(np.ones((2, 4)), w)
        with pytest.raises(TypeError, match=r"`weight` must be a weft.Tensor, got list"):
            F.linear(weft.ones((2, 4)), [1.0])
        with pytest.raises(
            ValueError,
            match=r"`input` must have shape \(…, in\) for a `weight` of shape \(out, in\), got \(2, 3\) and \(5, 4\)",
        ):
            F.linear(weft.ones((2, 3)), w)
        with pytest.raises(ValueError, match=r"got \(\) and \(5, 4\)"):
            F.linear(weft.tensor(1.0), w)
        with pytest.raises(
            TypeError, match="`input` must have the dtype of `weight`, float32, got float64; convert it"
        ):
            F.linear(weft.ones((2, 4), dtype=weft.float64), w)
        with pytest.raises(ValueError, match=r"`bias` must have shape \(5,\), got \(2,\)"):
            F.linear(weft.ones((2, 4)), w, weft.ones(2))


class TestBilinear:
    @pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
    def test_values(self, rng, lead):
        x1, x2, w, b = arrays(rng, (*lead, 3), (*lead, 4), (5, 3, 4), (5,))
        expected = np.einsum("...i,oij,...j->...o", x1, w, x2)
        tensors = [weft.tensor(a) for a in (x1, x2, w)]
        np.testing.assert_allclose(F.bilinear(*tensors).numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(F.bilinear(*tensors, weft.tensor(b)).numpy(), expected + b, atol=1e-12)

    def test_errors(self):
        w = weft.ones((5, 3, 4))
        with pytest.raises(ValueError, match=r"`input1` must have shape \(2, 3\), got \(2, 4\)"):
            F.bilinear(weft.ones((2, 4)), weft.ones((2, 4)), w)
        with pytest.raises(ValueError, match=r"`input2` must have shape \(2, 4\), got \(3, 4\)"):
            F.bilinear(weft.ones((2, 3)), weft.ones((3, 4)), w)
        with pytest.raises(ValueError, match=r"`weight` must have shape \(out, in1, in2\), got \(5, 3\)"):
            F.bilinear(weft.ones((2, 3)), weft.ones((2, 4)), weft.ones((5, 3)))
        with pytest.raises(ValueError, match=r"`bias` must have shape \(5,\), got \(1,\)"):
            F.bilinear(weft.ones((2, 3)), weft.ones((2, 4)), w, weft.ones(1))


def test_one_bias_for_all():
    x, w = weft.ones((2, 3)), weft.ones((4, 3))
    for b in (weft.tensor([2.0], requires_grad=True), weft.tensor(2.0, requires_grad=True)):
        y = F.linear(x, w, b)
        y.sum().backward()
        assert (y.tolist(), b.grad.sum().item()) == ([[5.0] * 4] * 2, 8)
        assert b.grad.shape == b.shape
    with pytest.raises(ValueError, match=r"`bias` must have shape \(4,\), got \(2,\)"):
        F.linear(x, w, weft.ones(2))
