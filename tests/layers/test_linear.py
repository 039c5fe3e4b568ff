"""Dense layers: initial values against their distribution; the maps are tested with `functional`."""

import math

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn


class TestLinear:
    def test_initial_values(self):
        layer = nn.Linear(100, 2000)
        for p in layer.parameters():
            assert np.abs(p.detach().numpy()).max() <= 0.1
            assert p.detach().numpy().var() == pytest.approx(0.01 / 3, rel=0.05)
        before = layer.weight.tolist()
        layer.reset_parameters()
        assert layer.weight.tolist() != before

    def test_state(self):
        layer = nn.Linear(3, 4)
        assert {k: v.shape for k, v in layer.state_dict().items()} == {"weight": (4, 3), "bias": (4,)}
        assert nn.Linear(3, 4, bias=False).bias is None
        assert list(nn.Linear(3, 4, False).state_dict()) == ["weight"]
        assert repr(nn.Linear(3, 4, False)) == "Linear(in_features=3, out_features=4, bias=False)"

    def test_values(self, rng):
        layer, x = nn.Linear(3, 4).double(), rng.standard_normal((5, 3))
        expected = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        np.testing.assert_allclose(layer(weft.tensor(x)).detach().numpy(), expected, atol=1e-12)

    def test_the_same_seed_gives_the_same_layer_everywhere(self):
        layers = []
        for device in ("cpu", "strict"):
            weft.manual_seed(5)
            layers.append(nn.Linear(7, 3, device=device).cpu())
        np.testing.assert_array_equal(*(layer.weight.detach().numpy() for layer in layers))

    def test_no_inputs(self):
        assert nn.Linear(0, 3)(weft.ones((2, 0))).shape == (2, 3)


class TestBilinear:
    def test_initial_values(self):
        layer = nn.Bilinear(25, 30, 40)
        assert layer.weight.shape == (40, 25, 30)
        assert layer.weight.detach().numpy().var() == pytest.approx(1 / 25 / 3, rel=0.05)
        assert np.abs(layer.bias.detach().numpy()).max() <= 1 / math.sqrt(25)
        assert repr(layer) == "Bilinear(in1_features=25, in2_features=30, out_features=40, bias=True)"

    def test_without_bias(self, rng):
        layer = nn.Bilinear(2, 3, 4, bias=False).double()
        a, b = rng.standard_normal((5, 2)), rng.standard_normal((5, 3))
        expected = np.einsum("ni,oij,nj->no", a, layer.weight.detach().numpy(), b)
        np.testing.assert_allclose(layer(weft.tensor(a), weft.tensor(b)).detach().numpy(), expected, atol=1e-12)
