"""What is added to pixels, and what is cut out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.device import dtypes
from . import checks
from .batch import Batch
from .resize import windows
from .transform import Augmentation

__all__ = ["GaussianNoise", "RandomErasing"]


class GaussianNoise(Augmentation):
    """Add normal noise to every pixel: y = x + mean + sigma · n, as torchvision's.

    Parameters
    ----------
    mean, sigma : float, default 0.0 and 0.1
        As shares of white: 1 for floating-point images, 255 for uint8.
    clip : bool, default True
        Whether the result is cut to the range of the images.

    Raises
    ------
    ValueError
        If `sigma` is negative.

    Examples
    --------
    >>> weft.data.augment.GaussianNoise(mean=0.2, sigma=0.0)(np.array([[[[0, 100]]]], np.uint8))
    array([[[[ 51, 151]]]], dtype=uint8)
    """

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True):
        self.mean, self.sigma, self.clip = checks.number("mean", mean), checks.number("sigma", sigma, 0), bool(clip)

    def _apply(self, batch: Batch) -> None:
        x = batch.images
        noise = batch.generator.normal(tuple(x.shape), dtypes.float32, batch.device)
        y = x + batch.xp.astype(noise * (self.sigma * batch.white) + self.mean * batch.white, x.dtype)
        batch.inputs = batch.xp.clip(y, 0.0, batch.white) if self.clip else y


class RandomErasing(Augmentation):
    """Erase a rectangle of random area and proportions, in each image with probability p: cutout, as torchvision's.

    Parameters
    ----------
    p : float, default 0.5
        In [0, 1].
    scale : (float, float), default (0.02, 0.33)
        The range of the rectangle's area, as a share of the image's.
    ratio : (float, float), default (0.3, 3.3)
        The range of its width over its height.
    value : float, sequence of float or "random", default 0
        What is put there: a number, one for each channel, or uniform noise for each pixel.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    "random" is uniform noise from black to white, where torchvision has standard normal numbers, which fit normalised images.
    Masks and boxes stay as they are.

    References
    ----------
    .. [1] Zhong et al., "Random erasing data augmentation", AAAI (2020).
    .. [2] DeVries, Taylor, "Improved regularization of convolutional neural networks with cutout" (2017).

    Examples
    --------
    >>> x = weft.data.augment.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))(np.ones((1, 1, 8, 8), np.uint8))
    >>> int(x.sum())
    48
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
    ):
        self.p = checks.number("p", p, 0, 1)
        self.scale, self.ratio = checks.interval("scale", scale, 0, 1), checks.interval("ratio", ratio, 1e-6)
        if isinstance(value, str) and value != "random":
            raise ValueError(f"`value` must be a number, one for each channel, or 'random', got {value!r}")
        self.value = value if isinstance(value, str) else checks.fill(value)

    def _apply(self, batch: Batch) -> None:
        rows, columns = windows(batch, self.scale, self.ratio)
        chosen = batch.chosen(self.p)
        if self.scale[1] == 0:
            return
        x, xp = batch.inputs, batch.xp
        value: Any = self.value
        if isinstance(value, str):
            x = batch.numbers
            value = batch.generator.uniform(tuple(x.shape), dtypes.float32, batch.device) * batch.white
        else:
            batch.require_value("value", value)
            value = batch.put(np.broadcast_to(np.reshape(value, (-1, 1, 1)), (x.shape[1], 1, 1)).copy())
        batch.inputs = xp.where(
            batch.put(rectangles(batch, rows, columns) & chosen[:, None, None, None]), xp.astype(value, x.dtype), x
        )


def rectangles(batch: Batch, rows: Any, columns: Any) -> np.ndarray:
    """Booleans (N, 1, H, W), on the host: whether a pixel is in the window of its image."""
    inside = [
        (np.arange(length) >= start[:, None]) & (np.arange(length) < (start + span)[:, None])
        for length, (start, span) in zip(batch.size, (rows, columns))
    ]
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
