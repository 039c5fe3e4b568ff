"""Adaptive and fractional maxima and unpooling as layers: that their arguments reach the function."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

LINE, IMAGE, VOLUME = (
    weft.tensor(np.random.default_rng(0).standard_normal(s)) for s in [(2, 3, 8), (2, 3, 8, 6), (2, 3, 4, 6, 8)]
)
UV, UVW = (weft.tensor(np.random.default_rng(1).random((2, 3, n))) for n in (2, 3))
CALLS = [
    (nn.AdaptiveMaxPool1d(3, True), LINE, F.adaptive_max_pool1d_with_indices(LINE, 3)),
    (nn.AdaptiveMaxPool2d((None, 3), True), IMAGE, F.adaptive_max_pool2d_with_indices(IMAGE, (None, 3))),
    (nn.AdaptiveMaxPool3d(2, True), VOLUME, F.adaptive_max_pool3d_with_indices(VOLUME, 2)),
    (nn.FractionalMaxPool2d(2, (3, 2), None, True, UV), IMAGE,
     F.fractional_max_pool2d_with_indices(IMAGE, 2, (3, 2), _random_samples=UV)),
    (nn.FractionalMaxPool3d(2, None, 0.5, True, UVW), VOLUME,
     F.fractional_max_pool3d_with_indices(VOLUME, 2, output_ratio=0.5, _random_samples=UVW)),
]  # fmt: skip


@pytest.mark.parametrize(("module", "x", "expected"), CALLS)
def test_arguments_reach_the_function(module, x, expected):
    for got, wanted in zip(module(x), expected, strict=True):
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


@pytest.mark.parametrize(("pool", "unpool", "x"), [
    (nn.MaxPool1d, nn.MaxUnpool1d, LINE), (nn.MaxPool2d, nn.MaxUnpool2d, IMAGE), (nn.MaxPool3d, nn.MaxUnpool3d, VOLUME),
])  # fmt: skip
def test_the_way_back(pool, unpool, x):
    y, indices = pool(2, return_indices=True)(x)
    back = unpool(2)(y, indices)
    np.testing.assert_array_equal(back.numpy(), unpool(2, 2, 0)(y, indices, x.shape).numpy())
    np.testing.assert_array_equal(pool(2)(weft.abs(back)).numpy(), np.abs(y.numpy()))


def test_state():
    """Samples that are given are part of it, as in PyTorch."""
    assert list(nn.FractionalMaxPool2d(2, 2).state_dict()) == []
    assert list(nn.FractionalMaxPool2d(2, 2, _random_samples=UV).state_dict()) == ["_random_samples"]


def test_repr():
    assert repr(nn.AdaptiveMaxPool2d((1, None))) == "AdaptiveMaxPool2d(output_size=(1, None))"
    assert repr(nn.MaxUnpool2d(2)) == "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"
    expected = "FractionalMaxPool2d(kernel_size=(2, 2), output_size=(3, 3), output_ratio=None)"
    assert repr(nn.FractionalMaxPool2d(2, 3)) == expected


def test_errors():
    with pytest.raises(ValueError, match=r"`output_size` and `output_ratio` must not both be given, got 2 and 0\.5"):
        nn.FractionalMaxPool2d(2, 2, 0.5)
    with pytest.raises(ValueError, match="`output_size` or `output_ratio` must be given, got None for both"):
        nn.FractionalMaxPool3d(2)
    with pytest.raises(ValueError, match="`output_size` must be an int or None, or 2 of them, got"):
        nn.AdaptiveMaxPool2d((1, 2, 3))
