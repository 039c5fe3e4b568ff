"""The changes that policies choose from: each image has one of its own, at a strength of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import affine
from .batch import Batch
from .colour import coloured
from .geometry import middle

__all__: list[str] = []

# Each takes (batch, images, strength): floating-point images (n, C, H, W), and how strong, n numbers.
Change = Callable[[Batch, Any, np.ndarray], Any]

GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


def apply(batch: Batch, names: np.ndarray, strength: np.ndarray, fill: Any, bilinear: bool) -> None:
    """Change each image by what is named for it ("Identity", one of GEOMETRY or of PIXELS)."""
    is_moved = np.isin(names, GEOMETRY)
    if is_moved.any():
        batch.move(_moved(batch, names, np.where(is_moved, strength, 0.0)), batch.size, fill, bilinear)
    used = [name for name in PIXELS if (names == name).any()]
    if not used:
        return

    def change(name: str) -> Callable[[Any, np.ndarray], Any]:
        return lambda part, index: PIXELS[name](batch, part, strength[index])

    batch.inputs = affine.in_parts(batch.xp, batch.images, [(names == name, change(name)) for name in used])


def _moved(batch: Batch, names: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Strength is a slope for shears, whole pixels for translations, degrees for rotations."""
    s = {name: np.where(names == name, strength, 0.0) for name in GEOMETRY}
    shear_x, shear_y = (np.rad2deg(np.arctan(s[name])) for name in ("ShearX", "ShearY"))
    linear = affine.rotation_shear_scale(-s["Rotate"], shear_x, shear_y, np.ones(len(batch)))
    shift = np.trunc(np.stack([s["TranslateX"], s["TranslateY"]], -1))
    # Shears keep the first row or column, as torchvision's policies and Pillow have it.
    corner = affine.about((-0.5, -0.5), linear, shift)
    return np.where((s["Rotate"] != 0)[:, None, None], affine.about(middle(batch), linear), corner)


def _brightness(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    one = np.ones(len(strength))
    return coloured(batch, x, 1 + strength, one, one, 0 * one)


def _contrast(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    one = np.ones(len(strength))
    return coloured(batch, x, one, 1 + strength, one, 0 * one)


def _colour(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    one = np.ones(len(strength))
    return coloured(batch, x, one, one, 1 + strength, 0 * one)


def _sharpness(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    """f x + (1 − f) blurred, f = 1 + strength; the blur is 3 × 3, (5 · middle + 8 around) / 13, and spares the edges."""
    xp, (h, w) = batch.xp, x.shape[2:]
    if h < 3 or w < 3:
        return x
    rows = x[:, :, :-2] + x[:, :, 1:-1] + x[:, :, 2:]
    blurred = (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * x[:, :, 1:-1, 1:-1]) / 13
    middle = x[:, :, 1:-1, 1:-1] + each(batch, -strength, x) * (blurred - x[:, :, 1:-1, 1:-1])
    middle = xp.concat([x[:, :, 1:-1, :1], middle, x[:, :, 1:-1, -1:]], axis=3)
    return xp.clip(xp.concat([x[:, :, :1], middle, x[:, :, -1:]], axis=2), 0.0, batch.white)


def _posterize(batch: Batch, x: Any, bits: np.ndarray) -> Any:
    """The highest bits alone; of floating-point images as if 1 were the next power of two."""
    full = batch.white + 1 if batch.white > 1 else 1.0
    step = each(batch, full / 2.0**bits, x)
    top = each(batch, full - full / 2.0**bits, x)
    return batch.xp.minimum(batch.xp.floor(x / step) * step, top)


def _solarize(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    """What is brighter than 1 − strength is inverted; nothing at strength 0."""
    return batch.xp.where(x > each(batch, (1 - strength) * batch.white, x), batch.white - x, x)


def _auto_contrast(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    """Each channel from its least and greatest value to black and white."""
    xp = batch.xp
    low, high = xp.min(x, axis=(2, 3), keepdims=True), xp.max(x, axis=(2, 3), keepdims=True)
    span = high - low
    is_flat = span == 0
    return xp.where(is_flat, x, (x - low) * (batch.white / xp.where(is_flat, xp.ones_like(span), span)))


def _equalize(batch: Batch, x: Any, strength: np.ndarray) -> Any:
    """Each channel through its own cumulative histogram of 256 values, as Pillow does it."""
    xp, shape = batch.xp, x.shape
    planes, pixels = shape[0] * shape[1], shape[2] * shape[3]
    value = xp.astype(xp.round(xp.clip(x * (255 / batch.white), 0.0, 255.0)), xp.int64)
    value = xp.reshape(value, (planes, pixels)) + batch.put(256 * np.arange(planes)[:, None])
    # How many pixels are below each of the values, in one sorted row of all planes.
    edges = batch.put(np.arange(256 * planes + 1))
    below = xp.searchsorted(xp.sort(xp.reshape(value, (-1,))), edges)
    counts = xp.reshape(below[1:] - below[:-1], (planes, 256))
    before = xp.reshape(below[:-1], (planes, 256)) - batch.put(pixels * np.arange(planes)[:, None])
    last = xp.max(xp.where(counts > 0, batch.put(np.arange(256)), xp.zeros_like(counts)), axis=1, keepdims=True)
    of_last = xp.sum(xp.where(batch.put(np.arange(256)) == last, counts, xp.zeros_like(counts)), axis=1, keepdims=True)
    step = (pixels - of_last) // 255
    table = xp.clip((before + step // 2) // xp.where(step == 0, xp.ones_like(step), step), 0, 255)
    new = xp.reshape(xp.take(xp.reshape(table, (-1,)), xp.reshape(value, (-1,)), axis=0), shape)
    is_kept = xp.reshape(step == 0, (*shape[:2], 1, 1))
    return xp.where(is_kept, x, xp.astype(new, x.dtype) * (batch.white / 255))


def each(batch: Batch, numbers: np.ndarray, x: Any) -> Any:
    """One number for each image, to be multiplied with x."""
    return batch.put(numbers.reshape(-1, 1, 1, 1).astype(x.dtype))


PIXELS: dict[str, Change] = {
    "Brightness": _brightness,
    "Color": _colour,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
}
