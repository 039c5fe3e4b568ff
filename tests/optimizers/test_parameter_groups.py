"""Parameter groups by name: which parameter learns how, and what is frozen."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim


@pytest.fixture
def model():
    weft.manual_seed(0)
    blocks = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)) for _ in range(3)])
    return nn.ModuleDict({"embed": nn.Embedding(4, 2), "h": blocks, "head": nn.Linear(2, 1)})


def of(groups, model):
    """The options by the name of the parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: {k: v for k, v in g.items() if k != "params"} for g in groups for p in g["params"]}


class TestParameterGroups:
    def test_the_first_pattern_counts(self, model):
        groups = optim.parameter_groups(model, {"*.bias": {"weight_decay": 0.0}, "head.*": {"lr": 1.0}})
        found = of(groups, model)
        assert found["head.bias"] == {"name": "*.bias", "weight_decay": 0.0}
        assert found["head.weight"] == {"name": "head.*", "lr": 1.0}
        assert found["h.0.0.weight"] == {"name": "all"}
        assert len(found) == len(list(model.parameters()))

    def test_rates_fall_from_layer_to_layer(self, model):
        found = of(optim.parameter_groups(model, {"head.*": {"lr": 1.0}}, lr=0.1, layer_decay=0.5), model)
        rates = [
            found[name]["lr"] for name in ("embed.weight", "h.0.0.weight", "h.1.1.bias", "h.2.0.bias", "head.bias")
        ]
        assert rates == [0.1 / 16, 0.1 / 8, 0.1 / 4, 0.1 / 2, 1.0]

    def test_none_freezes(self, model):
        groups = optim.parameter_groups(model, {"embed.*": None, "h.[01].*": None}, lr=0.1)
        assert {name.split(".")[0] for name in of(groups, model)} == {"h", "head"}
        assert not model["embed"].weight.requires_grad

    def test_they_train_so(self, model):
        before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
        optimizer = optim.SGD(optim.parameter_groups(model, {"embed.*": None, "head.*": {"lr": 1.0}}, lr=0.5))
        x = model["embed"](weft.asarray([0, 1, 2]))
        for block in model["h"]:
            x = block(x)
        model["head"](x).sum().backward()
        grads = {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}
        optimizer.step()
        assert "embed.weight" not in grads
        for name, p in model.named_parameters():
            lr = 0.0 if name == "embed.weight" else 1.0 if name.startswith("head") else 0.5
            moved = before[name] - lr * grads.get(name, 0.0)
            np.testing.assert_allclose(p.detach().numpy(), moved, rtol=1e-6, atol=1e-7)

    def test_errors(self, model):
        for call, message in (
            (
                lambda: optim.parameter_groups(model, {"haed.*": {}}),
                "must fit some parameter, got 'haed.*'; there are head",
            ),
            (lambda: optim.parameter_groups(model, layer_decay=0.5), r"`lr` must be given for layer_decay=0.5"),
            (lambda: optim.parameter_groups(model, lr=0.1, layer_decay=1.5), "`layer_decay` must be .*, got 1.5"),
            (lambda: optim.parameter_groups(model, {"*": None}), "must leave a parameter to learn, got all frozen"),
        ):
            with pytest.raises(ValueError, match=message):
                call()


class TestFreeze:
    def test_names(self, model):
        assert optim.freeze(model, "embed.*", "*.1.bias") == ["embed.weight", "h.0.1.bias", "h.1.1.bias", "h.2.1.bias"]
        assert sum(not p.requires_grad for p in model.parameters()) == 4

    def test_no_gradient_is_left(self, model):
        model["head"].weight.sum().backward()
        optim.freeze(model, "head.*")
        assert model["head"].weight.grad is None

    def test_errors(self, model):
        with pytest.raises(ValueError, match=r"got 'heads.\*'; there are head"):
            optim.freeze(model, "heads.*")
