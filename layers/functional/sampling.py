"""Images and volumes sampled at given places, with PyTorch's names and signatures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from ...backend.array.creation import arange
from ...backend.array.elementwise import add, divide, multiply, subtract
from ...backend.array.manipulation import astype, reshape
from ...backend.array.sums import is_half
from ...backend.device.dtypes import float32
from ...backend.device.options import integer
from ...backend.nn import sampling as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["affine_grid", "grid_sample"]

DEFAULT = "`{}` without `align_corners` takes False, as PyTorch does with the same warning; say align_corners=…"


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Tensor:
    """Images or volumes, sampled at the places that a grid holds.

    The last axis of the grid holds (x, y) or (x, y, z): coordinates along the last axis of the image, the one before it, and so
    on. −1 and 1 are the ends of the image, or the middles of its outermost pixels with `align_corners`.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W) or (N, C, D, H, W), of a real floating-point dtype.
    grid : Tensor
        (N, Ho, Wo, 2) or (N, Do, Ho, Wo, 3), of the same dtype.
    mode : {"bilinear", "nearest", "bicubic"}, default "bilinear"
        Weighted by distance the two nearest pixels of each axis, the nearest one (of two, the even one), or the four nearest by
        Keys' cubic kernel with a = −¾ (images alone).
    padding_mode : {"zeros", "border", "reflection"}, default "zeros"
        What lies outside: 0, the outermost pixel, or the mirror image.
    align_corners : bool, optional
        What −1 and 1 mean, see above; False, with a warning, unless given.

    Returns
    -------
    Tensor
        (N, C, Ho, Wo) or (N, C, Do, Ho, Wo).

    Raises
    ------
    TypeError
        If one is not a Tensor of a real floating-point dtype, or dtypes differ.
    ValueError
        If shapes do not fit, or an option is another word.

    Notes
    -----
    A coordinate that is NaN gives NaN (PyTorch: the pixel 0 with the paddings "border" and "reflection"), an infinite one what
    lies outside (PyTorch: NaN with "zeros").

    References
    ----------
    Jaderberg et al., "Spatial Transformer Networks" (2015).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.grid_sample(weft.tensor([[[[1.0, 3.0]]]]), weft.tensor([[[[0.0, 0.0]]]]), align_corners=False)
    tensor([[[[2.]]]])
    """
    check.floating("input", input)
    check.floating("grid", grid)
    check.same_dtype("grid", grid, "input", input)
    check.one_of("mode", mode, ("bilinear", "nearest", "bicubic"))
    check.one_of("padding_mode", padding_mode, ("zeros", "border", "reflection"))
    if input.ndim not in (4, 5) or not all(input.shape[2:]):
        raise ValueError(
            f"`input` must have shape (N, C, H, W) or (N, C, D, H, W), with pixels, got {tuple(input.shape)}"
        )
    n, axes = input.shape[0], input.ndim - 2
    if grid.ndim != input.ndim or grid.shape[0] != n or grid.shape[-1] != axes:
        wanted = f"({n}, {', '.join(('Do', 'Ho', 'Wo')[-axes:])}, {axes})"
        raise ValueError(f"`grid` must have shape {wanted} for `input` {tuple(input.shape)}, got {tuple(grid.shape)}")
    if mode == "bicubic" and axes == 3:
        raise ValueError(f"mode='bicubic' is for images (N, C, H, W), got `input` {tuple(input.shape)}")
    return primitives.grid_sample(
        input, grid, mode=mode, padding_mode=padding_mode, align_corners=_corners("grid_sample", align_corners)
    )


def _corners(name: str, align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(DEFAULT.format(name), stacklevel=3)
    return bool(align_corners)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The grid that `grid_sample` makes an affine map of an image with: θ (x, y, 1)ᵀ for every pixel of the result.

    Parameters
    ----------
    theta : Tensor
        θ, (N, 2, 3) for images or (N, 3, 4) for volumes, of a real floating-point dtype.
    size : sequence of int
        (N, C, H, W) or (N, C, D, H, W) of the result of `grid_sample`.
    align_corners : bool, optional
        Whether −1 and 1 are the middles of the outermost pixels, not the ends of the image; False, with a warning, unless given.

    Returns
    -------
    Tensor
        (N, H, W, 2) or (N, D, H, W, 3).

    Raises
    ------
    TypeError
        If `theta` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and size do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.affine_grid(weft.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2), align_corners=False).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    check.floating("theta", theta)
    if not isinstance(size, Sequence):
        raise TypeError(f"`size` must be (N, C, H, W) or (N, C, D, H, W), got {size!r:.80}")
    for length in size:
        integer("size", length, 1)
    axes = len(size) - 2
    if axes not in (2, 3) or tuple(theta.shape) != (size[0], axes, axes + 1):
        raise ValueError(
            f"`theta` must have shape (N, 2, 3) for a `size` (N, C, H, W), or (N, 3, 4) for (N, C, D, H, W), "
            f"got {tuple(theta.shape)} and {tuple(size)}"
        )
    align_corners = _corners("affine_grid", align_corners)
    columns = [reshape(theta[:, :, a], (size[0], *(1,) * axes, axes)) for a in range(axes + 1)]
    grid = columns[-1]
    for axis, n in enumerate(size[2:]):
        line = reshape(_line(n, align_corners, theta), (1, *(n if a == axis else 1 for a in range(axes)), 1))
        grid = add(grid, multiply(columns[axes - 1 - axis], line))
    return grid


def _line(n: int, align_corners: bool, like: Tensor) -> Tensor:
    """The coordinates of n pixels."""
    dtype: Any = float32 if is_half(like.dtype) else like.dtype
    counted = arange(n, dtype=dtype, device=like.device)
    if align_corners:
        line = subtract(divide(multiply(counted, 2), n - 1), 1) if n > 1 else counted
    else:
        line = subtract(divide(add(multiply(counted, 2), 1), n), 1)
    return astype(line, like.dtype, copy=False)
