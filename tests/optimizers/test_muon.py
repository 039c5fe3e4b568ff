"""Muon against the formulas of its authors, per matrix in float64, and against the singular value decomposition."""

from types import SimpleNamespace

import numpy as np
import pytest

import weft
from weft import optimizers as optim
from weft.optimizers.muon import orthogonalised

SHAPES = [(6, 4), (3, 3), (2, 7)]


def muon(p, g, s, o):
    s["b"] = o.momentum * s.get("b", 0) + (1 - o.momentum) * g
    d = (1 - o.momentum) * g + o.momentum * s["b"] if o.nesterov else s["b"]
    x = d / np.linalg.norm(d)
    for _ in range(o.ns_steps):
        a = x @ x.T
        x = o.ns_coefficients[0] * x + (o.ns_coefficients[1] * a + o.ns_coefficients[2] * a @ a) @ x
    rows, columns = p.shape
    scale = 0.2 * max(rows, columns) ** 0.5 if o.adjust_lr_fn == "match_rms_adamw" else max(1, rows / columns) ** 0.5
    return p - o.lr * o.weight_decay * p - o.lr * scale * x


class TestMuon:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"lr": 0.1, "nesterov": False, "momentum": 0.5},
            {"lr": 0.1, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
        ],
        ids=str,
    )
    @pytest.mark.parametrize(("device", "dtype"), [("cpu", "float32"), ("cpu", "float64"), ("strict", "float32")])
    def test_follows_the_formulas(self, tools, options, device, dtype):
        rng = np.random.default_rng(1)
        params = tools.parameters(rng, device, dtype, SHAPES)
        optimizer = optim.Muon(params, **options)
        o = SimpleNamespace(**optimizer.defaults)
        expected, states = [tools.numbers(p) for p in params], [{} for _ in params]
        for k in range(5):
            for i, p in enumerate(params):
                p.grad = None
                if (k, i) != (2, 1):
                    g = rng.standard_normal(p.shape)
                    tools.give_gradient(p, g)
                    expected[i] = muon(expected[i], g, states[i], o)
            optimizer.step()
        for p, e in zip(params, expected):
            np.testing.assert_allclose(tools.numbers(p), e, atol=2e-5 if dtype == "float32" else 1e-12)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Muon(tools.parameters(rng, shapes=SHAPES)).defaults == {
            "lr": 1e-3,
            "weight_decay": 0.1,
            "momentum": 0.95,
            "nesterov": True,
            "ns_coefficients": (3.4445, -4.775, 2.0315),
            "eps": 1e-7,
            "ns_steps": 5,
            "adjust_lr_fn": None,
        }

    def test_pytorchs_arithmetic(self, rng):
        """Each product rounded to bfloat16; not the same as in float32, and as near to it as three digits are."""
        g, value = rng.standard_normal((6, 4)).astype("f"), rng.standard_normal((6, 4)).astype("f")

        def r(x):
            return np.asarray(x, "f").astype(weft.bfloat16).astype("f")

        a0, a1, a2 = (3.4445, -4.775, 2.0315)
        steps = {}
        for arithmetic in ("float32", "torch"):
            p = weft.Parameter(value)
            p.grad = weft.asarray(g)
            optim.Muon([p], lr=0.1, weight_decay=0.0, nesterov=False, arithmetic=arithmetic).step()
            steps[arithmetic] = (value - p.detach().numpy()) / (0.1 * 1.5**0.5)
        x = r(np.float32(1 - 0.95) * g).T
        x = r(x / r(np.linalg.norm(x)))
        for _ in range(5):
            gram = r(x @ x.T)
            x = r(a0 * x + r(a1 * gram + a2 * (gram @ gram)) @ x)
        np.testing.assert_allclose(steps["torch"], x.T, atol=2e-2)
        assert 1e-4 < np.abs(steps["torch"] - steps["float32"]).max() < 0.1

    def test_unknown_arithmetic(self, rng, tools):
        with pytest.raises(ValueError, match="`arithmetic` must be 'float32' or 'torch', got 'half'"):
            optim.Muon(tools.parameters(rng, shapes=SHAPES), arithmetic="half")

    @pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
    def test_singular_values_become_about_one(self, rng, shape):
        u, s, vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
        x = orthogonalised(np, (u * s) @ vt, (3.4445, -4.775, 2.0315), 5, 1e-7)
        np.testing.assert_allclose(np.diag(u.T @ x @ vt.T), 1.0, atol=0.35)
        cubic = orthogonalised(np, (u * s) @ vt, (1.5, -0.5, 0.0), 40, 1e-7)  # this iteration converges
        np.testing.assert_allclose(cubic, u @ vt, atol=1e-12)

    def test_half_precision_weights_have_float32_state(self):
        p = weft.Parameter(weft.ones((4, 2), dtype=weft.bfloat16))
        optimizer = optim.Muon([p], lr=0.1)
        p.grad = weft.ones_like(p)
        optimizer.step()
        assert optimizer.state[p]["momentum_buffer"].dtype == np.float32
        assert p.dtype == weft.bfloat16
        assert float(p[0, 0].item()) < 1.0

    def test_only_matrices(self):
        with pytest.raises(ValueError, match=r"`params\[1\]` of Muon must be a matrix, got shape \(1,\)"):
            optim.Muon([weft.Parameter([[1.0]]), weft.Parameter([1.0])])

    def test_unknown_adjustment(self):
        with pytest.raises(ValueError, match="`adjust_lr_fn` must be None, 'original' or 'match_rms_adamw', got 'x'"):
            optim.Muon([weft.Parameter([[1.0]])], adjust_lr_fn="x")
