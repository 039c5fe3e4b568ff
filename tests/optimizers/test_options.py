"""Errors of parameters and options, and their messages."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim


class TestErrors:
    @pytest.mark.parametrize(
        ("params", "error", "message"),
        [
            (list, ValueError, "`params` must hold at least one parameter"),
            (lambda: [{"params": []}], ValueError, "`params` must hold at least one parameter"),
            (lambda: weft.Parameter([1.0]), TypeError, r"must be a list .* got a Parameter; pass \[tensor\]"),
            (lambda: {weft.Parameter([1.0])}, TypeError, "got a set; a set has no order"),
            (lambda: [np.ones(3)], TypeError, r"`params\[0\]` must be a weft.Parameter, got ndarray"),
            (lambda: [weft.Parameter([1.0]), weft.Parameter([1.0]) * 2], ValueError, r"`params\[1\]` must be a leaf"),
            (lambda: [weft.tensor([1, 2])], TypeError, r"`params\[0\]` must have a real .* dtype, got int64"),
            (lambda: [weft.Parameter([[1.0]])] * 2, ValueError, r"`params\[1\]` \(shape \(1, 1\)\) must appear once"),
            (lambda: [{"params": [p]} for p in [weft.Parameter([1.0])] * 2], ValueError, "must appear once"),
            (lambda: [{"lr": 1.0}], TypeError, "`param_group` must be a dict with the key 'params', got"),
        ],
    )
    def test_parameters(self, params, error, message):
        with pytest.raises(error, match=message):
            optim.SGD(params())

    @pytest.mark.parametrize(
        ("cls", "options", "message"),
        [
            (optim.SGD, {"lr": -1.0}, "`lr` must be ≥ 0, got -1.0"),
            (optim.SGD, {"lr": float("nan")}, "`lr` must be ≥ 0, got nan"),
            (optim.SGD, {"momentum": -0.5}, "`momentum` must be ≥ 0, got -0.5"),
            (optim.SGD, {"weight_decay": -0.5}, "`weight_decay` must be ≥ 0, got -0.5"),
            (optim.Adam, {"betas": (1.0, 0.9)}, r"`betas\[0\]` must be in \[0, 1\), got 1.0"),
            (optim.Adam, {"betas": (0.9, -0.1)}, r"`betas\[1\]` must be in \[0, 1\), got -0.1"),
            (optim.AdamW, {"eps": -1e-8}, "`eps` must be ≥ 0, got -1e-08"),
            (optim.Adagrad, {"lr_decay": -1}, "`lr_decay` must be ≥ 0, got -1"),
            (optim.Adagrad, {"initial_accumulator_value": -1}, "`initial_accumulator_value` must be ≥ 0, got -1"),
            (optim.Adadelta, {"rho": 1.5}, r"`rho` must be in \[0, 1\], got 1.5"),
            (optim.RMSprop, {"alpha": 1.5}, r"`alpha` must be in \[0, 1\], got 1.5"),
            (optim.NAdam, {"momentum_decay": -1}, "`momentum_decay` must be ≥ 0, got -1"),
            (optim.AdaBound, {"final_lr": -1}, "`final_lr` must be ≥ 0, got -1"),
            (optim.ASGD, {"lambd": -1}, "`lambd` must be ≥ 0, got -1"),
            (optim.ASGD, {"t0": -1}, "`t0` must be ≥ 0, got -1"),
            (optim.Rprop, {"etas": (1.5, 2.0)}, r"`etas\[0\]` must be .*, got 1.5"),
            (optim.Rprop, {"etas": (0.5, 0.9)}, r"`etas\[1\]` must be > 1, got 0.9"),
            (optim.Rprop, {"step_sizes": 3.0}, "`step_sizes` must be 2 numbers, got 3.0"),
            (optim.Adafactor, {"eps": (None, -1.0)}, r"`eps\[1\]` must be ≥ 0, got -1.0"),
            (optim.Adafactor, {"eps": (-1.0, 0.1)}, r"`eps\[0\]` must be ≥ 0, got -1.0"),
            (optim.Adafactor, {"beta2_decay": 0.5}, "`beta2_decay` must be ≤ 0, got 0.5"),
            (optim.Adafactor, {"d": 0.5}, "`d` must be ≥ 1, got 0.5"),
            (
                optim.LBFGS,
                {"line_search_fn": "armijo"},
                "`line_search_fn` must be 'strong_wolfe' or None, got 'armijo'",
            ),
            (optim.LBFGS, {"max_iter": 0}, "`max_iter` must be"),
        ],
    )
    def test_options(self, cls, options, message):
        with pytest.raises(ValueError, match=message):
            cls([weft.Parameter([1.0])], **options)

    def test_options_of_a_group(self):
        with pytest.raises(ValueError, match="`lr` must be ≥ 0, got -3"):
            optim.SGD([{"params": [weft.Parameter([1.0])], "lr": -3}])

    @pytest.mark.parametrize("name", ["foreach", "fused", "capturable"])
    @pytest.mark.parametrize("value", [True, False, None])
    def test_pytorchs_implementation_switches_have_no_effect(self, name, value):
        found = []
        for switches in ({}, {name: value}):
            p = weft.Parameter([1.0, 2.0])
            optimizer = optim.Adam([p], lr=0.1, **switches)
            p.grad = weft.tensor([0.5, -3.0])
            optimizer.step()
            found.append((p.tolist(), optimizer.defaults))
        assert found[0] == found[1]

    @pytest.mark.parametrize("name", ["foreach", "fused", "capturable", "differentiable"])
    def test_a_switch_is_a_bool(self, name):
        with pytest.raises(TypeError, match=f"`{name}` must be a bool or None, got 'yes'"):
            optim.Adam([weft.Parameter([1.0])], **{name: "yes"})

    @pytest.mark.parametrize("cls", [optim.SGD, optim.Adam, optim.RMSprop, optim.ASGD, optim.Rprop])
    def test_no_step_is_differentiable(self, cls):
        with pytest.raises(NotImplementedError, match="`differentiable` must be False, got True"):
            cls([weft.Parameter([1.0])], differentiable=True)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("rule", [optim.SGD, optim.AdamW])
def test_a_learning_rate_that_is_a_tensor_may_be_written_to(rule, shape):
    """As a schedule of one's own does, on the device; PyTorch takes Tensors of one element with any number of axes."""

    def trained(lr, change):
        p = weft.Parameter(weft.ones(3))
        optimizer = rule([p], lr=lr)
        for i in range(3):
            p.grad = weft.full(3, i + 1.0)
            optimizer.step()
            if i == 0:
                change(optimizer)
        return p.tolist()

    lr = weft.full(shape, 0.25)
    assert trained(lr, lambda _: lr.fill_(0.5)) == trained(0.25, lambda o: o.param_groups[0].update(lr=0.5))
