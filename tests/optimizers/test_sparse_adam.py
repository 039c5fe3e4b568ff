"""SparseAdam against Adam by hand on the rows that have a gradient, in float64."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim

OPTIONS = [{}, {"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-3}, {"maximize": True}]


def sparse_adam(p, g, s, t, o):
    used = (g != 0).any(tuple(range(1, g.ndim)), keepdims=True) if g.ndim else g != 0
    (b1, b2), m, v = o.betas, s.get("m", np.zeros_like(p)), s.get("v", np.zeros_like(p))
    s["m"], s["v"] = np.where(used, b1 * m + (1 - b1) * g, m), np.where(used, b2 * v + (1 - b2) * g**2, v)
    step = o.lr * np.sqrt(1 - b2**t) / (1 - b1**t) * s["m"] / (np.sqrt(s["v"]) + o.eps)
    return np.where(used, p - step, p)


class TestSparseAdam:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_its_equations(self, follows, options):
        follows(optim.SparseAdam, sparse_adam, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        defaults = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "maximize": False}
        assert optim.SparseAdam(tools.parameters(rng)).defaults == defaults

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_rows_that_no_batch_used_stay(self, device):
        """Where Adam's momentum would go on moving them."""
        table = nn.Embedding(5, 3).to(device)
        before, optimizer = table.weight.detach().numpy().copy(), optim.SparseAdam(table.parameters(), lr=0.1)
        visited = []
        for words in ([0, 2], [3]):
            optimizer.zero_grad()
            table(weft.asarray(np.array(words), device=device)).sum().backward()
            optimizer.step()
            visited.append(table.weight.detach().numpy().copy())
        assert (visited[0] != before).any(axis=1).tolist() == [True, False, True, False, False]
        assert (visited[1] != visited[0]).any(axis=1).tolist() == [False, False, False, True, False]

    def test_a_gradient_that_is_nan_shows(self):
        p = weft.Parameter([[1.0, 1.0], [1.0, 1.0]])
        p.grad = weft.tensor([[float("nan"), 0.0], [0.0, 0.0]])
        optim.SparseAdam([p], lr=0.5).step()
        assert np.isnan(p.detach().numpy()).tolist() == [[True, False], [False, False]]
