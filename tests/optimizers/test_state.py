"""State dicts: exact continuation, PyTorch's layout and names, and what is refused."""

import json

import numpy as np
import pytest

import weft
from weft import optimizers as optim


class TestStateDict:
    def test_a_run_continues_bit_for_bit(self, any_rule, tools, rng):
        cls, options = any_rule
        first = tools.parameters(rng, dtype="float32")
        gradients = [[rng.standard_normal(p.shape) for p in first] for _ in range(6)]
        gradients[1][2] = None  # one parameter is a step behind
        optimizer = cls([{"params": first[:2], "lr": options["lr"] * 2}, {"params": first[2:]}], **options)
        runs = [(first, optimizer)]
        for k, step in enumerate(gradients):
            if k == 3:
                second = [weft.Parameter(p.data.copy()) for p in first]
                other = cls([{"params": second[:2]}, {"params": second[2:]}], lr=7.0)
                saved = optimizer.state_dict()
                json.dumps(saved["param_groups"])  # fit for a checkpoint
                other.load_state_dict(saved)
                runs.append((second, other))
            for params, o in runs:
                for p, g in zip(params, step):
                    p.grad = None if g is None else weft.tensor(g, dtype=weft.float32)
                o.step()
        for a, b in zip(first, second):
            np.testing.assert_array_equal(a.data, b.data)
        a, b = optimizer.state_dict(), other.state_dict()
        assert a["param_groups"] == b["param_groups"]
        for i, entry in a["state"].items():
            for name, value in entry.items():
                np.testing.assert_array_equal(value, b["state"][i][name])

    @pytest.mark.parametrize(
        ("cls", "options", "names"),
        [
            (optim.SGD, {"momentum": 0.9}, {"momentum_buffer"}),
            (optim.Adam, {"amsgrad": True}, {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"}),
            (optim.NAdam, {}, {"exp_avg", "exp_avg_sq", "mu_product"}),
            (optim.RAdam, {}, {"exp_avg", "exp_avg_sq"}),
            (optim.Adamax, {}, {"exp_avg", "exp_inf"}),
            (optim.RMSprop, {"momentum": 0.9, "centered": True}, {"square_avg", "grad_avg", "momentum_buffer"}),
            (optim.Adagrad, {}, {"sum"}),
            (optim.Adadelta, {}, {"square_avg", "acc_delta"}),
        ],
    )
    def test_layout_and_names_are_pytorchs(self, cls, options, names):
        p, q = weft.Parameter([[1.0, 2.0]]), weft.Parameter([3.0])
        optimizer = cls([{"params": [p]}, {"params": [q]}], **options)
        assert optimizer.state_dict()["state"] == {}
        (p.sum() + q.sum()).backward()
        optimizer.step()
        saved = optimizer.state_dict()
        assert list(saved["state"]) == [0, 1]
        assert set(saved["state"][0]) == names | {"step"}
        assert all(saved["state"][0][name].shape == (1, 2) for name in names - {"mu_product"})
        assert [g["params"] for g in saved["param_groups"]] == [[0], [1]]

    def test_loads_what_pytorch_saves(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.Adam([p])
        optimizer.load_state_dict(
            {
                "state": {0: {"step": np.float32(7), "exp_avg": np.ones(2), "exp_avg_sq": np.full(2, 4.0)}},
                "param_groups": [
                    {
                        "lr": 0.5,
                        "betas": [0.8, 0.9],
                        "eps": 1e-8,
                        "weight_decay": 0,
                        "amsgrad": False,
                        "maximize": False,
                        "foreach": None,
                        "capturable": False,
                        "differentiable": False,
                        "fused": None,
                        "decoupled_weight_decay": False,
                        "params": [0],
                    }
                ],
            }
        )
        assert optimizer.state[p]["step"] == 7
        assert optimizer.state[p]["exp_avg_sq"].tolist() == [4.0, 4.0]
        assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
        assert "foreach" not in optimizer.param_groups[0]

    def test_loads_pytorchs_sgd_which_counts_no_steps(self):
        p = weft.Parameter([0.0])
        optimizer = optim.SGD([p], lr=1.0, momentum=0.5, dampening=0.5)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": {0: {"momentum_buffer": np.array([2.0])}}, "param_groups": groups})
        p.grad = weft.tensor([4.0])
        optimizer.step()
        assert p.item() == -(0.5 * 2 + 0.5 * 4)  # dampened: not the first step
        plain = optim.SGD([p])
        plain.load_state_dict(
            {"state": {0: {"momentum_buffer": None}}, "param_groups": plain.state_dict()["param_groups"]}
        )

    def test_survives_json(self):
        p = weft.Parameter([1.0])
        optimizer = optim.Adam([p])
        p.sum().backward()
        optimizer.step()
        saved = optimizer.state_dict()
        arrays = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in saved["state"][0].items()}
        text = json.dumps({"state": {0: arrays}, "param_groups": saved["param_groups"]})
        back = json.loads(text)
        back["state"]["0"] = {k: np.array(v) if isinstance(v, list) else v for k, v in back["state"]["0"].items()}
        optimizer.load_state_dict(back)
        assert optimizer.state[p]["step"] == 1
        assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)

    def test_what_does_not_fit_is_refused_and_changes_nothing(self):
        p = weft.Parameter([1.0, 2.0])
        optimizer = optim.Adam([p], lr=0.25)
        p.sum().backward()
        optimizer.step()
        saved = optimizer.state_dict()
        entry, (group,) = saved["state"][0], saved["param_groups"]
        bad = [
            ({"state": {}, "param_groups": [group, group]}, r"groups of \[2?1?\] parameters, got groups of \[1, 1\]"),
            ({"state": {0: {"sum": np.ones(2)}}, "param_groups": [group]}, r"must hold \['exp_avg', 'exp_avg_sq'\]"),
            ({"state": {0: entry | {"exp_avg": np.ones(3)}}, "param_groups": [group]}, r"shape \(2,\), got \(3,\)"),
            ({"state": {}, "param_groups": [group | {"lr": -1}]}, "`lr` must be ≥ 0, got -1"),
        ]
        for state_dict, message in bad:
            with pytest.raises(ValueError, match=message):
                optimizer.load_state_dict(state_dict)
        assert optimizer.param_groups[0]["lr"] == 0.25
        assert optimizer.state[p]["step"] == 1

    def test_arrays_are_copies(self):
        p = weft.Parameter([1.0])
        optimizer = optim.Adam([p])
        p.sum().backward()
        optimizer.step()
        before = optimizer.state_dict()["state"][0]["exp_avg"]
        value = before.copy()
        optimizer.step()
        assert before == value
