"""RMSprop against the formulas of PyTorch's documentation, per parameter in float64."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim

OPTIONS = [
    {},
    {"lr": 0.1, "alpha": 0.5, "eps": 0.1},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    {"lr": 0.1, "centered": True, "eps": 1e-3, "maximize": True},
    {"lr": 0.1, "centered": True, "eps": 1e-3, "momentum": 0.5},
]


def rmsprop(p, g, s, t, o):
    g = g + o.weight_decay * p
    s["v"] = o.alpha * s.get("v", 0) + (1 - o.alpha) * g**2
    v = s["v"]
    if o.centered:
        s["mean"] = o.alpha * s.get("mean", 0) + (1 - o.alpha) * g
        v = v - s["mean"] ** 2
    d = g / (np.sqrt(v) + o.eps)
    if o.momentum:
        s["b"] = d = o.momentum * s.get("b", 0) + d
    return p - o.lr * d


class TestRMSprop:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_formulas(self, follows, options):
        follows(optim.RMSprop, rmsprop, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.RMSprop(tools.parameters(rng)).defaults == {
            "lr": 1e-2,
            "alpha": 0.99,
            "eps": 1e-8,
            "weight_decay": 0,
            "momentum": 0,
            "centered": False,
            "maximize": False,
        }

    def test_centered_survives_a_constant_gradient(self, tools):
        p = weft.Parameter(np.zeros(100, np.float32))
        optimizer = optim.RMSprop([p], lr=1e-9, alpha=0.5, centered=True)
        for _ in range(100):  # v − mean² is then rounding noise around zero
            tools.give_gradient(p, np.linspace(0.1, 3, 100))
            optimizer.step()
        assert np.isfinite(tools.numbers(p)).all()
