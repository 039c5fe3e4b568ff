"""Interpolation: sequences, images and volumes at another size, with PyTorch's names and signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend.array.elementwise import clip, floor
from ...backend.device.dtypes import uint8
from ...backend.device.options import number
from ...backend.nn import resampling as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._check import Ints

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

MODES = {  # and the numbers of axes with places that each is for
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "bicubic": (2,),
    "lanczos": (2,),
    "trilinear": (3,),
}
BYTES = ("bilinear", "bicubic", "lanczos")  # what pictures of bytes can be resampled by
Floats = float | Sequence[float]  # one for all axes, or one for each


def interpolate(
    input: Tensor,
    size: Ints | None = None,
    scale_factor: Floats | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Sequences, images or volumes at another size.

    Output o stands at place s (o + ½) − ½ of the input, or at s o with `align_corners`, where s is the distance of outputs
    in inputs. Modes "linear", "bilinear" and "trilinear" weigh the two nearest places of each axis by their distance,
    "bicubic" the four nearest by a cubic kernel; "nearest" takes place ⌊s o⌋, "nearest-exact" ⌊s (o + ½)⌋, "area" the mean
    of all places that the output touches. With `antialias`, kernels are as wide as s, as in Pillow.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L), (N, C, H, W) or (N, C, D, H, W).
    size : int or tuple of int, optional
        Lengths of the axes behind the channels: of all, or of each.
    scale_factor : float or tuple of float, optional
        Or how many times as long they are, rounded down; then s = 1/scale_factor exactly.
    mode : str, default "nearest"
        "nearest", "nearest-exact", "area", "linear" (one axis), "bilinear", "bicubic", "lanczos" (two), "trilinear"
        (three). "lanczos" is with `antialias` alone.
    align_corners : bool, optional
        Whether the first and last places of input and output lie on each other; for linear and cubic modes. False unless
        given.
    recompute_scale_factor : bool, optional
        Whether s is the ratio of lengths although `scale_factor` is given.
    antialias : bool, default False
        Whether what lies between outputs counts; for "bilinear", "bicubic" and "lanczos".

    Returns
    -------
    Tensor
        (N, C, …) of the dtype of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor, or one of integers with a mode that computes.
    ValueError
        If options do not fit the shape or each other, or a length would be 0.

    Notes
    -----
    Pictures of uint8 are resampled along rows, rounded, then along columns, and rounded, as in PyTorch and Pillow (whose weights
    are integers: a result may be 1 more or less).

    Gradients are the adjoint of what was computed. PyTorch's (2.13, CPU) are those of another map where a `scale_factor` keeps
    a length (or doubles it) and is not the ratio of lengths, with "nearest" for sequences and volumes and with `antialias`;
    and in places with "nearest" in float64, which takes the places of float32 here. With `antialias` its outputs one column
    wide and of another height than the input are wrong.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.interpolate(weft.tensor([[[1.0, 2.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    >>> F.interpolate(weft.tensor([[[1.0, 2.0]]]), size=3, mode="linear", align_corners=True).tolist()
    [[[1.0, 1.5, 2.0]]]
    """
    n = check.tensor("input", input).ndim - 2
    check.one_of("mode", mode, tuple(MODES))
    if n not in MODES[mode]:
        wanted = " or ".join(f"{axes + 2}" for axes in MODES[mode])
        raise ValueError(f"`input` must have {wanted} axes for mode={mode!r}, got shape {tuple(input.shape)}")
    in_bytes = n == 2 and mode in BYTES and input.dtype == uint8
    if "nearest" not in mode and not in_bytes:
        check.floating("input", input)
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"`align_corners` goes with linear and cubic modes, got {align_corners} with mode={mode!r}")
    if antialias and mode not in primitives.FILTERS:
        raise ValueError(f"`antialias` goes with {', '.join(map(repr, primitives.FILTERS))}, got mode={mode!r}")
    if mode == "lanczos" and (align_corners or not antialias):
        raise ValueError(
            f"mode='lanczos' needs `antialias`=True and no `align_corners`, got {antialias} and {align_corners}"
        )
    lengths, scales = _lengths(input, n, size, scale_factor, recompute_scale_factor)
    options: dict[str, Any] = {"mode": mode, "align_corners": bool(align_corners), "antialias": bool(antialias)}
    if in_bytes:
        across = _rounded(
            primitives.resample(input.float(), size=(input.shape[2], lengths[1]), scales=(None, scales[1]), **options)
        )
        return _rounded(primitives.resample(across, size=lengths, scales=(scales[0], None), **options)).astype(uint8)
    scales = (None,) * n if mode == "area" else scales
    return primitives.resample(input, size=lengths, scales=scales, **options)


