"""Parametrized modules: state, gradients, copies, optimizers, captured steps; what is computed is in `test_parametrizations`."""

import copy
import pickle

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    def forward(self, x):
        return weft.triu(x) + weft.triu(x, k=1).T

    def right_inverse(self, x):
        return weft.triu(x)


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


class Narrow(nn.Module):
    def forward(self, x):
        return x[:1]


def test_state_names_and_the_way_back():
    layer = nn.Linear(3, 3)
    weight, before = layer.weight, layer.weight.detach().numpy().copy()
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is weight
    assert type(layer).__name__ == "ParametrizedLinear"
    assert isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    computed = np.triu(before) + np.triu(before, 1).T
    np.testing.assert_array_equal(layer.weight.detach().numpy(), computed)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert layer.weight is weight
    np.testing.assert_array_equal(weight.detach().numpy(), computed)
    assert not parametrize.is_parametrized(layer)


def test_without_the_parametrization_the_original_comes_back():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    original = layer.parametrizations.weight.original.detach().numpy().copy()
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_array_equal(layer.weight.detach().numpy(), original)


def test_several_of_one_tensor_and_of_several():
    layer = nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    one = layer.weight.detach().numpy().copy()
    parametrize.register_parametrization(layer, "weight", Doubled())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), 2 * one)
    parametrize.register_parametrization(layer, "bias", Doubled())
    assert parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "weight")
    assert parametrize.is_parametrized(layer)
    assert not parametrize.is_parametrized(layer, "weight")


def test_assignment_goes_through_the_inverse():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    layer.weight = weft.tensor([[1.0, 2.0], [2.0, 3.0]])
    assert layer.parametrizations.weight.original.tolist() == [[1.0, 2.0], [0.0, 3.0]]
    assert layer.weight.tolist() == [[1.0, 2.0], [2.0, 3.0]]
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    with pytest.raises(RuntimeError, match="`Doubled` must have a `right_inverse`"):
        layer.weight = weft.ones((2, 2))


def test_a_buffer():
    norm = parametrize.register_parametrization(nn.BatchNorm1d(2), "running_mean", Doubled())
    assert list(norm.state_dict())[-1] == "parametrizations.running_mean.original"
    assert norm.running_mean.tolist() == [0.0, 0.0]
    parametrize.remove_parametrizations(norm, "running_mean")
    assert "running_mean" in dict(norm.named_buffers())


def test_what_is_refused():
    with pytest.raises(ValueError, match="`tensor_name` must be that of a parameter or buffer of Linear, got 'wait'"):
        parametrize.register_parametrization(nn.Linear(2, 2), "wait", Doubled())
    with pytest.raises(ValueError, match=r"`parametrization` returns must have shape \(2, 2\), got \(1, 2\)"):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", Narrow())
    assert parametrize.register_parametrization(nn.Linear(2, 2), "weight", Narrow(), unsafe=True).weight.shape == (1, 2)
    with pytest.raises(ValueError, match="`tensor_name` must be that of a parametrized tensor of Linear, got 'weight'"):
        parametrize.remove_parametrizations(nn.Linear(2, 2), "weight")
    layer = parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(
        ValueError, match="`leave_parametrized` must be True for a tensor that is computed from several"
    ):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def test_a_failure_leaves_the_module_as_it_was():
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="must have shape"):
        parametrize.register_parametrization(layer, "weight", Narrow())
    assert type(layer) is nn.Linear
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_cached():
    layer = parametrizations.weight_norm(nn.Linear(2, 3))
    assert layer.weight is not layer.weight
    with parametrize.cached(), parametrize.cached():
        first = layer.weight
        assert layer.weight is first
        layer.weight = weft.ones((3, 2))
        np.testing.assert_allclose(layer.weight.detach().numpy(), np.ones((3, 2)), rtol=1e-6)
    assert layer.weight is not first


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_alone(copied):
    net = nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 3)), nn.Tanh())
    other = copied(net).eval()
    x = weft.ones((1, 3))
    np.testing.assert_array_equal(other(x).detach().numpy(), net.eval()(x).detach().numpy())
    parametrize.remove_parametrizations(other[0], "weight")
    assert parametrize.is_parametrized(net[0], "weight")
    assert type(other[0]) is nn.Linear
    net[0].weight  # noqa: B018


def test_transfer():
    a, b = parametrizations.weight_norm(nn.Linear(2, 3)), nn.Linear(2, 3)
    parametrize.transfer_parametrizations_and_params(a, b)
    assert b.parametrizations.weight.original0 is a.parametrizations.weight.original0
    np.testing.assert_array_equal(a.weight.detach().numpy(), b.weight.detach().numpy())


def trained(prepare, steps=5, device="cpu"):
    """The losses of a step made by `prepare` from a plain one, on a net with every parametrisation that can be captured."""
    weft.manual_seed(0)
    net = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(4, 5)),
        nn.Tanh(),
        parametrizations.spectral_norm(nn.Linear(5, 5)),
        nn.Linear(5, 3),
    ).to(device)
    optimizer = optim.AdamW(net.parameters(), lr=0.05)
    x = weft.asarray(np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32), device=device)
    y = weft.asarray(np.arange(8) % 3, device=device)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = prepare(step)
    return [step(x, y).item() for _ in range(steps)]


def test_a_captured_step_has_the_bits_of_an_eager_one():
    for device in {"cpu", "emulator"} & set(weft.devices()):
        eager = trained(lambda step: step, device=device)
        assert trained(weft.capture, device=device) == eager
        assert eager[-1] < eager[0]


def test_under_autocast():
    def cast(step):
        def within(x, y):
            with weft.autocast():
                return step(x, y)

        return within

    assert trained(cast) == pytest.approx(trained(lambda step: step), rel=0.05)


def test_checkpoint_iterates_once():
    """What is computed again for backward does not move the vectors of the power iteration."""
    layers = [parametrizations.spectral_norm(nn.Linear(3, 3))]
    layers.append(copy.deepcopy(layers[0]))
    x = weft.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    for layer, call in zip(layers, (lambda m: m(x), lambda m: weft.checkpoint(m, x))):
        call(layer).sum().backward()
    (a, b) = layers
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name].numpy(), value.numpy())
    for p, q in zip(a.parameters(), b.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)


def test_an_optimizer_keeps_its_hold():
    layer = nn.Linear(3, 3)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    before = layer.weight.detach().numpy().copy()
    layer(weft.ones((1, 3))).sum().backward()
    optimizer.step()
    assert (layer.weight.detach().numpy() != before).all()
    state = layer.state_dict()
    again = parametrize.register_parametrization(nn.Linear(3, 3), "weight", Symmetric())
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.weight.detach().numpy(), layer.weight.detach().numpy())
    assert layer.double().weight.dtype == weft.float64
