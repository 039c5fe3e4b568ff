"""AdaBound against Luo et al.'s algorithm 2 with the bias correction of their code, per parameter in float64."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim

OPTIONS = [
    {},
    {"lr": 0.1, "final_lr": 0.05, "gamma": 0.5},  # both bounds are met
    {"lr": 0.1, "amsbound": True, "betas": (0.9, 0.5), "eps": 0.1},
    {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
]


def adabound(p, g, s, t, o):
    β1, β2 = o.betas
    g = g + o.weight_decay * p
    s["m"] = β1 * s.get("m", 0) + (1 - β1) * g
    s["v"] = β2 * s.get("v", 0) + (1 - β2) * g**2
    v = s["v"]
    if o.amsbound:
        v = s["max"] = np.maximum(s.get("max", 0), v)
    lower, upper = o.final_lr * (1 - 1 / (o.gamma * t + 1)), o.final_lr * (1 + 1 / (o.gamma * t))
    η = o.lr * np.sqrt(1 - β2**t) / (1 - β1**t) / (np.sqrt(v) + o.eps)
    return p - np.clip(η, lower, upper) * s["m"]


class TestAdaBound:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.AdaBound, adabound, options)

    def test_a_schedule_moves_the_bounds(self, tools):
        p = weft.Parameter([0.0])
        optimizer = optim.AdaBound([p], lr=1e-3, final_lr=0.1, gamma=0.9)
        optimizer.param_groups[0]["lr"] = 5e-4
        tools.give_gradient(p, [1e-6])
        optimizer.step()
        # the Adam step 5e-4 / 1e-6 is far above the upper bound 0.05 (1 + 1/0.9); m = 1e-7
        assert p.item() == pytest.approx(-0.05 * (1 + 1 / 0.9) * 1e-7, rel=1e-6)

    @pytest.mark.parametrize("gamma", [0.0, 1.0])
    def test_gamma_out_of_range(self, tools, rng, gamma):
        with pytest.raises(ValueError, match=rf"`gamma` must be in \(0, 1\), got {gamma}"):
            optim.AdaBound(tools.parameters(rng), gamma=gamma)