def _rounded(x: Tensor) -> Tensor:
    """To the nearest of the numbers that a byte holds."""
    return floor(clip(x, 0, 255) + 0.5)


def _lengths(
    input: Tensor, n: int, size: Ints | None, scale_factor: Floats | None, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The last n lengths of the output, and the scales to compute places with."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"one of `size` and `scale_factor` must be given, got {size} and {scale_factor}")
    scales: tuple[float | None, ...] = (None,) * n
    if scale_factor is None:
        if recompute:
            raise ValueError(f"`recompute_scale_factor` goes with `scale_factor`, got it with size={size}")
        lengths = check.several("size", size, n, 1)
    else:
        given = tuple(scale_factor) if isinstance(scale_factor, Sequence) else (scale_factor,) * n
        if len(given) != n:
            raise ValueError(f"`scale_factor` must be a number or {n} of them, got {scale_factor}")
        for scale in given:
            number("scale_factor", scale, above=0)
        lengths = tuple(int(length * scale) for length, scale in zip(input.shape[2:], given))
        scales = scales if recompute else tuple(map(float, given))
    if not all((*lengths, *input.shape[2:])):
        raise ValueError(
            f"all lengths must be at least 1, got {tuple(input.shape[2:])} → {lengths}; give a larger `size`"
        )
    return lengths, scales


def upsample(
    input: Tensor,
    size: Ints | None = None,
    scale_factor: Floats | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate`, by its old name.

    Parameters
    ----------
    input : Tensor
        (N, C, L), (N, C, H, W) or (N, C, D, H, W).
    size : int or tuple of int, optional
        Lengths of the axes behind the channels.
    scale_factor : float or tuple of float, optional
        Or how many times as long they are.
    mode : str, default "nearest"
        As of `interpolate`.
    align_corners : bool, optional
        Whether the first and last places of input and output lie on each other.

    Returns
    -------
    Tensor
        (N, C, …) of the dtype of `input`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.upsample(weft.tensor([[[1.0, 2.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Ints | None = None, scale_factor: Floats | None = None) -> Tensor:
    """`interpolate` with mode "nearest", by its old name.

    Parameters
    ----------
    input : Tensor
        (N, C, L), (N, C, H, W) or (N, C, D, H, W).
    size : int or tuple of int, optional
        Lengths of the axes behind the channels.
    scale_factor : float or tuple of float, optional
        Or how many times as long they are.

    Returns
    -------
    Tensor
        (N, C, …) of the dtype of `input`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.upsample_nearest(weft.tensor([[[1.0, 2.0]]]), size=3).tolist()
    [[[1.0, 1.0, 2.0]]]
    """
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Ints | None = None, scale_factor: Floats | None = None) -> Tensor:
    """`interpolate` of images with mode "bilinear" and `align_corners`, by its old name.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W).
    size : int or tuple of int, optional
        Height and width.
    scale_factor : float or tuple of float, optional
        Or how many times as large they are.

    Returns
    -------
    Tensor
        (N, C, …) of the dtype of `input`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.upsample_bilinear(weft.tensor([[[[1.0, 2.0]]]]), size=(1, 3)).tolist()
    [[[[1.0, 1.5, 2.0]]]]
    """
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)
