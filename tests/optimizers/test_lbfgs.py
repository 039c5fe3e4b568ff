"""L-BFGS against PyTorch's numbers on Rosenbrock's function, and against what the theory says of quadratic ones."""

import copy
import json

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import load_checkpoint, save_checkpoint

WOLFE = {"line_search_fn": "strong_wolfe"}

# Where three steps lead from (-1.2, 1), iterations, evaluations: torch 2.13.0, float64,
# `torch.optim.LBFGS([p], **options)` with the closure of `rosenbrock`, `opt.state_dict()["state"][0]["n_iter"]`, "func_evals"
PYTORCH = [
    (WOLFE, [0.9999814210791366, 0.9999619651810989], 36, 45),
    ({**WOLFE, "max_iter": 4, "history_size": 2}, [-0.5125309076136719, 0.21876859574661656], 10, 15),
    ({"lr": 0.001, "max_iter": 5}, [-1.1974702343775145, 1.0015996191194634], 15, 15),
    ({"lr": 0.5, "max_iter": 7, "max_eval": 4, **WOLFE}, [-1.0235958898085378, 1.0536804130884683], 9, 12),
    ({"lr": 0.01, "history_size": 1, "tolerance_change": 0.05}, [-1.1902087922006528, 1.0041607707118752], 3, 6),
]


def start():
    return weft.Parameter(weft.asarray(np.array([-1.2, 1.0])))


def repeat(step, x):
    for _ in range(4):
        step(x)


