"""Adagrad against the formulas of PyTorch's documentation, per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [
    {},
    {"lr": 0.1, "lr_decay": 0.1, "eps": 0.1},
    {"lr": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True},
]


def adagrad(p, g, s, t, o):
    g = g + o.weight_decay * p
    s["sum"] = s.get("sum", o.initial_accumulator_value) + g**2
    return p - o.lr / (1 + (t - 1) * o.lr_decay) * g / (np.sqrt(s["sum"]) + o.eps)


class TestAdagrad:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_formulas(self, follows, options):
        follows(optim.Adagrad, adagrad, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Adagrad(tools.parameters(rng)).defaults == {
            "lr": 1e-2,
            "lr_decay": 0,
            "weight_decay": 0,
            "initial_accumulator_value": 0,
            "eps": 1e-10,
            "maximize": False,
        }
