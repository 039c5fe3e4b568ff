"""Adadelta against Zeiler's algorithm 1, per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [{}, {"rho": 0.5, "eps": 0.1}, {"lr": 0.5, "weight_decay": 0.1, "maximize": True}]


def adadelta(p, g, s, t, o):
    g = g + o.weight_decay * p
    s["v"] = o.rho * s.get("v", 0) + (1 - o.rho) * g**2
    Δ = np.sqrt(s.get("u", 0) + o.eps) / np.sqrt(s["v"] + o.eps) * g
    s["u"] = o.rho * s.get("u", 0) + (1 - o.rho) * Δ**2
    return p - o.lr * Δ


class TestAdadelta:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.Adadelta, adadelta, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Adadelta(tools.parameters(rng)).defaults == {
            "lr": 1.0,
            "rho": 0.9,
            "eps": 1e-6,
            "weight_decay": 0,
            "maximize": False,
        }
