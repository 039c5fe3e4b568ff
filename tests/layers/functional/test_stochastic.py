"""Distributions by their moments and limits; what is not random against the formulas."""

import math

import numpy as np
import pytest

import weft
from weft.layers import functional as F


class TestRReLU:
    def test_evaluation_is_a_leaky_relu(self):
        x = weft.tensor([-3.0, 0.0, 2.0], dtype=weft.float64, requires_grad=True)
        y = F.rrelu(x, 0.25, 0.75)
        y.backward(weft.ones(3, dtype=weft.float64))
        assert y.tolist() == [-1.5, 0, 2]
        assert x.grad.tolist() == [0.5, 0.5, 1]

    def test_training_draws_slopes(self):
        weft.manual_seed(1)
        x = weft.full((4, 5000), -2.0, dtype=weft.float64).requires_grad_()
        y = F.rrelu(x, 0.2, 0.6, training=True)
        y.sum().backward()
        slopes = y.detach().numpy() / -2
        np.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-15)
        assert 0.2 <= slopes.min() < 0.201
        assert 0.599 < slopes.max() <= 0.6
        assert abs(slopes.mean() - 0.4) < 5 * 0.4 / math.sqrt(12 * 20000)

    def test_training_leaves_what_is_positive(self):
        x = weft.tensor([3.0, 0.5], requires_grad=True)
        F.rrelu(x, training=True).sum().backward()
        assert F.rrelu(x, training=True).tolist() == [3, 0.5]
        assert x.grad.tolist() == [1, 1]

    def test_bounds(self):
        with pytest.raises(ValueError, match=r"`lower` must be at most `upper`, got 0.5 and 0.1"):
            F.rrelu(weft.ones(2), 0.5, 0.1)


class TestGumbelSoftmax:
    def test_hard_samples_have_the_probabilities(self):
        weft.manual_seed(2)
        p = np.array([0.1, 0.6, 0.3])
        logits = weft.asarray(np.tile(np.log(p), (20000, 1)))
        y = F.gumbel_softmax(logits, hard=True).numpy()
        np.testing.assert_allclose(y.sum(-1), 1, atol=1e-15)
        np.testing.assert_allclose(y.mean(0), p, atol=5 * math.sqrt(0.25 / 20000))

    @pytest.mark.parametrize("dim", [0, 1, -1])
    @pytest.mark.parametrize("tau", [0.5, 2.0])
    def test_gradient_is_that_of_the_softmax(self, dim, tau, rng):
        """The same draw gives the same noise: soft and hard differ in the value alone."""
        values, g = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
        found = []
        for hard in (False, True):
            weft.manual_seed(3)
            x = weft.tensor(values, requires_grad=True)
            y = F.gumbel_softmax(x, tau, hard, dim=dim)
            y.backward(weft.tensor(g))
            found.append((y.detach().numpy(), x.grad.numpy()))
        (soft, slope), (chosen, same) = found
        np.testing.assert_allclose(slope, soft * (g - (g * soft).sum(dim, keepdims=True)) / tau, atol=1e-12)
        np.testing.assert_allclose(same, slope, atol=1e-12)
        np.testing.assert_allclose(chosen, soft == soft.max(dim, keepdims=True), atol=1e-15)

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
    def test_is_finite(self, dtype):
        """float32's draws hold exact zeros, of which a logarithm of a logarithm would make infinity."""
        weft.manual_seed(4)
        y = F.gumbel_softmax(weft.zeros((1000, 1000)).to(getattr(weft, dtype)))
        assert str(y.dtype) == dtype
        assert np.isfinite(y.numpy().astype(np.float32)).all()

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`tau` must be .*, got 0"):
            F.gumbel_softmax(weft.ones(2), 0)
        with pytest.raises(IndexError, match=r"`dim` must be in \[-1, 1\) for shape \(2,\), got 1"):
            F.gumbel_softmax(weft.ones(2), dim=1)
