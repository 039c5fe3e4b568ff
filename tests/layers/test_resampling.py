"""Each layer is the function with its options; representation is PyTorch's."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

X = np.random.default_rng(0).standard_normal((1, 2, 3, 4))


@pytest.mark.parametrize(("layer", "options", "shown"), [
    (nn.Upsample(size=(5, 2)), {"size": (5, 2)}, "Upsample(size=(5, 2), mode='nearest')"),
    (
        nn.Upsample(None, (2, 1.5), "bicubic", True, True),
        {"scale_factor": (2, 1.5), "mode": "bicubic", "align_corners": True, "recompute_scale_factor": True},
        "Upsample(scale_factor=(2.0, 1.5), mode='bicubic')",
    ),
    (nn.UpsamplingNearest2d(scale_factor=2), {"scale_factor": 2}, "UpsamplingNearest2d(scale_factor=2.0, mode='nearest')"),
    (
        nn.UpsamplingBilinear2d(5), {"size": 5, "mode": "bilinear", "align_corners": True},
        "UpsamplingBilinear2d(size=5, mode='bilinear')",
    ),
])  # fmt: skip
def test_layers(layer, options, shown):
    np.testing.assert_array_equal(layer(weft.tensor(X)).numpy(), F.interpolate(weft.tensor(X), **options).numpy())
    assert repr(layer) == shown


def test_mode():
    with pytest.raises(ValueError, match=r"`mode` must be one of .*, got 'cubic'"):
        nn.Upsample(2, mode="cubic")
