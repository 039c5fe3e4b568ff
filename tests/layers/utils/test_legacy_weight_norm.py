"""The older form computes what the newer one does, under other names."""

import copy

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers.utils import parametrizations


@pytest.fixture
def layer():
    with pytest.warns(FutureWarning, match="`weight_norm` is deprecated: say utils.parametrizations.weight_norm"):
        return nn.utils.weight_norm(nn.Linear(2, 3))


def test_state_and_the_way_back(layer):
    assert {name: p.shape for name, p in layer.named_parameters()} == {
        "bias": (3,),
        "weight_g": (3, 1),
        "weight_v": (3, 2),
    }
    newer = parametrizations.weight_norm(nn.Linear(2, 3))
    newer.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), newer.weight.detach().numpy())
    assert repr(layer) == repr(nn.Linear(2, 3))
    layer.weight = weft.ones((3, 2))
    np.testing.assert_allclose(layer.weight_g.detach().numpy(), np.full((3, 1), 2**0.5), rtol=1e-6)
    other = copy.deepcopy(layer)
    nn.utils.remove_weight_norm(layer)
    assert type(layer) is nn.Linear
    np.testing.assert_allclose(layer.weight.detach().numpy(), np.ones((3, 2)), rtol=1e-6)
    assert "weight_g" in other.state_dict()


def test_what_is_refused(layer):
    with pytest.raises(ValueError, match="`name` must be that of a weight with weight_norm in Linear, got 'bias'"):
        nn.utils.remove_weight_norm(layer, "bias")
    with (
        pytest.warns(FutureWarning),
        pytest.raises(RuntimeError, match="'weight' of Linear must not be normalised twice"),
    ):
        nn.utils.weight_norm(layer)
    with (
        pytest.warns(FutureWarning),
        pytest.raises(ValueError, match="`name` must be that of a parameter of ReLU, got 'weight'"),
    ):
        nn.utils.weight_norm(nn.ReLU())
