"""Modes, options and representation; the distribution is tested with the function."""

import numpy as np
import pytest

import weft
from weft import layers as nn


def test_modes():
    layer, x = nn.RReLU(0.25, 0.75), weft.full(100, -1.0)
    assert len(set(layer(x).tolist())) > 90
    assert set(layer.eval()(x).tolist()) == {-0.5}


def test_options():
    assert repr(nn.RReLU(0.25, 0.5, inplace=True)) == "RReLU(lower=0.25, upper=0.5, inplace=True)"
    assert (nn.RReLU().lower, nn.RReLU().upper) == (1 / 8, 1 / 3)
    with pytest.raises(ValueError, match=r"`lower` must be at most `upper`, got 0.5 and 0.1"):
        nn.RReLU(0.5, 0.1)


def test_the_same_on_every_device(accelerator):
    found = []
    for device in ("cpu", accelerator):
        weft.manual_seed(0)
        found.append(nn.RReLU()(weft.full(50, -1.0, device=device)).cpu().numpy())
    np.testing.assert_array_equal(*found)
