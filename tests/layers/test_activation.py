"""Activations as modules: that their arguments reach the function; the functions are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

X = weft.tensor(np.linspace(-4, 4, 24).reshape(4, 6))


@pytest.mark.parametrize(("module", "function", "text"), [
    (nn.ReLU(), F.relu, "ReLU()"), (nn.ReLU(inplace=True), F.relu, "ReLU(inplace=True)"),
    (nn.ReLU6(True), F.relu6, "ReLU6(inplace=True)"),
    (nn.LeakyReLU(0.3, True), lambda x: F.leaky_relu(x, 0.3), "LeakyReLU(negative_slope=0.3, inplace=True)"),
    (nn.Hardtanh(-1, 2, True), lambda x: F.hardtanh(x, -1, 2), "Hardtanh(min_val=-1, max_val=2, inplace=True)"),
    (nn.Hardtanh(min_value=-3, max_value=3), lambda x: F.hardtanh(x, -3, 3), "Hardtanh(min_val=-3, max_val=3)"),
    (nn.Threshold(1, 5, True), lambda x: F.threshold(x, 1, 5), "Threshold(threshold=1, value=5, inplace=True)"),
    (nn.Heaviside(0.5), lambda x: F.heaviside(x, 0.5), "Heaviside(value=0.5)"),
    (nn.Hardsigmoid(), F.hardsigmoid, "Hardsigmoid()"), (nn.Hardswish(), F.hardswish, "Hardswish()"),
    (nn.ELU(2.0), lambda x: F.elu(x, 2.0), "ELU(alpha=2.0)"), (nn.SELU(), F.selu, "SELU()"),
    (nn.CELU(2.0, True), lambda x: F.celu(x, 2.0), "CELU(alpha=2.0, inplace=True)"),
    (nn.Sigmoid(), F.sigmoid, "Sigmoid()"), (nn.LogSigmoid(), F.logsigmoid, "LogSigmoid()"),
    (nn.Tanh(), F.tanh, "Tanh()"), (nn.SiLU(), F.silu, "SiLU()"),
    (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh"), "GELU(approximate='tanh')"), (nn.Mish(), F.mish, "Mish()"),
    (nn.Softplus(2.0, 1.0), lambda x: F.softplus(x, 2.0, 1.0), "Softplus(beta=2.0, threshold=1.0)"),
    (nn.Softsign(), F.softsign, "Softsign()"), (nn.Softmax(0), lambda x: F.softmax(x, 0), "Softmax(dim=0)"),
    (nn.LogSoftmax(0), lambda x: F.log_softmax(x, 0), "LogSoftmax(dim=0)"),
    (nn.GLU(0), lambda x: F.glu(x, 0), "GLU(dim=0)"), (nn.SwiGLU(0), lambda x: F.swiglu(x[:2], x[2:]), "SwiGLU(dim=0)"),
])  # fmt: skip
def test_arguments_reach_the_function(module, function, text):
    np.testing.assert_array_equal(module(X.clone()).numpy(), function(X).numpy())
    assert repr(module) == text


class TestPReLU:
    def test_learns_its_slope(self):
        layer = nn.PReLU(2, init=0.1)
        assert layer.state_dict()["weight"].tolist() == [weft.float32.type(0.1)] * 2
        layer(weft.tensor([[-2.0, 3.0], [-4.0, -5.0]])).sum().backward()
        assert layer.weight.grad.tolist() == [-6.0, -5.0]
        layer.weight.data[...] = 0
        layer.reset_parameters()
        assert layer.weight.tolist() == [weft.float32.type(0.1)] * 2
        assert repr(layer) == "PReLU(num_parameters=2)"


def test_swish_is_silu():
    assert nn.Swish is nn.SiLU


def test_softmax2d_is_over_the_channels(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    e = np.exp(x)
    for given, y in ((x, e / e.sum(1, keepdims=True)), (x[0], e[0] / e[0].sum(0))):
        np.testing.assert_allclose(nn.Softmax2d()(weft.tensor(given)).numpy(), y, rtol=1e-13)
    with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, H, W\) or \(C, H, W\), got \(3, 4\)"):
        nn.Softmax2d()(weft.ones((3, 4)))


def test_softmin_is_the_softmax_of_the_negative(rng):
    x = weft.tensor(rng.standard_normal((3, 4)))
    np.testing.assert_allclose(nn.Softmin(0)(x).numpy(), nn.Softmax(0)(-x).numpy(), rtol=1e-13)
    assert repr(nn.Softmin(0)) == "Softmin(dim=0)"


def test_errors():
    with pytest.raises(ValueError, match="`min_val` must be less than `max_val`, got 1 and 1"):
        nn.Hardtanh(1, 1)
    with pytest.raises(
        ValueError, match=r"`input` must have an even length along `dim` = -1, to be halved, got shape \(3,\)"
    ):
        nn.SwiGLU()(weft.ones(3))


@pytest.mark.parametrize("module", [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.Hardtanh(), nn.Hardsigmoid(), nn.Hardswish(), nn.ELU(), nn.SELU(),
    nn.CELU(), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(),
    nn.Softplus(), nn.Softsign(), nn.Softmax(0), nn.Softmin(0), nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink(), nn.RReLU(),
    nn.LogSoftmax(0), nn.GLU(), nn.SwiGLU(), nn.Heaviside(),
], ids=repr)  # fmt: skip
def test_stable_at_the_ends(module):
    """No overflow (warnings are errors), no NaN, at ±10⁴, in value and gradient."""
    x = weft.tensor([-1e4, -1e2, 1e2, 1e4], requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert np.isfinite(y.detach().numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()
