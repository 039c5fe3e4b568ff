"""Parameters, buffers and modules by their paths, and what is done around a state_dict."""

import copy
import pickle

import numpy as np
import pytest

import weft
from weft import layers as nn


class Counted(nn.Module):
    def __init__(self):
        self.weight = nn.Parameter([1.0, 2.0])
        self.count = 3

    def get_extra_state(self):
        return {"count": self.count}

    def set_extra_state(self, state):
        self.count = state["count"]


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3), Counted()))


def test_by_path():
    model = net()
    assert model.get_parameter("0.weight") is model[0].weight
    assert model.get_buffer("1.0.running_mean") is model[1][0].running_mean
    with pytest.raises(AttributeError, match=r"'0\.scale': Linear has no parameter 'scale', only \['weight', 'bias'\]"):
        model.get_parameter("0.scale")
    with pytest.raises(AttributeError, match=r"'0.weight': Linear has no buffer 'weight', only"):
        model.get_buffer("0.weight")
    with pytest.raises(ValueError, match=r"`target` must be the path of a weight, .* got ''"):
        model.get_parameter("")


def test_set_submodule():
    model = net()
    model.set_submodule("1.0", nn.Tanh(), strict=True)
    assert isinstance(model[1][0], nn.Tanh)
    model.set_submodule("1.last", nn.ReLU())
    assert isinstance(model[1][-1], nn.ReLU)
    for target, module, strict, error in [
        ("1.none", nn.ReLU(), True, AttributeError),
        ("0.weight", nn.ReLU(), False, AttributeError),
        ("5.weight", nn.ReLU(), False, AttributeError),
        ("0", weft.ones(1), False, TypeError),
        ("0", None, False, TypeError),
    ]:
        with pytest.raises(error, match=r"`target`|`module` must be a Module"):
            model.set_submodule(target, module, strict)
    model.register_module("extra", nn.ReLU())
    assert isinstance(model[-1], nn.ReLU)


def test_extra_state():
    model, other = net(), net()
    other[1][1].count = 7
    state = other.state_dict()
    assert list(state)[-1] == "1.1._extra_state"
    model.load_state_dict(state)
    assert model[1][1].count == 7
    del state["1.1._extra_state"]
    with pytest.raises(RuntimeError, match=r"missing: 1.1._extra_state"):
        model.load_state_dict(state)
    assert model.load_state_dict(state, strict=False).missing_keys == ["1.1._extra_state"]
    with pytest.raises(RuntimeError, match="unexpected: _extra_state"):
        nn.ReLU().load_state_dict({"_extra_state": 1})
    with pytest.raises(NotImplementedError, match="`ReLU` must define get_extra_state"):
        nn.ReLU().get_extra_state()


def test_state_dict_hooks():
    model, seen = net(), []
    handles = [
        model[1].register_state_dict_pre_hook(lambda m, prefix, keep: seen.append((m is model[1], prefix, keep))),
        model[0].register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop(prefix + "bias")),
    ]
    state = model.state_dict()
    assert seen == [(True, "1.", False)]
    assert "0.bias" not in state

    def rename(module, state, prefix, meta, strict, *lists):
        state[prefix + "bias"] = np.zeros(3)

    handles.append(model[0].register_load_state_dict_pre_hook(rename))
    handles.append(model.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys)))
    keys = model.load_state_dict(state)
    assert seen[1:] == [keys]
    assert "0.bias" not in state
    assert model[0].bias.tolist() == [0, 0, 0]
    for handle in handles:
        handle.remove()
        handle.remove()
    assert "0.bias" in model.state_dict()
    with pytest.raises(TypeError, match="`hook` must be a function, got 3"):
        model.register_state_dict_post_hook(3)
    assert copy.deepcopy(model)[1][1].count == pickle.loads(pickle.dumps(model))[1][1].count == 3


def test_to_empty_and_type():
    model = nn.Sequential(nn.Linear(2, 3), nn.LazyLinear(2))
    weight = model[0].weight
    weight.grad = weft.ones((3, 2))
    assert model.to_empty(device="emulator") is model
    assert (model[0].weight is weight, weight.device, weight.shape, weight.grad) == (True, "emulator", (3, 2), None)
    model.to_empty(device=None)
    assert weight.device == "emulator"
    assert nn.Linear(2, 3).type(weft.float64).bias.dtype == weft.float64
    with pytest.raises(TypeError, match="`dtype` must be a real floating-point dtype"):
        model.type(weft.int64)


def test_what_was_registered_is_not_lost_unseen():
    layer = nn.BatchNorm1d(2)
    with pytest.raises(TypeError, match=r"`weight` must be a weft\.Parameter or None, as it was one, got int"):
        layer.weight = 3
    with pytest.raises(TypeError, match=r"`weight` must be a weft\.Parameter or None, as it was one, got Tensor"):
        layer.weight = weft.ones(2)
    with pytest.raises(KeyError, match="`name` must be free or that of a buffer, got 'weight', a Parameter"):
        layer.register_buffer("weight", weft.ones(2))
    model = nn.Sequential(layer)
    model.child = layer
    with pytest.raises(TypeError, match="`child` must be a Module or None, as it was one, got str"):
        model.child = "none"
    layer.weight = None
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
    del layer.bias
    layer.bias = 3
    assert not list(layer.parameters())


def test_a_parameter_in_the_place_of_a_buffer_is_learned():
    layer = nn.BatchNorm1d(2)
    layer.running_mean = nn.Parameter([1.0, 2.0])
    assert "running_mean" in dict(layer.named_parameters())
    assert "running_mean" not in dict(layer.named_buffers())
    assert [*layer.state_dict()].count("running_mean") == 1
    layer.register_buffer("kept", nn.Parameter([1.0]))
    assert "kept" in dict(layer.named_buffers())


def test_operators_of_containers():
    a, b = nn.Linear(1, 1), nn.ReLU()
    model = nn.Sequential(a)
    before = model
    model += nn.Sequential(b)
    assert model is before
    assert list(model) == [a, b]
    assert list(model * 2) == list(2 * model) == [a, b, a, b]
    model *= 2
    assert (model is before, list(model)) == (True, [a, b, a, b])
    model += model
    assert len(model) == 8
    with pytest.raises(ValueError, match="`times` must be an integer ≥ 1, got 0"):
        model * 0
    for add in (lambda: model + [b], lambda: model.__iadd__(b)):
        with pytest.raises(TypeError, match="`other` must be a Sequential, got"):
            add()
    modules = kept = nn.ModuleList([a])
    modules += [b]
    modules += modules
    assert (modules is kept, list(modules)) == (True, [a, b, a, b])
