"""Pooling as layers: that their arguments reach the function; the functions are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F

LINE, IMAGE, VOLUME = (
    weft.tensor(np.random.default_rng(0).standard_normal(s)) for s in [(2, 3, 9), (2, 3, 9, 8), (2, 3, 4, 5, 6)]
)


@pytest.mark.parametrize(("module", "x", "expected"), [
    (nn.MaxPool1d(3, 2, 1, 1, ceil_mode=True), LINE, F.max_pool1d(LINE, 3, 2, 1, 1, True)),
    (nn.MaxPool2d((2, 3), 2, (1, 0), 2, ceil_mode=True), IMAGE, F.max_pool2d(IMAGE, (2, 3), 2, (1, 0), 2, True)),
    (nn.AvgPool1d(3, 2, 1, True, False), LINE, F.avg_pool1d(LINE, 3, 2, 1, True, False)),
    (nn.AvgPool2d(3, 2, 1, True, False, 7), IMAGE, F.avg_pool2d(IMAGE, 3, 2, 1, True, False, 7)),
    (nn.MaxPool3d(2, (1, 2, 1), (1, 0, 1), 1, ceil_mode=True), VOLUME, F.max_pool3d(VOLUME, 2, (1, 2, 1), (1, 0, 1), 1, True)),
    (nn.AvgPool3d(2, 1, 1, True, False, 7), VOLUME, F.avg_pool3d(VOLUME, 2, 1, 1, True, False, 7)),
    (nn.AdaptiveAvgPool3d((None, 3, 1)), VOLUME, F.adaptive_avg_pool3d(VOLUME, (None, 3, 1))),
    (nn.LPPool1d(4, 2, 1, ceil_mode=True), LINE, F.lp_pool1d(LINE, 4, 2, 1, True)),
    (nn.LPPool2d(2, (2, 3)), IMAGE, F.lp_pool2d(IMAGE, 2, (2, 3))),
    (nn.LPPool3d(2, 2, 1), VOLUME, F.lp_pool3d(VOLUME, 2, 2, 1)),
    (nn.AdaptiveAvgPool1d(4), LINE, F.adaptive_avg_pool1d(LINE, 4)),
    (nn.AdaptiveAvgPool2d((None, 3)), IMAGE, F.adaptive_avg_pool2d(IMAGE, (None, 3))),
])  # fmt: skip
def test_arguments_reach_the_function(module, x, expected):
    np.testing.assert_array_equal(module(x).numpy(), expected.numpy())


def test_the_stride_is_the_kernels_size():
    for module, x in [
        (nn.MaxPool1d(2), LINE),
        (nn.AvgPool1d(2), LINE),
        (nn.MaxPool2d(2), IMAGE),
        (nn.AvgPool2d(2), IMAGE),
    ]:
        assert module(x).shape[2:] == (4, 4)[: x.ndim - 2]


def test_indices():
    y, at = nn.MaxPool2d(2, return_indices=True)(IMAGE)
    flat = IMAGE.numpy().reshape(2, 3, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, at.numpy().reshape(2, 3, -1), -1), y.numpy().reshape(2, 3, -1)
    )
    assert len(nn.MaxPool1d(2, return_indices=True)(LINE)) == 2


def test_repr():
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
    assert repr(nn.AvgPool2d(2, 1)) == "AvgPool2d(kernel_size=2, stride=1, padding=0)"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d(output_size=(1, None))"
