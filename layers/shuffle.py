"""Channels exchanged with space and with each other, as in `torch.nn`; formulas are in the functions of the same names."""

from __future__ import annotations

from ..backend.device.options import integer
from ..backend.tape.tensor import Tensor
from . import functional as F
from .module import Layer

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Layer):
    """Channels laid out as pixels: (…, C·r², H, W) → (…, C, H·r, W·r).

    Parameters
    ----------
    upscale_factor : int
        r.

    Raises
    ------
    ValueError
        In a call, if the channels are no multiple of r².

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network" (2016).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.PixelShuffle(2)(weft.ones((1, 8, 3, 5))).shape
    (1, 2, 6, 10)
    """

    def __init__(self, upscale_factor: int):
        integer("upscale_factor", upscale_factor, 1)
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Layer):
    """The inverse of `PixelShuffle`: (…, C, H·r, W·r) → (…, C·r², H, W).

    Parameters
    ----------
    downscale_factor : int
        r.

    Raises
    ------
    ValueError
        In a call, if the last two axes are no multiples of r.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.PixelUnshuffle(2)(weft.ones((1, 2, 6, 10))).shape
    (1, 8, 3, 5)
    """

    def __init__(self, downscale_factor: int):
        integer("downscale_factor", downscale_factor, 1)
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Layer):
    """Channels of all groups by turns: (N, C, …) → (N, C, …).

    Parameters
    ----------
    groups : int
        Into how many groups the channels are split.

    Raises
    ------
    ValueError
        In a call, if the channels are no multiple of `groups`.

    References
    ----------
    Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices" (2018).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.ChannelShuffle(2)(weft.tensor([[[1], [2], [3], [4]]])).tolist()
    [[[1], [3], [2], [4]]]
    """

    def __init__(self, groups: int):
        integer("groups", groups, 1)
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
