"""NAdam against the formulas of PyTorch's documentation (Dozat's), per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [
    {},
    {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "momentum_decay": 0.5},
    {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
    {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
]


def nadam(p, g, s, t, o):
    β1, β2 = o.betas
    if o.decoupled_weight_decay:
        p = p * (1 - o.lr * o.weight_decay)
    else:
        g = g + o.weight_decay * p
    μ = β1 * (1 - 0.5 * 0.96 ** (t * o.momentum_decay))
    μ_next = β1 * (1 - 0.5 * 0.96 ** ((t + 1) * o.momentum_decay))
    s["product"] = s.get("product", 1) * μ
    s["m"] = β1 * s.get("m", 0) + (1 - β1) * g
    s["v"] = β2 * s.get("v", 0) + (1 - β2) * g**2
    m_hat = μ_next * s["m"] / (1 - s["product"] * μ_next) + (1 - μ) * g / (1 - s["product"])
    return p - o.lr * m_hat / (np.sqrt(s["v"] / (1 - β2**t)) + o.eps)


class TestNAdam:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_formulas(self, follows, options):
        follows(optim.NAdam, nadam, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.NAdam(tools.parameters(rng)).defaults == {
            "lr": 2e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0,
            "momentum_decay": 4e-3,
            "decoupled_weight_decay": False,
            "maximize": False,
        }
