"""Flips, rotations and affine maps: one matrix for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import affine, checks
from .batch import Batch
from .transform import Augmentation

__all__ = ["RandomAffine", "RandomHorizontalFlip", "RandomRotation", "RandomVerticalFlip"]


class RandomHorizontalFlip(Augmentation):
    """Mirror images left to right, each with probability p, as torchvision's.

    Parameters
    ----------
    p : float, default 0.5
        In [0, 1].

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> flip = weft.data.augment.RandomHorizontalFlip(p=1.0)
    >>> flip(np.array([[[[1, 2, 3]]]], np.uint8), boxes=np.array([[[0, 0, 1, 1]]]))
    (array([[[[3, 2, 1]]]], dtype=uint8), array([[[2, 0, 3, 1]]]))
    """

    _axis = 0

    def __init__(self, p: float = 0.5):
        self.p = checks.number("p", p, 0, 1)

    def _apply(self, batch: Batch) -> None:
        size = batch.size
        batch.move(affine.flips(self._axis, batch.chosen(self.p), size[1 - self._axis]), size)


class RandomVerticalFlip(RandomHorizontalFlip):
    """Turn images upside down, each with probability p, as torchvision's.

    Parameters
    ----------
    p : float, default 0.5
        In [0, 1].

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> weft.data.augment.RandomVerticalFlip(p=1.0)(np.array([[[[1], [2]]]], np.uint8)).ravel()
    array([2, 1], dtype=uint8)
    """

    _axis = 1


class RandomRotation(Augmentation):
    """Rotate images about their centres, each by an angle of its own, as torchvision's.

    Parameters
    ----------
    degrees : float or (float, float)
        The range of the angles; one number d means (−d, d). Positive ones turn counter-clockwise.
    interpolation : {"nearest", "bilinear"}, default "nearest"
        How values between pixels are found.
    center : (float, float), optional
        (x, y) in pixels, from the upper left corner. By default the middle.
    fill : float or sequence of float, default 0
        What comes from outside: a number, or one for each channel.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    There is no `expand`: the images of a batch are of one size.

    Examples
    --------
    >>> turn = weft.data.augment.RandomRotation((90, 90))
    >>> turn(np.array([[[[1, 2], [3, 4]]]], np.uint8))
    array([[[[2, 4],
             [1, 3]]]], dtype=uint8)
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        interpolation: str = "nearest",
        *,
        center: tuple[float, float] | None = None,
        fill: float | Sequence[float] = 0,
    ):
        self.degrees = checks.around("degrees", degrees, 0.0)
        self._bilinear = checks.is_bilinear(interpolation)
        self.interpolation, self.center, self.fill = interpolation, _center(center), checks.fill(fill)

    def _apply(self, batch: Batch) -> None:
        angle = -batch.uniform(*self.degrees)
        zero = np.zeros(len(batch))
        turned = affine.about(middle(batch, self.center), affine.rotation_shear_scale(angle, zero, zero, zero + 1))
        batch.move(turned, batch.size, self.fill, self._bilinear)


class RandomAffine(Augmentation):
    """Rotate, shift, zoom and shear images about their centres, each in its own way, as torchvision's.

    p = centre + translation + scale · rotation · shear_y · shear_x · (p₀ − centre). For zoom alone take
    `RandomAffine(0, scale=(0.8, 1.2))`, for shifts `RandomAffine(0, translate=(0.1, 0.1))`.

    Parameters
    ----------
    degrees : float or (float, float)
        The range of the angles, clockwise; one number d means (−d, d).
    translate : (float, float), optional
        Greatest shifts along x and y, as shares of width and height, in [0, 1]; shifts are whole pixels. By default none.
    scale : (float, float), optional
        The range of the zoom, above 0. By default 1.
    shear : float, or sequence of two or four float, optional
        Ranges of angles: along x from −d to d, or from the first number to the second, along y from the third to the
        fourth. By default 0.
    interpolation : {"nearest", "bilinear"}, default "nearest"
        How values between pixels are found.
    fill : float or sequence of float, default 0
        What comes from outside: a number, or one for each channel.
    center : (float, float), optional
        (x, y) in pixels, from the upper left corner. By default the middle.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> augment = weft.data.augment.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation="bilinear")
    >>> augment(np.zeros((8, 3, 32, 32), np.uint8)).shape
    (8, 3, 32, 32)
    """

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: str = "nearest",
        fill: float | Sequence[float] = 0,
        center: tuple[float, float] | None = None,
    ):
        self.degrees = checks.around("degrees", degrees, 0.0)
        if translate is not None and (not isinstance(translate, list | tuple) or len(translate) != 2):
            raise ValueError(f"`translate` must be shares (along x, along y) in [0, 1], got {translate!r}")
        self.translate = None if translate is None else tuple(checks.number("translate", t, 0, 1) for t in translate)
        self.scale = None if scale is None else checks.interval("scale", scale, 1e-6)
        self.shear = None if shear is None else _shears(shear)
        self._bilinear = checks.is_bilinear(interpolation)
        self.interpolation, self.fill, self.center = interpolation, checks.fill(fill), _center(center)

    def _apply(self, batch: Batch) -> None:
        (h, w), zero = batch.size, np.zeros(len(batch))
        angle = batch.uniform(*self.degrees)
        shift = None
        if self.translate is not None:
            most = np.array([self.translate[0] * w, self.translate[1] * h])
            shift = np.rint(batch.uniform(-most, most, 2))
        scale = zero + 1 if self.scale is None else batch.uniform(*self.scale)
        shear_x, shear_y = (zero, zero) if self.shear is None else (batch.uniform(*pair) for pair in self.shear)
        linear = affine.rotation_shear_scale(angle, shear_x, shear_y, scale)
        batch.move(affine.about(middle(batch, self.center), linear, shift), batch.size, self.fill, self._bilinear)


def middle(batch: Batch, center: tuple[float, float] | None = None) -> tuple[float, float]:
    """What images are turned about, (x, y) as `affine` counts them: from the middle of the first pixel."""
    h, w = batch.size
    return ((w - 1) / 2, (h - 1) / 2) if center is None else (center[0] - 0.5, center[1] - 0.5)


def _center(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"`center` must be (x, y) in pixels or None, got {value!r}")
    return checks.number("center", value[0]), checks.number("center", value[1])


def _shears(value: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    if not isinstance(value, list | tuple):
        return checks.around("shear", value, 0.0, -89, 89), (0.0, 0.0)
    if len(value) not in (2, 4):
        raise ValueError(f"`shear` must be one number, two or four, got {value!r}")
    along_x, along_y = value[:2], value[2:] or (0.0, 0.0)
    return checks.interval("shear", along_x, -89, 89), checks.interval("shear", along_y, -89, 89)
