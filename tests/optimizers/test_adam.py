"""Adam and AdamW against Kingma and Ba's algorithm 1, Loshchilov and Hutter's algorithm 2, per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [
    {},
    {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1},
    {"lr": 0.1, "weight_decay": 0.1},
    {"lr": 0.1, "amsgrad": True, "betas": (0.9, 0.5)},
    {"lr": 0.1, "maximize": True, "weight_decay": 0.1, "amsgrad": True},
]


def adam(p, g, s, t, o):
    β1, β2 = o.betas
    if o.decoupled_weight_decay:
        p = p - o.lr * o.weight_decay * p
    else:
        g = g + o.weight_decay * p
    s["m"] = β1 * s.get("m", 0) + (1 - β1) * g
    s["v"] = β2 * s.get("v", 0) + (1 - β2) * g**2
    v = s["v"]
    if o.amsgrad:
        v = s["max"] = np.maximum(s.get("max", 0), v)
    m_hat, v_hat = s["m"] / (1 - β1**t), v / (1 - β2**t)
    return p - o.lr * m_hat / (np.sqrt(v_hat) + o.eps)


class TestAdam:
    @pytest.mark.parametrize("options", [*OPTIONS, {"weight_decay": 0.1, "decoupled_weight_decay": True}], ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.Adam, adam, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Adam(tools.parameters(rng)).defaults == {
            "lr": 1e-3,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0,
            "amsgrad": False,
            "maximize": False,
            "decoupled_weight_decay": False,
        }

    @pytest.mark.parametrize("options", [{}, {"amsgrad": True, "weight_decay": 0.1}], ids=str)
    def test_the_form_for_numpy_computes_the_same(self, tools, rng, options):
        class Generic(optim.Adam):
            def update_cpu(self, p, g, state, group, c, t):
                self.update(np, p, g, state, group, c)

        results = []
        for cls in (optim.Adam, Generic):
            params = tools.parameters(np.random.default_rng(0), dtype="float32")
            optimizer = cls(params, **options)
            gradients = np.random.default_rng(1)
            for _ in range(5):
                for p in params:
                    tools.give_gradient(p, gradients.standard_normal(p.shape))
                optimizer.step()
            results.append([tools.numbers(p) for p in params])
        for fast, generic in zip(*results):
            np.testing.assert_array_equal(fast, generic)


class TestAdamW:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.AdamW, adam, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        defaults = optim.AdamW(tools.parameters(rng)).defaults
        assert (defaults["lr"], defaults["weight_decay"], defaults["betas"]) == (1e-3, 1e-2, (0.9, 0.999))
        assert defaults["eps"] == 1e-8
