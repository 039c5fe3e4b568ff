"""Where channels are: told by their number, or asked for."""

import re

import numpy as np
import pytest

from weft.data import DataError
from weft.data.image_layout import channels_first


@pytest.mark.parametrize(
    ("shape", "layout", "found"),
    [
        ((5, 3, 8, 9), None, (5, 3, 8, 9)),
        ((5, 8, 9, 3), None, (5, 3, 8, 9)),
        ((5, 8, 9, 1), None, (5, 1, 8, 9)),
        ((5, 8, 9, 4), None, (5, 4, 8, 9)),
        ((5, 8, 9), None, (5, 1, 8, 9)),
        ((5, 3, 8, 3), "NCHW", (5, 3, 8, 3)),
        ((5, 3, 8, 3), "NHWC", (5, 3, 3, 8)),
        ((5, 8, 9, 13), "NHWC", (5, 13, 8, 9)),
        ((5, 8), None, (5, 8)),
    ],
)
def test_shapes(rng, shape, layout, found):
    x = rng.integers(0, 256, shape, np.uint8)
    turned = channels_first(x, layout, "a.npz")
    assert turned.shape == found
    assert turned.flags.c_contiguous
    if shape[1:] != found[1:] and len(shape) == 4:
        np.testing.assert_array_equal(turned[2, 0], x[2, :, :, 0])


def test_numbers_that_are_no_bytes_may_be_anything(rng):
    x = rng.random((5, 8, 9))
    assert channels_first(x, None, "a.npz") is x
    assert channels_first(x, "NHW", "a.npz").shape == (5, 1, 8, 9)


@pytest.mark.parametrize("shape", [(5, 3, 8, 3), (5, 3, 8, 1), (5, 13, 8, 8), (5, 4, 4, 4)])
def test_asked_for(shape):
    message = f"`a.npz`: expected images with 1, 3 or 4 channels either in the second or in the last axis, found shape {shape}; say"
    with pytest.raises(DataError, match=re.escape(message)):
        channels_first(np.zeros(shape), None, "a.npz")


def test_another_layout():
    with pytest.raises(DataError, match=re.escape("expected images (N, H, W, C), found shape (5, 8, 9); name another")):
        channels_first(np.zeros((5, 8, 9)), "NHWC", "a.npz")
    with pytest.raises(ValueError, match="`layout` must be one of NCHW, NHWC, NHW, got 'HWC'"):
        channels_first(np.zeros((5, 8, 9)), "HWC", "a.npz")
