"""Channels exchanged with space and with each other, with PyTorch's names and signatures."""

from __future__ import annotations

from ...backend.array.manipulation import permute_dims, reshape
from ...backend.device.options import integer
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _at_least(input: Tensor, axes: int) -> None:
    if check.tensor("input", input).ndim < axes:
        raise ValueError(f"`input` must have at least {axes} axes, got shape {tuple(input.shape)}")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Channels laid out as pixels: y[…, c, h·r + i, w·r + j] = x[…, c·r² + i·r + j, h, w].

    Parameters
    ----------
    input : Tensor
        x, (…, C·r², H, W).
    upscale_factor : int
        r.

    Returns
    -------
    Tensor
        y, (…, C, H·r, W·r).

    Raises
    ------
    ValueError
        If x has fewer than three axes, r is not positive, or the channels are no multiple of r².

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network" (2016).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.pixel_shuffle(weft.tensor([[[1]], [[2]], [[3]], [[4]]]), 2).tolist()
    [[[1, 2], [3, 4]]]
    """
    _at_least(input, 3)
    integer("upscale_factor", upscale_factor, 1)
    r, (*lead, c, h, w) = int(upscale_factor), input.shape
    if c % (r * r):
        raise ValueError(
            f"`input` must have a multiple of `upscale_factor`² = {r * r} channels on axis -3, got {c} "
            f"in shape {tuple(input.shape)}"
        )
    n = len(lead)
    x = reshape(input, (*lead, c // (r * r), r, r, h, w))
    return reshape(permute_dims(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2)), (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`: y[…, c·r² + i·r + j, h, w] = x[…, c, h·r + i, w·r + j].

    Parameters
    ----------
    input : Tensor
        x, (…, C, H·r, W·r).
    downscale_factor : int
        r.

    Returns
    -------
    Tensor
        y, (…, C·r², H, W).

    Raises
    ------
    ValueError
        If x has fewer than three axes, r is not positive, or the last two axes are no multiples of it.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.pixel_unshuffle(weft.tensor([[[1, 2], [3, 4]]]), 2).tolist()
    [[[1]], [[2]], [[3]], [[4]]]
    """
    _at_least(input, 3)
    integer("downscale_factor", downscale_factor, 1)
    r, (*lead, c, h, w) = int(downscale_factor), input.shape
    if h % r or w % r:
        raise ValueError(
            f"`input` must have multiples of `downscale_factor` = {r} as its last two axes, got shape {tuple(input.shape)}"
        )
    n = len(lead)
    x = reshape(input, (*lead, c, h // r, r, w // r, r))
    return reshape(permute_dims(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3)), (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of all groups by turns: y[n, i·G + g] = x[n, g·C/G + i].

    Parameters
    ----------
    input : Tensor
        x, (N, C, …).
    groups : int
        G.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    ValueError
        If x has fewer than three axes, G is not positive, or C is no multiple of it.

    References
    ----------
    Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices" (2018).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.channel_shuffle(weft.tensor([[[1], [2], [3], [4]]]), 2).tolist()
    [[[1], [3], [2], [4]]]
    """
    _at_least(input, 3)
    integer("groups", groups, 1)
    n, c, *rest = input.shape
    if c % groups:
        raise ValueError(f"`groups` must divide the {c} channels of `input` {tuple(input.shape)}, got {groups}")
    x = reshape(input, (n, int(groups), c // groups, *rest))
    return reshape(permute_dims(x, (0, 2, 1, *range(3, x.ndim))), input.shape)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle`, by the name of PyTorch's inner function.

    Parameters
    ----------
    input : Tensor
        (N, C, …).
    groups : int
        Into how many groups the channels are split.

    Returns
    -------
    Tensor
        In the shape of `input`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.native_channel_shuffle(weft.tensor([[[1], [2], [3], [4]]]), 2).tolist()
    [[[1], [3], [2], [4]]]
    """
    return channel_shuffle(input, groups)
