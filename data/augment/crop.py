"""Crops: windows of images, and of what surrounds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import affine, checks
from .batch import Batch
from .transform import Augmentation

__all__ = ["CenterCrop", "RandomCrop"]

_PADDINGS = ("constant", "edge", "reflect", "symmetric")


class RandomCrop(Augmentation):
    """Cut a window out of each image, at a place of its own, as torchvision's.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    padding : int or sequence of two or four int, optional
        How many pixels are added before that: everywhere; left and right, top and bottom; left, top, right, bottom. By
        default none.
    pad_if_needed : bool, default False
        Whether images that are smaller than the window are padded, on both sides, until they are not.
    fill : float or sequence of float, default 0
        What is added, with "constant": a number, or one for each channel.
    padding_mode : {"constant", "edge", "reflect", "symmetric"}, default "constant"
        What is added, as `numpy.pad` has it. Boxes are not mirrored.

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, if the window does not fit.

    Examples
    --------
    >>> crop = weft.data.augment.RandomCrop(32, padding=4)
    >>> crop(np.zeros((8, 3, 32, 32), np.uint8)).shape
    (8, 3, 32, 32)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
    ):
        if padding_mode not in _PADDINGS:
            raise ValueError(f"`padding_mode` must be one of {_PADDINGS}, got {padding_mode!r}")
        self.size, self.padding, self.pad_if_needed = checks.size("size", size), _padding(padding), bool(pad_if_needed)
        self.fill, self.padding_mode = checks.fill(fill), padding_mode

    def _apply(self, batch: Batch) -> None:
        left, top, right, bottom = self.padding
        (h, w), (height, width) = batch.size, self.size
        if self.pad_if_needed:
            more_x, more_y = max(0, width - (w + left + right)), max(0, height - (h + top + bottom))
            left, top, right, bottom = left + more_x, top + more_y, right + more_x, bottom + more_y
        room_x, room_y = w + left + right - width, h + top + bottom - height
        if room_x < 0 or room_y < 0:
            raise ValueError(
                f"`size` must fit into the padded images, {h + top + bottom} × {w + left + right}, got {height} × {width}; "
                "give `padding`, or pad_if_needed=True"
            )
        x, y = (np.floor(batch.uniform(0, room + 1)) for room in (room_x, room_y))
        if self.padding_mode == "constant":
            fill = self.fill if left or top or right or bottom else None
            batch.move(affine.shift(x - left, y - top), self.size, fill)
            return
        _pad(batch, self.padding_mode, (top, bottom), (left, right))
        batch.move(affine.shift(x, y), self.size)


class CenterCrop(Augmentation):
    """Cut the window in the middle out of each image; smaller images are padded with 0, as by torchvision's.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.

    Raises
    ------
    ValueError
        If `size` is not positive.

    Examples
    --------
    >>> weft.data.augment.CenterCrop(1)(np.arange(9, dtype=np.uint8).reshape(1, 1, 3, 3))
    array([[[[4]]]], dtype=uint8)
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = checks.size("size", size)

    def _apply(self, batch: Batch) -> None:
        (h, w), (height, width) = batch.size, self.size
        # Where an odd number of pixels is added, one more is at the right and at the bottom; where it is cut, rounded.
        x, y = (round(d / 2) if d >= 0 else -(-d // 2) for d in (w - width, h - height))
        fill = 0 if width > w or height > h else None
        batch.move(np.repeat(affine.shift(x, y), len(batch), 0), self.size, fill)


def _padding(value: Any) -> tuple[int, int, int, int]:
    """(left, top, right, bottom)."""
    numbers = [0] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    if len(numbers) not in (1, 2, 4) or not all(isinstance(n, int | np.integer) and n >= 0 for n in numbers):
        raise ValueError(f"`padding` must be one, two or four integers of at least 0, got {value!r}")
    left, top, right, bottom = (numbers * 4)[:4]
    return left, top, right, bottom


def _pad(batch: Batch, mode: str, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    """Pad by copies of pixels."""
    (h, w), xp = batch.size, batch.xp
    if mode == "reflect" and (max(rows) >= h or max(columns) >= w):
        raise ValueError(f"`padding` must be below the images' size {h} × {w} to reflect, got {rows} and {columns}")
    index = [
        batch.put(np.pad(np.arange(length), widths, mode=mode))  # type: ignore[call-overload]
        for length, widths in ((h, rows), (w, columns))
    ]

    def padded(x: Any) -> Any:
        return xp.take(xp.take(x, index[0], axis=x.ndim - 2), index[1], axis=x.ndim - 1)

    batch.inputs = padded(batch.inputs)
    if batch.masks is not None:
        batch.masks = padded(batch.masks)
    if batch.boxes is not None:
        corner = batch.put(np.array([columns[0], rows[0]] * 2))
        batch.boxes = xp.astype(batch.boxes + corner, batch.boxes.dtype)
    batch.size = (h + sum(rows), w + sum(columns))
