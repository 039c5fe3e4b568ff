"""Against the paper's formula, from the mask that the result itself shows; moments over many draws."""

import math

import numpy as np
import pytest

import weft
from weft.layers import functional as F

LIMIT = -1.7580993408473766


def affine(p):
    a = ((1 - p) * (1 + p * LIMIT**2)) ** -0.5
    return a, -a * p * LIMIT


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(("f", "shape"), [(F.alpha_dropout, (7, 9)), (F.feature_alpha_dropout, (5, 6, 4))])
def test_values_and_gradients(f, shape, p, rng):
    weft.manual_seed(5)
    values, g, (a, b) = rng.standard_normal(shape), rng.standard_normal(shape), affine(p)
    x = weft.tensor(values, requires_grad=True)
    y = f(x, p, training=True)
    y.backward(weft.tensor(g))
    dropped = np.isclose(y.detach().numpy(), a * LIMIT + b)
    assert 0 < dropped.sum() < dropped.size
    np.testing.assert_allclose(y.detach().numpy(), a * np.where(dropped, LIMIT, values) + b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), np.where(dropped, 0, a * g), rtol=1e-12)
    if f is F.feature_alpha_dropout:
        assert (dropped == dropped[:, :, :1]).all()


@pytest.mark.parametrize("p", [0.2, 0.6])
def test_keeps_mean_and_variance(p):
    weft.manual_seed(6)
    y = F.alpha_dropout(weft.randn(200_000), p, training=True).numpy()
    assert abs(y.mean()) < 5 / math.sqrt(y.size)
    assert abs(y.var() - 1) < 0.02


def test_ends():
    x = weft.tensor([1.0, -2.0])
    assert F.alpha_dropout(x, 0.5) is x
    assert F.alpha_dropout(x, 0.0, training=True) is x
    assert F.alpha_dropout(x, 1.0, training=True).tolist() == [0, 0]


def test_errors():
    with pytest.raises(ValueError, match=r"`p` must be a probability in \[0, 1\], got 1.5"):
        F.alpha_dropout(weft.ones(2), 1.5)
    with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, …\), got \(2,\)"):
        F.feature_alpha_dropout(weft.ones(2), training=True)
    with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
        F.alpha_dropout(weft.tensor([1]))
