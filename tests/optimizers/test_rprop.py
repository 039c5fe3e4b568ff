"""Rprop against iRprop−, per parameter in float64."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim

OPTIONS = [{}, {"lr": 0.1, "etas": (0.3, 2.0)}, {"step_sizes": (0.005, 0.02), "maximize": True}]


def rprop(p, g, s, t, o):
    turns = np.sign(g * s.get("g", 0))
    size = s.get("size", o.lr) * np.choose(turns.astype(int) + 1, [o.etas[0], 1, o.etas[1]])
    s["size"] = np.clip(size, *o.step_sizes)
    s["g"] = np.where(turns < 0, 0, g)
    return p - np.sign(s["g"]) * s["size"]


class TestRprop:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.Rprop, rprop, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Rprop(tools.parameters(rng)).defaults == {
            "lr": 1e-2,
            "etas": (0.5, 1.2),
            "step_sizes": (1e-6, 50),
            "maximize": False,
        }

    def test_a_parameter_begins_with_the_lr_of_its_first_step(self):
        p, q = weft.Parameter([1.0]), weft.Parameter([1.0])
        optimizer = optim.Rprop([p, q], lr=0.5)
        p.grad = weft.tensor([1.0])
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 0.125
        q.grad = weft.tensor([1.0])
        p.grad = None
        optimizer.step()
        assert (p.item(), q.item()) == (0.5, 0.875)

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_a_gradient_that_is_nan_shows(self, device):
        p = weft.Parameter(weft.asarray(np.ones(3, np.float32), device=device))
        p.grad = weft.asarray(np.array([1.0, np.nan, 0.0], np.float32), device=device)
        optim.Rprop([p], lr=0.5).step()
        np.testing.assert_array_equal(p.detach().numpy(), [0.5, np.nan, 1.0])
