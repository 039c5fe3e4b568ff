"""Representation and options; numbers are tested with the functions."""

import pytest

from weft import layers as nn


@pytest.mark.parametrize(("layer", "name"), [
    (nn.PixelShuffle, "upscale_factor"), (nn.PixelUnshuffle, "downscale_factor"), (nn.ChannelShuffle, "groups"),
])  # fmt: skip
def test_options(layer, name):
    assert repr(layer(3)) == f"{layer.__name__}({name}=3)"
    with pytest.raises(ValueError, match=rf"`{name}` must be .*, got 0"):
        layer(0)
