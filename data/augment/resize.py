"""Sizes: each axis of an image is a product with a matrix of weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import checks
from .batch import Batch
from .transform import Augmentation

__all__ = ["RandomResizedCrop", "Resize"]


class Resize(Augmentation):
    """Resize images, as torchvision's.

    Each axis is interpolated linearly, y = W x; with `antialias`, where it shrinks, by averages over what falls together.

    Parameters
    ----------
    size : int or (int, int)
        Height and width; one number is the shorter side's, the other keeps the proportions.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
        How values between pixels are found.
    antialias : bool, default True
        Whether images that shrink are smoothed, with "bilinear".

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> weft.data.augment.Resize(2)(np.array([[[[0, 0, 8, 8], [0, 0, 8, 8]]]], np.uint8)).shape
    (1, 1, 2, 4)
    """

    def __init__(self, size: int | tuple[int, int], interpolation: str = "bilinear", antialias: bool = True):
        height, width = checks.size("size", size)
        is_one = not isinstance(size, list | tuple) or len(size) == 1
        self.size = height if is_one else (height, width)
        self._bilinear = checks.is_bilinear(interpolation)
        self.interpolation, self.antialias = interpolation, bool(antialias)

    def _apply(self, batch: Batch) -> None:
        h, w = batch.size
        size = self.size
        if not isinstance(size, tuple):  # the longer side is cut off, not rounded, as torchvision's
            size = (size, int(size * w / h)) if h <= w else (int(size * h / w), size)
        start = np.zeros(1)
        _resample(batch, (start, start + h), (start, start + w), size, self._bilinear, self.antialias)


class RandomResizedCrop(Augmentation):
    """Cut a window of random area and proportions out of each image and resize it, as torchvision's.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the result.
    scale : (float, float), default (0.08, 1.0)
        The range of the window's area, as a share of the image's; at most 1.
    ratio : (float, float), default (3/4, 4/3)
        The range of its width over its height, drawn evenly in the logarithm.
    interpolation : {"bilinear", "nearest"}, default "bilinear"
        How values between pixels are found.
    antialias : bool, default True
        Whether windows that shrink are smoothed, with "bilinear".

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] Szegedy et al., "Going deeper with convolutions", CVPR (2015).

    Examples
    --------
    >>> crop = weft.data.augment.RandomResizedCrop(24, scale=(0.5, 1.0))
    >>> crop(np.zeros((8, 3, 32, 32), np.uint8)).shape
    (8, 3, 24, 24)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: str = "bilinear",
        antialias: bool = True,
    ):
        self.size = checks.size("size", size)
        self.scale, self.ratio = checks.interval("scale", scale, 0, 1), checks.interval("ratio", ratio, 1e-6)
        self._bilinear = checks.is_bilinear(interpolation)
        self.interpolation, self.antialias = interpolation, bool(antialias)

    def _apply(self, batch: Batch) -> None:
        rows, columns = windows(batch, self.scale, self.ratio)
        _resample(batch, rows, columns, self.size, self._bilinear, self.antialias)


def windows(
    batch: Batch, scale: tuple[float, float], ratio: tuple[float, float], tries: int = 10
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(first row, height) and (first column, width) of a random window in each image.

    The first of ten drawn that fits; else the greatest in the middle with proportions in the range.
    """
    (h, w), each = batch.size, np.arange(len(batch))
    area = h * w * batch.uniform(*scale, tries)
    aspect = np.exp(batch.uniform(*np.log(ratio), tries))
    width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (width > 0) & (width <= w) & (height > 0) & (height <= h)
    first, found = fits.argmax(1), fits.any(1)
    place_y, place_x = batch.uniform(), batch.uniform()
    width, height = width[each, first], height[each, first]
    bounded = min(max(w / h, ratio[0]), ratio[1])
    width = np.where(found, width, min(w, max(1, round(h * bounded))))
    height = np.where(found, height, min(h, max(1, round(w / bounded))))
    top = np.where(found, np.floor(place_y * (h - height + 1)), (h - height) // 2)
    left = np.where(found, np.floor(place_x * (w - width + 1)), (w - width) // 2)
    return (top, height), (left, width)


def _weights(out: int, length: int, start: np.ndarray, span: np.ndarray, antialias: bool) -> np.ndarray:
    """(N, out, length): triangles about where each pixel of the result comes from, within the window, of sum 1."""
    step = (span / out)[:, None, None]
    reach = np.maximum(step, 1.0) if antialias else np.ones_like(step)
    pixel = np.arange(length)
    centre = start[:, None, None] + step * (np.arange(out) + 0.5)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(pixel + 0.5 - centre) / reach)
    weights *= (pixel >= start[:, None, None]) & (pixel < (start + span)[:, None, None])
    return weights / weights.sum(-1, keepdims=True)


def _resample(
    batch: Batch,
    rows: tuple[np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int],
    bilinear: bool,
    antialias: bool,
) -> None:
    """Resize windows, one for all or one for each image."""
    (h, w), xp = batch.size, batch.xp
    nearest = [
        np.minimum(np.floor(start[:, None] + np.arange(out) * (span / out)[:, None]), (start + span)[:, None] - 1)
        for (start, span), out in ((rows, size[0]), (columns, size[1]))
    ]
    if bilinear:
        x = batch.numbers
        by_row, by_column = (
            batch.put(_weights(out, length, *window, antialias).astype(x.dtype)[:, None])
            for out, length, window in ((size[0], h, rows), (size[1], w, columns))
        )
        batch.inputs = xp.matmul(xp.matmul(by_row, x), xp.permute_dims(by_column, (0, 1, 3, 2)))
    else:
        batch.inputs = _picked(batch, batch.inputs, *nearest)
    if batch.masks is not None:
        batch.masks = _picked(batch, batch.masks, *nearest)
    if batch.boxes is not None:
        batch.boxes = _moved(batch, rows, columns, size)
    batch.size = size


def _picked(batch: Batch, x: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """The pixels in these rows and columns, (1 or N, out) each, of x (N, [C,] H, W)."""
    xp, shape = batch.xp, tuple(x.shape)
    h, w = shape[-2:]
    planes = int(np.prod(shape[1:-2]))
    within = rows[:, :, None] * w + columns[:, None, :]
    first = np.arange(shape[0] * planes).reshape(shape[0], planes, 1, 1) * (h * w)
    index = (first + within[:, None]).astype(np.int64)
    picked = xp.take(xp.reshape(x, (-1,)), batch.put(index.ravel()), axis=0)
    return xp.reshape(picked, (*shape[:-2], rows.shape[1], columns.shape[1]))


def _moved(batch: Batch, rows: Any, columns: Any, size: tuple[int, int]) -> Any:
    xp, boxes, (top, height), (left, width) = batch.xp, batch.boxes, rows, columns
    corner = np.stack([left, top] * 2, -1)[:, None]
    scale = np.stack([size[1] / width, size[0] / height] * 2, -1)[:, None]
    moved = (xp.astype(boxes, xp.float64) - batch.put(corner)) * batch.put(scale)
    most = batch.put(np.array([size[1], size[0]] * 2, np.float64))
    moved = xp.minimum(xp.maximum(moved, xp.zeros_like(moved)), most)
    return xp.astype(xp.round(moved) if boxes.dtype.kind in "iu" else moved, boxes.dtype)
