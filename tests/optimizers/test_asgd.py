"""ASGD against its equations, per parameter in float64."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim

OPTIONS = [{}, {"t0": 3, "lambd": 0.1}, {"lr": 0.1, "t0": 0, "alpha": 1.5, "weight_decay": 0.1, "maximize": True}]


def asgd(p, g, s, t, o):
    g = g + o.weight_decay * p
    eta = o.lr if t == 1 else o.lr / (1 + o.lambd * o.lr * (t - 1)) ** o.alpha
    p = (1 - o.lambd * eta) * p - eta * g
    s["mean"] = s.get("mean", 0) + (p - s.get("mean", 0)) / max(1, t - 1 - o.t0)
    return p


class TestASGD:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.ASGD, asgd, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.ASGD(tools.parameters(rng)).defaults == {
            "lr": 1e-2,
            "lambd": 1e-4,
            "alpha": 0.75,
            "t0": 1e6,
            "weight_decay": 0,
            "maximize": False,
        }

    def test_the_mean_is_of_the_parameters_after_t0(self):
        """To the last bit what the parameter is before, and the mean of what it has been from then on."""
        p = weft.Parameter(weft.asarray(np.array([1.0, -2.0])))
        optimizer, visited = optim.ASGD([p], lr=0.1, t0=3), []
        for step in range(1, 9):
            p.grad = p.detach() * 2
            optimizer.step()
            visited.append(p.detach().numpy().copy())
            mean = optimizer.state_dict()["state"][0]["ax"]
            if step <= 5:
                np.testing.assert_array_equal(mean, visited[-1])
            else:
                np.testing.assert_allclose(mean, np.mean(visited[4:], axis=0), rtol=1e-14)

    def test_state_is_pytorchs(self):
        p = weft.Parameter([1.0])
        optimizer = optim.ASGD([p], lr=0.5, lambd=0.1, t0=0)
        for _ in range(2):
            p.grad = weft.tensor([1.0])
            optimizer.step()
        entry = optimizer.state_dict()["state"][0]
        assert (entry["step"], entry["mu"]) == (2, 0.5)
        assert entry["eta"] == 0.5 / (1 + 0.1 * 0.5 * 2) ** 0.75
