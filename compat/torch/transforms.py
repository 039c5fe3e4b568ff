"""`torchvision.transforms`: what is done to an image, PIL's or a Tensor (C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.creation import asarray
from ...backend.array.random import default_generator
from ...backend.tape.tensor import Tensor, wrap
from ...layers.functional import interpolate, pad
from . import augmenting
from .augmenting import *  # noqa: F403

__all__ = [
    *augmenting.__all__,
    "CenterCrop", "Compose", "Grayscale", "Lambda", "Normalize", "Pad", "RandomCrop", "RandomHorizontalFlip", "Resize",
    "Scale", "ToTensor",
]  # fmt: skip


class Compose:
    """One transform after the other.

    Parameters
    ----------
    transforms : list of callable
        Which.
    """

    def __init__(self, transforms: list):
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


def to_tensor(image: Any) -> Tensor:
    """(C, H, W) float32 in [0, 1] of an 8-bit image (H, W, C)."""
    raw = np.asarray(image)
    raw = raw[:, :, None] if raw.ndim == 2 else raw
    raw = np.ascontiguousarray(raw.transpose(2, 0, 1))
    return wrap(raw.astype(np.float32) / 255 if raw.dtype == np.uint8 else raw, "cpu")


class ToTensor:
    """(C, H, W) float32 in [0, 1] of an 8-bit image (H, W, C)."""

    __call__ = staticmethod(to_tensor)


class Normalize:
    """(x − mean) / std, by channel.

    Parameters
    ----------
    mean, std : sequence of float
        One for each channel.
    inplace : bool, default False
        PyTorch's; it changes nothing.
    """

    def __init__(self, mean: Any, std: Any, inplace: bool = False):
        self.mean, self.std = (np.asarray(x, np.float32).reshape(-1, 1, 1) for x in (mean, std))

    def __call__(self, x: Tensor) -> Tensor:
        return (x - asarray(self.mean, device=x.device)) / asarray(self.std, device=x.device)


class Resize:
    """The shorter side to `size`, or both to (height, width).

    Parameters
    ----------
    size : int or sequence of int
        In pixels.
    interpolation : int, optional
        PIL's filter; bilinear if None.
    max_size, antialias : object
        torchvision's; only their defaults are known.
    """

    def __init__(self, size: Any, interpolation: Any = None, max_size: Any = None, antialias: Any = True):
        if max_size is not None:
            raise NotImplementedError(f"`max_size` must be None, got {max_size}; give both sides")
        self.size, self.interpolation = size, 2 if interpolation is None else interpolation

    def __call__(self, image: Any) -> Any:
        w, h = image.shape[:-3:-1] if isinstance(image, Tensor) else image.size
        if isinstance(self.size, int):
            short = self.size
            size = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
        else:
            size = (self.size[1], self.size[0])
        if isinstance(image, Tensor):
            batch = image if image.ndim == 4 else image[None]
            found = interpolate(batch.float(), size[::-1], mode="bilinear", antialias=True).to(image.dtype)
            return found if image.ndim == 4 else found[0]
        return image.resize(size, self.interpolation)


class CenterCrop:
    """The middle of an image.

    Parameters
    ----------
    size : int or sequence of int
        Its height and width.
    """

    def __init__(self, size: Any):
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def __call__(self, image: Any) -> Any:
        (w, h), (height, width) = image.shape[:-3:-1] if isinstance(image, Tensor) else image.size, self.size
        top, left = round((h - height) / 2), round((w - width) / 2)
        if isinstance(image, Tensor):
            return image[..., top : top + height, left : left + width]
        return image.crop((left, top, left + width, top + height))


class RandomHorizontalFlip:
    """Mirrored with probability p.

    Parameters
    ----------
    p : float, default 0.5
        How probable that is.
    """

    def __init__(self, p: float = 0.5):
        self.p = p

    def __call__(self, image: Any) -> Any:
        if float(default_generator.uniform((1,))[0]) >= self.p:
            return image
        return augmenting._mirrored(image, -1)


class Lambda:
    """A function of one's own.

    Parameters
    ----------
    lambd : callable
        Which.
    """

    def __init__(self, lambd: Any):
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)


class Pad:
    """A border of one value around an image.

    Parameters
    ----------
    padding : int or sequence of int
        On all sides, or (left, top, right, bottom), or (left and right, top and bottom).
    fill : int, default 0
        The value.
    """

    def __init__(self, padding: Any, fill: int = 0):
        sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        self.padding, self.fill = sides * 2 if len(sides) == 2 else sides, fill

    def __call__(self, image: Any) -> Any:
        if isinstance(image, Tensor):
            left, top, right, bottom = self.padding
            return pad(image, (left, right, top, bottom), value=self.fill)
        from PIL import ImageOps

        return ImageOps.expand(
            image, self.padding, self.fill if image.mode == "L" else (self.fill,) * len(image.getbands())
        )


class RandomCrop:
    """A part of an image, anywhere.

    Parameters
    ----------
    size : int or sequence of int
        Its height and width.
    padding : int or sequence of int, optional
        What is put around the image before.
    pad_if_needed, fill, padding_mode : object
        torchvision's; only their defaults are known.
    """

    def __init__(
        self, size: Any, padding: Any = None, pad_if_needed: bool = False, fill: int = 0, padding_mode: str = "constant"
    ):
        if pad_if_needed or fill or padding_mode != "constant":
            raise NotImplementedError(
                "`RandomCrop` pads with zeros alone, and by `padding` alone, here; use Pad before it"
            )
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.padding = padding

    def __call__(self, image: Any) -> Any:
        image = image if self.padding is None else Pad(self.padding)(image)
        (w, h), (height, width) = image.shape[:-3:-1] if isinstance(image, Tensor) else image.size, self.size
        if w < width or h < height:
            raise ValueError(
                f"`size` must be at most the image's, {(h, w)} after padding, got {self.size}; use padding="
            )
        top, left = (int(default_generator.integers(0, n + 1, (1,))[0]) for n in (h - height, w - width))
        if isinstance(image, Tensor):
            return image[..., top : top + height, left : left + width]
        return image.crop((left, top, left + width, top + height))


class Grayscale:
    """One channel of luminance, or three alike.

    Parameters
    ----------
    num_output_channels : {1, 3}, default 1
        How many.
    """

    def __init__(self, num_output_channels: int = 1):
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        gray = image.convert("L")
        return gray if self.num_output_channels == 1 else gray.convert("RGB")


Scale = Resize  # its name before 2017
