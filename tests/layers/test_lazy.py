"""Lazy layers become what they would have been; before that, nothing of them can be used without a word."""

import copy

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim

PAIRS = {
    "Linear": ((4,), (3, 4), (2, 3)),
    "Conv1d": ((4, 2), (6, 4, 2), (2, 6, 5)),
    "Conv2d": ((4, 2, 1, 0, 1, 2), (6, 4, 2, 1, 0, 1, 2), (6, 5, 5)),
    "ConvTranspose1d": ((4, 2), (6, 4, 2), (2, 6, 5)),
    "ConvTranspose2d": ((4, 2, 2, 0, 1, 2), (6, 4, 2, 2, 0, 1, 2), (2, 6, 5, 5)),
    "Conv3d": ((4, 2, 1, 0, 1, 2), (6, 4, 2, 1, 0, 1, 2), (6, 5, 5, 5)),
    "ConvTranspose3d": ((4, 2, 2, 0, 1, 2), (6, 4, 2, 2, 0, 1, 2), (2, 6, 3, 4, 4)),
    "BatchNorm3d": ((), (3,), (4, 3, 2, 2, 2)),
    "InstanceNorm3d": ((), (3, 1e-5, 0.1, True, True), (2, 3, 5, 4, 4)),
    "BatchNorm1d": ((), (3,), (4, 3)),
    "BatchNorm2d": ((), (3,), (4, 3, 2, 2)),
    "InstanceNorm1d": ((), (3, 1e-5, 0.1, True, True), (3, 5)),
    "InstanceNorm2d": ((), (3, 1e-5, 0.1, True, True), (2, 3, 5, 5)),
}
each = pytest.mark.parametrize("name", PAIRS)


def pair(name):
    args, full, shape = PAIRS[name]
    x = weft.tensor(np.random.default_rng(0).standard_normal(shape))
    return lambda: getattr(nn, f"Lazy{name}")(*args, dtype=weft.float64), lambda: getattr(nn, name)(*full).double(), x


@each
def test_it_becomes_the_layer_with_the_same_initial_values(name):
    make, _, x = pair(name)
    lazy = make()
    assert lazy.has_uninitialized_params()
    lazy.reset_parameters()
    held = list(lazy.parameters())
    weft.manual_seed(3)
    y = lazy(x)
    weft.manual_seed(3)
    layer = getattr(nn, name)(*PAIRS[name][1], dtype=weft.float64)
    np.testing.assert_array_equal(y.detach().numpy(), layer(x).detach().numpy())
    assert type(lazy) is type(layer)
    assert repr(lazy) == repr(layer)
    assert list(lazy.state_dict()) == list(layer.state_dict())
    assert [type(p) for p in held] == [weft.Parameter] * len(held)
    assert all(p is q for p, q in zip(held, lazy.parameters()))
    y.sum().backward()
    assert all(p.grad is not None for p in lazy.parameters())


@each
def test_a_state_dict_gives_the_shapes(name):
    make, plain, x = pair(name)
    layer, lazy = plain(), make()
    layer(x)
    lazy.load_state_dict(layer.state_dict())
    assert not lazy.has_uninitialized_params()
    np.testing.assert_array_equal(lazy.eval()(x).detach().numpy(), layer.eval()(x).detach().numpy())
    assert type(lazy) is type(layer)
    assert repr(lazy) == repr(layer)


@each
def test_copies_and_conversions_stay_lazy(name):
    make, _, x = pair(name)
    lazy = copy.deepcopy(make()).float().requires_grad_(False)
    again = make()
    again.load_state_dict(lazy.state_dict())
    assert again.has_uninitialized_params()
    y = lazy(x.float())
    assert y.dtype == weft.float32
    assert not any(p.requires_grad for p in lazy.parameters())


def test_before_the_first_call_everything_else_is_refused():
    lazy = nn.LazyLinear(3)
    message = "`UninitializedParameter` must have got its shape, .* call the model once with a batch"
    x = weft.ones((1, 2))
    uses = [
        lambda: lazy.weight.shape,
        lambda: lazy.weight + 1,
        lambda: abs(lazy.weight),
        lambda: lazy.forward(x),
        lambda: nn.init.zeros_(lazy.weight),
        lambda: optim.SGD(lazy.parameters(), lr=0.1),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match=message):
            use()
    assert repr(lazy.weight) == "<UninitializedParameter>"
    assert lazy.has_uninitialized_params()


def test_an_optimizer_made_after_the_first_call():
    net = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    x = weft.ones((2, 3))
    net(x)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    before = net(x).sum()
    before.backward()
    optimizer.step()
    assert net(x).sum().item() < before.item()


def test_inputs_that_do_not_fit():
    lazy = nn.LazyLinear(2)
    lazy.load_state_dict(nn.Linear(3, 2).state_dict())
    with pytest.raises(
        ValueError, match=r"`input` must have the features of what was loaded, `weight` \(2, 3\), got \(1, 4\)"
    ):
        lazy(weft.ones((1, 4)))
    with pytest.raises(ValueError, match="`groups` must divide the channels of `input`, got 2 for 3"):
        nn.LazyConv1d(4, 2, groups=2)(weft.ones((1, 3, 5)))
    with pytest.raises(ValueError, match=r"`input` must have 2 or 3 axes, \(N, C, …\) or \(C, …\), got \(3,\)"):
        nn.LazyConv1d(4, 2)(weft.ones(3))
    with pytest.raises(ValueError, match="`groups` must divide `out_channels`, got 2 for 3"):
        nn.LazyConv1d(3, 2, groups=2)
    with pytest.raises(ValueError, match=r"`input` must have 2 or 3 axes, got \(1, 2, 3, 4\)"):
        nn.LazyBatchNorm1d()(weft.ones((1, 2, 3, 4)))
    with pytest.raises(RuntimeError, match=r"weight must have \(2, 3\), got none yet"):
        nn.Linear(3, 2).load_state_dict(nn.LazyLinear(2).state_dict())
    with pytest.raises(TypeError, match="`input` must be a weft"):
        nn.LazyLinear(2)(np.ones((1, 2)))


def test_a_lazy_module_of_ones_own():
    class Forgetful(nn.LazyModuleMixin):
        def __init__(self):
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x):
            pass

    with pytest.raises(RuntimeError, match="`initialize_parameters` of Forgetful must materialize all parameters"):
        Forgetful()(weft.ones(1))
    with pytest.raises(NotImplementedError, match="`LazyModuleMixin` must define initialize_parameters"):
        nn.LazyModuleMixin()(weft.ones(1))
