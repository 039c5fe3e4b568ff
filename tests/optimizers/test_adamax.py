"""Adamax against Kingma and Ba's algorithm 2 with PyTorch's placement of eps, per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [{}, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1}, {"lr": 0.1, "weight_decay": 0.1, "maximize": True}]


def adamax(p, g, s, t, o):
    β1, β2 = o.betas
    g = g + o.weight_decay * p
    s["m"] = β1 * s.get("m", 0) + (1 - β1) * g
    s["u"] = np.maximum(β2 * s.get("u", 0), np.abs(g) + o.eps)
    return p - o.lr / (1 - β1**t) * s["m"] / s["u"]


class TestAdamax:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.Adamax, adamax, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Adamax(tools.parameters(rng)).defaults == {
            "lr": 2e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0,
            "maximize": False,
        }
