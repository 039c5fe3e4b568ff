"""PyTorch's numbers, options and errors; the modes against their definitions are rows of the primitive."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

# torch 2.13: F.interpolate(torch.tensor([[[[1.0, -2, 4, 0.5, 3]]]], dtype=torch.float64), **options)
X = [1.0, -2, 4, 0.5, 3]
PYTORCH = [
    ({"mode": "nearest", "size": (1, 7)}, [1, 1, -2, 4, 4, 0.5, 3]),
    ({"mode": "nearest-exact", "size": (1, 7)}, [1, -2, -2, 4, 0.5, 0.5, 3]),
    ({"mode": "area", "size": (1, 3)}, [-0.5, 0.833333333333, 1.75]),
    ({"mode": "bilinear", "size": (1, 7)}, [1, -0.714285714286, -0.285714285714, 4, 1.5, 1.571428571429, 3]),
    ({"mode": "bilinear", "size": (1, 7), "align_corners": True}, [1, -1, 0, 4, 1.666666666667, 1.333333333333, 3]),
    ({"mode": "bilinear", "scale_factor": (1, 1.5)}, [1, -0.5, -1, 3, 2.25, 0.916666666667, 2.583333333333]),
    (
        {"mode": "bilinear", "scale_factor": (1, 1.5), "recompute_scale_factor": True},
        [1, -0.714285714286, -0.285714285714, 4, 1.5, 1.571428571429, 3],
    ),
    (
        {"mode": "bicubic", "size": (1, 7)},
        [1.236151603499, -1.370262390671, -0.591836734694, 4, 1.412536443149, 1.18221574344, 3.196793002915],
    ),
    ({"mode": "bicubic", "size": (1, 3), "align_corners": True}, [1, 4, 3]),
    ({"mode": "bilinear", "size": (1, 2), "antialias": True}, [0.431818181818, 1.977272727273]),
    ({"mode": "bicubic", "size": (1, 3), "antialias": True}, [-0.323076923077, 1.806976744186, 2.038461538462]),
    ({"mode": "lanczos", "size": (1, 2), "antialias": True}, [0.390804426317, 2.148605371824]),
]


@pytest.mark.parametrize(("options", "expected"), PYTORCH)
def test_pytorch_s_numbers(options, expected):
    y = F.interpolate(weft.tensor([[[X]]], dtype=weft.float64), **options)
    np.testing.assert_allclose(y.numpy()[0, 0, 0], expected, atol=1e-11)


@pytest.mark.parametrize(("shape", "size", "scale", "expected"), [
    ((1, 2, 5), 7, None, (1, 2, 7)), ((1, 2, 5), None, 1.5, (1, 2, 7)), ((1, 2, 5, 4), (3, 8), None, (1, 2, 3, 8)),
    ((1, 2, 5, 4), None, (0.5, 2), (1, 2, 2, 8)), ((0, 2, 5, 4), [6, 7], None, (0, 2, 6, 7)),
    ((1, 1, 2, 3, 4), 2, None, (1, 1, 2, 2, 2)),
])  # fmt: skip
def test_sizes(shape, size, scale, expected):
    assert F.interpolate(weft.ones(shape), size, scale).shape == expected


def test_old_names():
    x = weft.asarray(np.arange(12.0).reshape(1, 1, 3, 4))
    for got, wanted in [
        (F.upsample(x, 5, mode="bilinear"), F.interpolate(x, 5, mode="bilinear")),
        (F.upsample_nearest(x, scale_factor=2), F.interpolate(x, scale_factor=2)),
        (F.upsample_bilinear(x, (5, 7)), F.interpolate(x, (5, 7), mode="bilinear", align_corners=True)),
    ]:
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())


@pytest.mark.parametrize(("options", "message"), [
    ({}, r"one of `size` and `scale_factor` must be given, got None and None"),
    ({"size": 3, "scale_factor": 2}, r"one of `size` and `scale_factor` must be given, got 3 and 2"),
    ({"size": (3, 3, 3)}, r"`size` must be an int or 2 ints, each at least 1, got \(3, 3, 3\)"),
    ({"size": 0}, r"`size` must be an int or 2 ints, each at least 1, got 0"),
    ({"scale_factor": (2.0,)}, r"`scale_factor` must be a number or 2 of them, got \(2.0,\)"),
    ({"scale_factor": -1}, r"`scale_factor` must be .*, got -1"),
    ({"scale_factor": 0.2}, r"all lengths must be at least 1, got \(4, 5\) → \(0, 1\); give a larger `size`"),
    ({"size": 3, "mode": "cubic"}, r"`mode` must be one of .*, got 'cubic'"),
    ({"size": 3, "mode": "linear"}, r"`input` must have 3 axes for mode='linear', got shape \(1, 2, 4, 5\)"),
    ({"size": 3, "align_corners": False}, r"`align_corners` goes with .*, got False with mode='nearest'"),
    ({"size": 3, "antialias": True}, r"`antialias` goes with 'bilinear', .*, got mode='nearest'"),
    ({"size": 3, "mode": "lanczos"}, r"mode='lanczos' needs `antialias`=True and no `align_corners`, got False and None"),
    ({"size": 3, "recompute_scale_factor": True}, r"`recompute_scale_factor` goes with `scale_factor`, got it with size=3"),
])  # fmt: skip
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        F.interpolate(weft.ones((1, 2, 4, 5)), **options)


def test_integers_are_not_averaged():
    with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
        F.interpolate(weft.tensor([[[1, 2]]]), 3, mode="linear")


@pytest.mark.parametrize(("mode", "filter"), [("bilinear", "BILINEAR"), ("bicubic", "BICUBIC"), ("lanczos", "LANCZOS")])
@pytest.mark.parametrize("size", [(5, 4), (17, 21), (9, 30)])
def test_pictures_of_bytes_are_those_of_pillow(mode, filter, size):
    image = pytest.importorskip("PIL.Image", reason="Pillow, which comes with matplotlib")
    x = np.random.default_rng(0).integers(0, 256, (9, 12), dtype=np.uint8)
    found = F.interpolate(weft.asarray(x)[None, None], size=size, mode=mode, antialias=True)
    assert found.dtype == weft.uint8
    expected = image.fromarray(x).resize(size[::-1], getattr(image.Resampling, filter))
    assert np.abs(found.numpy()[0, 0].astype(int) - np.asarray(expected, int)).max() <= 1


def test_pictures_of_bytes_are_rounded_after_rows_and_after_columns():
    x = np.random.default_rng(1).integers(0, 256, (2, 3, 6, 7), dtype=np.uint8)
    rows = F.interpolate(weft.asarray(x.astype(float)), size=(6, 11), mode="bicubic").numpy()
    rows = np.floor(np.clip(rows, 0, 255) + 0.5)
    both = np.floor(np.clip(F.interpolate(weft.asarray(rows), size=(9, 11), mode="bicubic").numpy(), 0, 255) + 0.5)
    found = F.interpolate(weft.asarray(x), size=(9, 11), mode="bicubic").numpy()
    assert np.abs(found.astype(int) - both).max() <= 1  # float32 at a half
    assert (found == both).mean() > 0.99
