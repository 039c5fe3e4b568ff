"""RAdam against Liu et al.'s algorithm 2 with PyTorch's placement of eps, per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [
    {},  # ten steps cross ρ = 5 at the sixth
    {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1},
    {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
    {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
]


def radam(p, g, s, t, o):
    β1, β2 = o.betas
    if o.decoupled_weight_decay:
        p = p * (1 - o.lr * o.weight_decay)
    else:
        g = g + o.weight_decay * p
    s["m"] = β1 * s.get("m", 0) + (1 - β1) * g
    s["v"] = β2 * s.get("v", 0) + (1 - β2) * g**2
    m_hat = s["m"] / (1 - β1**t)
    longest = 2 / (1 - β2) - 1
    length = longest - 2 * t * β2**t / (1 - β2**t)
    if length <= 5:
        return p - o.lr * m_hat
    r = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
    return p - o.lr * m_hat * r * np.sqrt(1 - β2**t) / (np.sqrt(s["v"]) + o.eps)


class TestRAdam:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.RAdam, radam, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.RAdam(tools.parameters(rng)).defaults == {
            "lr": 1e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0,
            "decoupled_weight_decay": False,
            "maximize": False,
        }
