"""Images as columns of windows, and back, with PyTorch's names and signatures."""

from __future__ import annotations

from typing import Any

from ...backend.array.manipulation import expand_dims, squeeze
from ...backend.nn import folding as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._check import Ints

__all__ = ["fold", "unfold"]


def options(kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> dict[str, tuple[int, ...]]:
    """The keywords of the primitives, checked."""
    return {
        "kernel": check.several("kernel_size", kernel_size, 2, 1),
        "dilation": check.several("dilation", dilation, 2, 1),
        "padding": check.several("padding", padding, 2),
        "stride": check.several("stride", stride, 2, 1),
    }


def unfold(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """The windows that a convolution sees, as columns ("im2col").

    Row (c·KH + i)·KW + j of column l is what window l, counted row by row, sees of channel c at its place (i, j).

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W), of a real floating-point dtype.
    kernel_size : int or tuple of int
        (KH, KW): the size of a window.
    dilation : int or tuple of int, default 1
        D: distance between the pixels that a window takes.
    padding : int or tuple of int, default 0
        P zeros on both sides.
    stride : int or tuple of int, default 1
        S: the window moves by this much.

    Returns
    -------
    Tensor
        (N, C·KH·KW, L) or (C·KH·KW, L), L = Ho·Wo with Ho = ⌊(H + 2P − D(KH − 1) − 1)/S⌋ + 1.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If the shape or a size does not fit, or no window lies inside x.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.unfold(weft.tensor([[[1.0, 2.0, 3.0]]]), (1, 2)).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    check.floating("input", input)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise ValueError(
            f"`input` must have shape (N, C, H, W) or (C, H, W), nothing but N 0, got {tuple(input.shape)}"
        )
    given = options(kernel_size, dilation, padding, stride)
    if min(primitives.windows(tuple(input.shape[-2:]), **given)) < 1:
        raise ValueError(f"`input` must be as large as a window, got {tuple(input.shape)} for {_words(given)}")
    return primitives.unfold(input, **given) if input.ndim == 4 else _alone(primitives.unfold, input, **given)


def fold(
    input: Tensor, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1
) -> Tensor:
    """Images from the columns of their windows, overlapping ones added up ("col2im"): the adjoint of `unfold`.

    Parameters
    ----------
    input : Tensor
        x, (N, C·KH·KW, L) or (C·KH·KW, L), of a real floating-point dtype.
    output_size : int or tuple of int
        (H, W) of the images.
    kernel_size : int or tuple of int
        (KH, KW): the size of a window.
    dilation : int or tuple of int, default 1
        D: distance between the pixels that a window takes.
    padding : int or tuple of int, default 0
        P pixels on both sides, of which nothing is kept.
    stride : int or tuple of int, default 1
        S: the window moves by this much.

    Returns
    -------
    Tensor
        (N, C, H, W) or (C, H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If the shape or a size does not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.fold(weft.tensor([[1.0, 2.0], [2.0, 3.0]]), (1, 3), (1, 2)).tolist()
    [[[1.0, 4.0, 3.0]]]
    """
    check.floating("input", input)
    size = check.several("output_size", output_size, 2, 1)
    given = options(kernel_size, dilation, padding, stride)
    rows, columns = primitives.windows(size, **given)
    taps = given["kernel"][0] * given["kernel"][1]
    if rows < 1 or columns < 1:
        raise ValueError(f"`output_size` must be as large as a window, got {size} for {_words(given)}")
    if input.ndim not in (2, 3) or not input.shape[-2] or input.shape[-2] % taps or input.shape[-1] != rows * columns:
        raise ValueError(
            f"`input` must have shape (N, C·{taps}, {rows * columns}) or (C·{taps}, {rows * columns}) for an `output_size` "
            f"of {size} and {_words(given)}, got {tuple(input.shape)}"
        )
    whole = {"size": size, **given}
    return primitives.fold(input, **whole) if input.ndim == 3 else _alone(primitives.fold, input, **whole)


def _alone(f: Any, x: Tensor, **static: Any) -> Tensor:
    """One example without its batch axis."""
    return squeeze(f(expand_dims(x, axis=0), **static), axis=0)


def _words(given: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items())
