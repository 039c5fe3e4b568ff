"""Modes and representation; numbers are tested with the functions."""

import pytest

import weft
from weft import layers as nn


@pytest.mark.parametrize("layer", [nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_modes(layer):
    x = weft.ones((5, 6, 2))
    dropout = layer(0.5)
    assert dropout(x).numpy().std() > 0
    assert dropout.eval()(x) is x
    assert repr(dropout) == f"{layer.__name__}(p=0.5, inplace=False)"
