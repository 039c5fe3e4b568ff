"""A module called with other parameters, and as it was afterwards."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers.utils import parametrizations
from weft.layers.utils.stateless import functional_call


def test_other_parameters_and_their_gradients():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    own = [p for _, p in net.named_parameters()]
    given = {name: p.detach() * 2 for name, p in net.named_parameters()}
    x = weft.tensor([[1.0, 2.0]])
    expected = (x @ given["0.weight"].T + given["0.bias"]) @ given["1.weight"].T + given["1.bias"]
    np.testing.assert_allclose(functional_call(net, given, (x,)).numpy(), expected.numpy(), rtol=1e-6)
    assert next(net.parameters()) is own[0]
    slope = weft.grad(lambda w: functional_call(net, {"0.bias": w}, x).sum())(given["0.bias"])
    np.testing.assert_allclose(slope.detach().numpy(), net[1].weight.detach().numpy()[0], rtol=1e-6)
    assert all(p.grad is None for p in own)


def test_a_failing_call_puts_the_parameters_back():
    layer = nn.Linear(2, 2)
    weight = layer.weight
    with pytest.raises(ValueError, match="weight"):
        functional_call(layer, {"weight": weft.ones((2, 3))}, weft.ones((1, 2)))
    assert layer.weight is weight


def test_buffers_come_back_in_the_dict():
    class Counts(nn.Module):
        def __init__(self):
            self.register_buffer("seen", weft.tensor(0.0))

        def forward(self, x):
            self.seen = self.seen + x
            return self.seen

    module, given = Counts(), {"seen": weft.tensor(5.0)}
    functional_call(module, given, weft.tensor(1.0))
    assert given["seen"].item() == 6
    assert module.seen.item() == 0


def test_tied_and_parametrized_weights():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    x, w = weft.ones((1, 2)), 2 * weft.eye(2)
    assert functional_call(net, {"0.weight": w}, x).tolist() == [[4.0, 4.0]]
    with pytest.raises(ValueError, match="must give tied names one tensor"):
        functional_call(net, {"0.weight": w, "1.weight": 3 * weft.eye(2)}, x)
    assert functional_call(net, {"0.weight": w, "1.weight": 3 * weft.eye(2)}, x, tie_weights=False).tolist() == [
        [6.0, 6.0]
    ]
    layer = parametrizations.weight_norm(nn.Linear(2, 1, bias=False))
    found = functional_call(layer, {"parametrizations.weight.original0": weft.tensor([[0.0]])}, x)
    assert found.tolist() == [[0.0]]


def test_strict():
    with pytest.raises(RuntimeError, match=r"missing \['bias'\], unexpected \['wait'\]"):
        functional_call(
            nn.Linear(1, 1), {"weight": weft.ones((1, 1)), "wait": weft.ones(1)}, weft.ones((1, 1)), strict=True
        )