def rosenbrock(p, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    return closure


class TestLBFGS:
    @pytest.mark.parametrize(("options", "expected", "iterations", "evaluations"), PYTORCH, ids=str)
    def test_agrees_with_pytorch(self, options, expected, iterations, evaluations):
        p = start()
        optimizer = optim.LBFGS([p], **options)
        losses = [optimizer.step(rosenbrock(p, optimizer)).item() for _ in range(3)]
        np.testing.assert_allclose(p.tolist(), expected, rtol=1e-7)
        entry = optimizer.state_dict()["state"][0]
        assert (entry["n_iter"], entry["func_evals"]) == (iterations, evaluations)
        assert losses[0] == pytest.approx(24.2)
        assert losses == sorted(losses, reverse=True)

    @pytest.mark.parametrize("device", ["cpu", "strict", "emulator"])
    def test_a_quadratic_of_n_numbers_takes_about_n_iterations(self, device, rng):
        a = rng.standard_normal((6, 6))
        a, b = a @ a.T + np.eye(6), rng.standard_normal(6)
        w, c = (weft.Parameter(weft.zeros(n, dtype=weft.float32, device=device)) for n in (4, 2))
        matrix, vector = (weft.asarray(x.astype(np.float32), device=device) for x in (a, b))
        optimizer = optim.LBFGS([w, c], max_iter=40, **WOLFE)

        def closure():
            optimizer.zero_grad()
            x = weft.concat([w, c])
            loss = (x * (matrix @ x)).sum() / 2 - (vector * x).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        np.testing.assert_allclose([*w.tolist(), *c.tolist()], np.linalg.solve(a, b), rtol=2e-3, atol=1e-4)
        assert optimizer.state[w]["n_iter"] < 25

    def test_a_parameter_without_a_gradient_stays(self):
        p, q = start(), weft.Parameter(weft.asarray(np.array([3.0])))
        optimizer = optim.LBFGS([q, p], **WOLFE)
        optimizer.step(rosenbrock(p, optimizer))
        assert q.tolist() == [3.0]

    @pytest.mark.parametrize("way", ["state", "file", "copy"])
    def test_goes_on_from_its_state(self, way, tmp_path):
        p = start()
        optimizer = optim.LBFGS([p], max_iter=5, history_size=3, **WOLFE)
        optimizer.step(rosenbrock(p, optimizer))
        if way == "copy":
            q, other = copy.deepcopy((p, optimizer))
        else:
            q = weft.Parameter(p.detach().clone())
            other = optim.LBFGS([q], max_iter=5, history_size=3, **WOLFE)
            state = optimizer.state_dict()
            if way == "file":
                save_checkpoint(tmp_path / "state.safetensors", state)
                state = load_checkpoint(tmp_path / "state.safetensors")
            other.load_state_dict(state)
        for each, its in ((p, optimizer), (q, other)):
            its.step(rosenbrock(each, its))
        assert p.tolist() == q.tolist()
        assert optimizer.state_dict()["state"][0]["ro"] == other.state_dict()["state"][0]["ro"]

    def test_state_before_the_first_step(self):
        optimizer = optim.LBFGS([start()])
        assert optimizer.state_dict()["state"] == {}
        optimizer.load_state_dict(json.loads(json.dumps(optimizer.state_dict())))

    def test_a_linear_layer_follows_to_another_device(self):
        layer, x = nn.Linear(3, 1), weft.asarray(np.eye(3, dtype=np.float32))
        optimizer = optim.LBFGS(layer.parameters(), max_iter=3, **WOLFE)
        losses = []
        for device in ("cpu", "emulator"):
            layer.to(device)

            def closure(device=device):
                optimizer.zero_grad()
                loss = ((layer(x.to(device)) - 2.0) ** 2).sum()
                loss.backward()
                return loss

            losses.append(optimizer.step(closure).item())
        assert losses[1] < losses[0]
        assert layer.weight.device == "emulator"

    def test_an_infinite_loss_ends_the_search(self):
        p = weft.Parameter(weft.asarray(np.array([1.0])))
        optimizer = optim.LBFGS([p], **WOLFE)

        def closure():
            optimizer.zero_grad()
            loss = (p * float("inf")).sum()
            loss.backward()
            return loss

        with np.errstate(all="ignore"):
            assert optimizer.step(closure).item() == float("inf")

    def test_defaults_are_pytorchs(self):
        assert optim.LBFGS([start()]).defaults == {
            "lr": 1,
            "max_iter": 20,
            "max_eval": 25,
            "tolerance_grad": 1e-7,
            "tolerance_change": 1e-9,
            "history_size": 100,
            "line_search_fn": None,
        }


class TestErrors:
    def test_of_parameters(self):
        a, b = weft.Parameter([1.0]), weft.Parameter([1.0])
        with pytest.raises(ValueError, match="must be one group, got a second"):
            optim.LBFGS([{"params": [a]}, {"params": [b]}])
        with pytest.raises(ValueError, match="must have one device and dtype, got float32 on cpu, float64 on cpu"):
            optim.LBFGS([a, start()])
        with pytest.raises(TypeError, match=r"must be float32 or float64, got bfloat16 on cpu; call model.float\(\)"):
            optim.LBFGS([weft.Parameter(weft.ones(2, dtype=weft.bfloat16))])

    def test_of_steps(self):
        optimizer = optim.LBFGS([start()])
        with pytest.raises(TypeError, match=r"`closure` of LBFGS must be a function .* got None"):
            optimizer.step()
        with pytest.raises(TypeError, match=r"must be given a closure alone, got \['multiplier'\]"):
            optimizer.step(lambda: None, multiplier=weft.tensor(0.5))

    def test_of_capture(self):
        p = weft.Parameter(weft.asarray(np.array([-1.2, 1.0], np.float32), device="emulator"))
        optimizer = optim.LBFGS([p], max_iter=2)
        step = weft.capture(lambda x: optimizer.step(rosenbrock(p, optimizer)), strict=True)
        with pytest.raises(RuntimeError, match="cannot be captured: `step` of LBFGS must not be in a captured step"):
            repeat(step, p.detach())

    def test_of_states(self):
        p = start()
        optimizer = optim.LBFGS([p], **WOLFE)
        optimizer.step(rosenbrock(p, optimizer))
        saved = optimizer.state_dict()
        other = optim.LBFGS([weft.Parameter(weft.zeros(3))])
        with pytest.raises(ValueError, match=r"vectors of shape \(3,\), got \(2,\)"):
            other.load_state_dict(saved)
        adam = optim.Adam([q := weft.Parameter([1.0])])
        q.grad = weft.tensor([1.0])
        adam.step()
        with pytest.raises(ValueError, match="`state_dict` must hold"):
            other.load_state_dict(adam.state_dict())


class TestWrites:
    def test_what_was_recorded_before_a_step_is_not_differentiated_after_it(self):
        p = start()
        optimizer = optim.LBFGS([p], **WOLFE)
        before = (p * p).sum()
        optimizer.step(rosenbrock(p, optimizer))
        with pytest.raises(RuntimeError, match="`multiply` needs for its gradient what has been changed in place"):
            before.backward()
