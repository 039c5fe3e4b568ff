"""`torchvision.transforms.functional`: what transforms do, as functions."""

from __future__ import annotations

from typing import Any

from ...backend.tape.tensor import Tensor
from . import augmenting, transforms

__all__ = ["crop", "hflip", "normalize", "pil_to_tensor", "resize", "to_pil_image", "to_tensor", "vflip"]

to_tensor, to_pil_image, pil_to_tensor = transforms.to_tensor, transforms.to_pil_image, transforms.pil_to_tensor


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """(x − mean) / std, by channel.

    Parameters
    ----------
    tensor : Tensor (C, H, W)
        The image.
    mean, std : sequence of float
        One for each channel.
    inplace : bool, default False
        PyTorch's; it changes nothing.

    Returns
    -------
    Tensor
        The image.
    """
    return transforms.Normalize(mean, std)(tensor)


def resize(img: Any, size: Any, interpolation: Any = None, **_options: Any) -> Any:
    """The shorter side to `size`, or both to (height, width).

    Parameters
    ----------
    img : image
        PIL's, or a Tensor.
    size : int or sequence of int
        In pixels.
    interpolation : int, optional
        PIL's filter.
    **_options : object
        PyTorch's, which change nothing.

    Returns
    -------
    image
        As given.
    """
    return transforms.Resize(size, interpolation)(img)


def hflip(img: Any) -> Any:
    """Mirrored.

    Parameters
    ----------
    img : image
        PIL's, or a Tensor.

    Returns
    -------
    image
        As given.
    """
    return augmenting._mirrored(img, -1)


def vflip(img: Any) -> Any:
    """Upside down.

    Parameters
    ----------
    img : image
        PIL's, or a Tensor.

    Returns
    -------
    image
        As given.
    """
    return augmenting._mirrored(img, -2)


def crop(img: Any, top: int, left: int, height: int, width: int) -> Any:
    """A part of an image.

    Parameters
    ----------
    img : image
        PIL's, or a Tensor.
    top, left, height, width : int
        Which.

    Returns
    -------
    image
        As given.
    """
    if isinstance(img, Tensor):
        return img[..., top : top + height, left : left + width]
    return img.crop((left, top, left + width, top + height))
