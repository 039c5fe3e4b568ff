"""Adafactor against the equations of its docstring, per parameter in float64."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim

OPTIONS = [{"eps": (1e-6, 1e-3)}, {"eps": (1e-3, 0.1), "d": 2.0, "beta2_decay": -0.5}]
OPTIONS += [{"eps": (1e-6, 1e-3), "lr": 0.5, "weight_decay": 0.1, "maximize": True}]


def rms(x):
    return np.sqrt(np.mean(x**2)) if x.size else 0.0


def adafactor(p, g, s, t, o):
    fresh, (eps1, eps2) = t**o.beta2_decay, o.eps

    def mix(name, new):
        s[name] = s.get(name, 0) * (1 - fresh) + fresh * new
        return s[name]

    if not p.size:
        return p
    if p.ndim > 1:
        rows, columns = mix("r", (g**2).mean(-1, keepdims=True)), mix("c", (g**2).mean(-2, keepdims=True))
        v = rows @ columns / np.maximum(rows.mean(-2, keepdims=True), eps1)
    else:
        v = mix("v", g**2)
    u = g / np.sqrt(np.maximum(v, eps1**2))
    alpha = max(eps2, rms(p)) * min(o.lr, 1 / np.sqrt(t))
    return p * (1 - o.lr * o.weight_decay) - alpha * u / max(1, rms(u) / o.d)


class TestAdafactor:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_its_equations(self, follows, options):
        follows(optim.Adafactor, adafactor, options)

    def test_defaults_are_pytorchs(self, tools, rng):
        assert optim.Adafactor(tools.parameters(rng)).defaults == {
            "lr": 1e-2,
            "beta2_decay": -0.8,
            "eps": (None, 1e-3),
            "d": 1.0,
            "weight_decay": 0.0,
            "maximize": False,
        }

    def optimizer(self, device="cpu"):
        params = [weft.Parameter(weft.ones(shape, device=device)) for shape in [(4, 3), (5,), (2, 3, 4), ()]]
        return params, optim.Adafactor(params)

    def step(self, params, optimizer, k=1.0):
        for i, p in enumerate(params):
            p.grad = weft.ones_like(p) * (k + i) * weft.reshape(weft.arange(p.size, device=p.device) + 1.0, p.shape)
        optimizer.step()

    def test_state_of_a_matrix_is_a_row_and_a_column(self):
        params, optimizer = self.optimizer()
        self.step(params, optimizer)
        state = optimizer.state_dict()["state"]
        shapes = [{name: value.shape for name, value in state[i].items() if name != "step"} for i in range(4)]
        assert shapes == [
            {"row_var": (4, 1), "col_var": (1, 3)},
            {"variance": (5,)},
            {"row_var": (2, 3, 1), "col_var": (2, 1, 4)},
            {"variance": ()},
        ]
        held = sum(vector.size for arena in optimizer._arenas[0] for vector in arena.state.values())
        assert held < sum(p.size for p in params) * 2 + 3 * 4 * 16  # each part begins on 64 bytes

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    def test_goes_on_from_its_state(self, device):
        params, optimizer = self.optimizer(device)
        self.step(params, optimizer)
        saved, values = optimizer.state_dict(), [p.data.copy() for p in params]
        self.step(params, optimizer, 3.0)
        others, other = self.optimizer(device)
        other.load_state_dict(saved)
        for p, value in zip(others, values):
            p.data[...] = value
        self.step(others, other, 3.0)
        for p, q in zip(params, others):
            np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())

    def test_state_of_another_shape(self):
        params, optimizer = self.optimizer()
        self.step(params, optimizer)
        saved = optimizer.state_dict()
        saved["state"][0]["row_var"] = np.ones((4, 3))
        with pytest.raises(
            ValueError, match=r"`row_var` of parameter 0 of Adafactor must have shape \(4, 1\), got \(4, 3\)"
        ):
            optimizer.load_state_dict(saved)

    def test_eps_of_json(self):
        _, optimizer = self.optimizer()
        saved = optimizer.state_dict()
        saved["param_groups"][0]["eps"] = [None, 1e-3]
        optimizer.load_state_dict(saved)
        assert optimizer.param_groups[0]["eps"] == (None, 1e-3)


@pytest.mark.parametrize("name", ["Adafactor", "SparseAdam"])
def test_captured_in_its_generic_form(name):
    found = []
    for is_captured in (False, True):
        rng = np.random.default_rng(0)
        w = weft.Parameter(weft.asarray(rng.standard_normal((4, 3)).astype(np.float32), device="emulator"))
        optimizer = getattr(optim, name)([w], lr=0.05)

        def step(x, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            loss = ((x @ w) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        step = weft.capture(step, strict=True) if is_captured else step
        for k in range(6):
            optimizer.param_groups[0]["lr"] = 0.05 if k < 4 else 0.02
            step(weft.asarray(rng.standard_normal((2, 4)).astype(np.float32), device="emulator"))
        found.append(w.detach().numpy())
    np.testing.assert_array_equal(*found)
