"""Colours: brightness, contrast, saturation and hue are one affine map of (r, g, b) for each image."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import checks
from .batch import Batch
from .transform import Augmentation

__all__ = ["ColorJitter", "RandomGrayscale"]

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as torchvision's and Pillow's grey


class ColorJitter(Augmentation):
    r"""Change brightness, contrast, saturation and hue of images, each by factors of its own, as torchvision's.

    In this order, with ℓ the luma 0.299 r + 0.587 g + 0.114 b:

    1. brightness: c ← b c;
    2. contrast: c ← k c + (1 − k) · mean of ℓ over the image;
    3. saturation: c ← s c + (1 − s) ℓ;
    4. hue: c turned by 2π h about the grey axis (1, 1, 1).

    Parameters
    ----------
    brightness, contrast, saturation : float or (float, float), default 0
        The range of the factor; one number d means (max(0, 1 − d), 1 + d).
    hue : float or (float, float), default 0
        The range of h, in turns, in [−0.5, 0.5]; one number d means (−d, d).

    Raises
    ------
    ValueError
        If a parameter is out of range; when called, if the images have neither 1 nor 3 channels, or are floating-point
        numbers outside of [0, 1] (on a GPU, where to look would be to wait, such pixels become NaN).

    Notes
    -----
    Where it departs from torchvision: the order is always the same; values are cut to their range once, at the end, so that
    all is one product with a 3 × 3 matrix; the hue turns in space, not in the hexagon of HSV, which agrees with that at
    thirds of a turn. Grey images have no saturation and hue.

    Examples
    --------
    >>> jitter = weft.data.augment.ColorJitter(brightness=(2.0, 2.0))
    >>> jitter(np.array([[[[10, 200]]]], np.uint8))
    array([[[[ 20, 255]]]], dtype=uint8)
    """

    def __init__(
        self,
        brightness: float | tuple[float, float] = 0,
        contrast: float | tuple[float, float] = 0,
        saturation: float | tuple[float, float] = 0,
        hue: float | tuple[float, float] = 0,
    ):
        self.brightness = checks.around("brightness", brightness, 1.0, 0.0)
        self.contrast = checks.around("contrast", contrast, 1.0, 0.0)
        self.saturation = checks.around("saturation", saturation, 1.0, 0.0)
        self.hue = checks.around("hue", hue, 0.0)
        checks.interval("hue", self.hue, -0.5, 0.5)

    def _apply(self, batch: Batch) -> None:
        factors = [batch.uniform(*span) for span in (self.brightness, self.contrast, self.saturation, self.hue)]
        batch.inputs = coloured(batch, require_colours(batch), *factors)


class RandomGrayscale(Augmentation):
    """Replace colours by their luma, in each image with probability p, as torchvision's.

    Parameters
    ----------
    p : float, default 0.1
        In [0, 1].

    Raises
    ------
    ValueError
        If `p` is not in [0, 1].

    Examples
    --------
    >>> grey = weft.data.augment.RandomGrayscale(p=1.0)
    >>> grey(np.array([[[[100]], [[0]], [[0]]]], np.uint8)).ravel()
    array([30, 30, 30], dtype=uint8)
    """

    def __init__(self, p: float = 0.1):
        self.p = checks.number("p", p, 0, 1)

    def _apply(self, batch: Batch) -> None:
        one = np.ones(len(batch))
        saturation = 1.0 - batch.chosen(self.p)
        batch.inputs = coloured(batch, require_colours(batch), one, one, saturation, 0 * one)


def require_colours(batch: Batch) -> Any:
    """The images as floating-point numbers, if they are grey or coloured, and in their range."""
    x = batch.images
    if x.shape[1] not in (1, 3):
        raise ValueError(f"`inputs` must have 1 or 3 channels to change colours, got shape {tuple(x.shape)}")
    white = batch.white
    low, high = -1e-3 * white, 1.001 * white
    if batch.is_floating and batch.device != "cpu":  # to look would be to wait: NaN tells
        x = batch.xp.where((x >= low) & (x <= high), x, batch.xp.full_like(x, np.nan))
    elif batch.is_floating and x.size and not (low <= x.min() and x.max() <= high):
        raise ValueError(
            f"`inputs` must be in [0, {white:g}] to change colours, got [{x.min():g}, {x.max():g}]; augment before "
            "normalising, or give Compose(…, white=…)"
        )
    return x


def coloured(batch: Batch, x: Any, brightness: Any, contrast: Any, saturation: Any, hue: Any) -> Any:
    """`ColorJitter`'s map of x (N, 1 or 3, H, W) by factors (N,)."""
    xp, (n, channels) = batch.xp, x.shape[:2]
    if channels == 1:
        matrix, luma = contrast * brightness, np.ones(1)
        matrix = matrix[:, None, None]
    else:
        k, s = (factor[:, None, None] for factor in (contrast * brightness, saturation))
        matrix, luma = _turned(hue) @ (k * (s * np.eye(3) + (1 - s) * LUMA)), LUMA
    matrix = batch.put(matrix.astype(x.dtype))
    y = xp.reshape(xp.matmul(matrix, xp.reshape(x, (n, channels, x.shape[2] * x.shape[3]))), x.shape)
    if (contrast != 1).any():
        grey = xp.sum(xp.mean(x, axis=(2, 3)) * batch.put(luma.astype(x.dtype)), axis=1)
        y += xp.reshape(batch.put(((1 - contrast) * brightness).astype(x.dtype)) * grey, (n, 1, 1, 1))
    return np.clip(y, 0.0, batch.white, out=y) if xp is np else xp.clip(y, 0.0, batch.white)


def _turned(turns: np.ndarray) -> np.ndarray:
    """Rotations about (1, 1, 1) (Rodrigues' formula): a third of a turn takes red to green."""
    angle = 2 * np.pi * turns[:, None, None]
    cross = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / np.sqrt(3)
    return np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) / 3 + np.sin(angle) * cross
