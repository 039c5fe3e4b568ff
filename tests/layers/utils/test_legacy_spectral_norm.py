"""One iteration before each call in training, in NumPy; none in evaluation."""

import copy

import numpy as np
import pytest

import weft
from weft import layers as nn


def unit(x):
    return x / np.linalg.norm(x)


def test_iterations():
    layer, x = nn.utils.spectral_norm(nn.Linear(4, 3).double()), weft.ones((1, 4), dtype=weft.float64)
    w, u, v = (getattr(layer, f"weight_{part}").detach().numpy().copy() for part in ("orig", "u", "v"))
    for _ in range(2):
        layer(x)
        v = unit(w.T @ u)
        u = unit(w @ v)
    np.testing.assert_allclose(layer.weight_u.numpy(), u, rtol=1e-12)
    np.testing.assert_allclose(layer.weight.detach().numpy(), w / (u @ w @ v), rtol=1e-12)
    other = copy.deepcopy(layer).eval()
    other(x)
    np.testing.assert_array_equal(other.weight_u.numpy(), layer.weight_u.numpy())
    value = layer.weight.detach().numpy().copy()
    nn.utils.remove_spectral_norm(layer)
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert layer._hooks is None
    assert not list(layer.buffers())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), value)
    layer(x)


def test_what_is_refused():
    layer = nn.utils.spectral_norm(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="'weight' of Linear must not be normalised twice"):
        nn.utils.spectral_norm(layer)
    with pytest.raises(ValueError, match="`name` must be that of a weight with spectral_norm in Linear, got 'bias'"):
        nn.utils.remove_spectral_norm(layer, "bias")
    with pytest.raises(ValueError, match=r"`n_power_iterations` must be .*got 0"):
        nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
