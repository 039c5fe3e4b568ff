"""Pooling, with PyTorch's names and signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, overload

from ...backend.array.creation import ones_like
from ...backend.array.elementwise import abs as absolute
from ...backend.array.indexing import where
from ...backend.device.options import number
from ...backend.nn import pooling as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._check import Ints
from ._images import as_batch, as_given, check_axes

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
]


@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor: ...
@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window of a sequence; see `max_pool2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    return_indices : bool, default False
        Whether to return also where the maxima are.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y (N, C, Lo) or (C, Lo); with `return_indices`, also the positions in L.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.max_pool1d(weft.tensor([[1.0, 4.0, 3.0, 2.0]]), 2)
    tensor([[4., 3.]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window of an image.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    kernel_size : int or tuple of int
        Elements in a window, along both axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    return_indices : bool, default False
        Whether to return also where the maxima are.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y (N, C, Ho, Wo) or (C, Ho, Wo), Ho = ⌊(H + 2·padding − dilation·(kernel_size − 1) − 1)/stride⌋ + 1, or ⌈…⌉
        with `ceil_mode`; with `return_indices`, also the positions in the flattened (H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.max_pool2d(weft.reshape(weft.arange(16.0), (1, 1, 4, 4)), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@overload
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
) -> Tensor: ...
@overload
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]: ...
def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The maximum of each window of a volume; see `max_pool2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    kernel_size : int or tuple of int
        Elements in a window, along all axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    return_indices : bool, default False
        Whether to return also where the maxima are.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y (N, C, Do, Ho, Wo) or (C, Do, Ho, Wo); with `return_indices`, also the positions in the flattened (D, H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.max_pool3d(weft.ones((2, 3, 4, 8, 8)), 2).shape
    (2, 3, 2, 4, 4)
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool1d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    return_indices : bool, default False
        PyTorch's argument; it changes nothing.

    Returns
    -------
    tuple of two Tensors
        The maxima, and their positions in L.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> y, indices = F.max_pool1d_with_indices(weft.ones((2, 3, 8)), 2)
    >>> y.shape == indices.shape
    True
    """
    y, indices = _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return y, indices


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool2d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    return_indices : bool, default False
        PyTorch's argument; it changes nothing.

    Returns
    -------
    tuple of two Tensors
        The maxima, and their positions in the flattened (H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> y, indices = F.max_pool2d_with_indices(weft.ones((2, 3, 8, 8)), 2)
    >>> y.shape == indices.shape
    True
    """
    y, indices = _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return y, indices


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """`max_pool3d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides, which are never the maximum; at most half of the window.
    dilation : int or tuple of int, default 1
        Distance between the elements that a window takes.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    return_indices : bool, default False
        PyTorch's argument; it changes nothing.

    Returns
    -------
    tuple of two Tensors
        The maxima, and their positions in the flattened (D, H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> y, indices = F.max_pool3d_with_indices(weft.ones((2, 3, 4, 8, 8)), 2)
    >>> y.shape == indices.shape
    True
    """
    y, indices = _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, True)
    return y, indices


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of a sequence; see `avg_pool2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Zeros on both sides; at most half of the window.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.

    Returns
    -------
    Tensor
        y, (N, C, Lo) or (C, Lo).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.avg_pool1d(weft.tensor([[1.0, 3.0, 3.0, 5.0]]), 2)
    tensor([[2., 4.]])
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of an image.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    kernel_size : int or tuple of int
        Elements in a window, along both axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Zeros on both sides; at most half of the window.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    divisor_override : int, optional
        What the sum is divided by, instead of how many elements count.

    Returns
    -------
    Tensor
        y, (N, C, Ho, Wo) or (C, Ho, Wo), sizes as for `max_pool2d`.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit, or `divisor_override` is 0 or no integer.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.avg_pool2d(weft.reshape(weft.arange(16.0), (1, 1, 4, 4)), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window of a volume; see `avg_pool2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W); at least as large as a window along each axis, whatever the padding.
    kernel_size : int or tuple of int
        Elements in a window, along all axes or each; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Zeros on both sides; at most half of the window.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts, even if it is the only one.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    divisor_override : int, optional
        What the sum is divided by, instead of how many elements count.

    Returns
    -------
    Tensor
        y, (N, C, Do, Ho, Wo) or (C, Do, Ho, Wo), sizes as for `max_pool3d`.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit, or `divisor_override` is 0 or no integer.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.avg_pool3d(weft.ones((2, 3, 4, 8, 8)), 2).shape
    (2, 3, 2, 4, 4)
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of a sequence, (Σ xᵖ)^(1/p).

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    norm_type : float
        p, not 0; infinity gives the largest |x|, and −infinity the smallest.
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts; what it lacks is taken to be like what it has.

    Returns
    -------
    Tensor
        y, sizes as for `max_pool1d`. Where a sum is 0, so is the gradient.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.lp_pool1d(weft.ones((2, 3, 8)), 2, 2).flatten()[0].item()
    1.4142135381698608
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of an image, (Σ xᵖ)^(1/p); see `lp_pool1d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    norm_type : float
        p, not 0; infinity gives the largest |x|, and −infinity the smallest.
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts; what it lacks is taken to be like what it has.

    Returns
    -------
    Tensor
        y, sizes as for `max_pool2d`. Where a sum is 0, so is the gradient.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.lp_pool2d(weft.ones((2, 3, 8, 8)), 2, 2).flatten()[0].item()
    2.0
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """The p-norm of each window of a volume, (Σ xᵖ)^(1/p); see `lp_pool1d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W); at least as large as a window along each axis.
    norm_type : float
        p, not 0; infinity gives the largest |x|, and −infinity the smallest.
    kernel_size : int or tuple of int
        Elements in a window.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    ceil_mode : bool, default False
        Whether a last window that sticks out counts; what it lacks is taken to be like what it has.

    Returns
    -------
    Tensor
        y, sizes as for `max_pool3d`. Where a sum is 0, so is the gradient.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.lp_pool3d(weft.ones((2, 3, 4, 8, 8)), 2, 2).flatten()[0].item()
    2.8284270763397217
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def adaptive_avg_pool1d(input: Tensor, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Means of a number of windows that cover a sequence; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    output_size : int or None, or sequence of one
        n, how many windows; None: L.

    Returns
    -------
    Tensor
        y, (N, C, n) or (C, n).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape or size do not fit, or x is empty.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.adaptive_avg_pool1d(weft.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[1.5, 2.5]])
    """
    return _adaptive(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Means of a number of windows that cover an image.

    Window i of n along an axis of H is [⌊i·H/n⌋, ⌈(i + 1)·H/n⌉).

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    output_size : int or None, or sequence of two
        n, how many windows along both axes or each; None: as many as elements.

    Returns
    -------
    Tensor
        y, (N, C, n, n) or (C, n, n).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape or sizes do not fit, or x is empty.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.adaptive_avg_pool2d(weft.ones((2, 3, 8, 8)), (2, None)).shape
    (2, 3, 2, 8)
    """
    return _adaptive(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: int | Sequence[int | None] | None) -> Tensor:
    """Means of a number of windows that cover a volume; see `adaptive_avg_pool2d`.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    output_size : int or None, or sequence of three
        n, how many windows along all axes or each; None: as many as elements.

    Returns
    -------
    Tensor
        y, (N, C, n, n, n) or (C, n, n, n).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape or sizes do not fit, or x is empty.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.adaptive_avg_pool3d(weft.ones((2, 3, 4, 8, 8)), (2, None, 1)).shape
    (2, 3, 2, 8, 1)
    """
    return _adaptive(3, input, output_size)


def check_windows(
    n: int, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints = 1
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride, padding and dilation along n axes, after a check of all that can be known without an input."""
    kernels = check.several("kernel_size", kernel_size, n, 1)
    strides = kernels if stride in (None, (), []) else check.several("stride", stride, n, 1)
    paddings = check.several("padding", padding, n)
    dilations = check.several("dilation", dilation, n, 1)
    for k, p in zip(kernels, paddings):
        if 2 * p > k:
            raise ValueError(f"`padding` must be at most half of `kernel_size` {kernels}, got {paddings}")
    return kernels, strides, paddings, dilations


def check_divisor(divisor_override: int) -> None:
    """An integer other than 0, or ValueError."""
    check.integer("divisor_override", divisor_override)
    if not divisor_override:
        raise ValueError(f"`divisor_override` must not be 0, got {divisor_override}")


def _windows(
    n: int, input: Tensor, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, stride, padding and dilation along n axes, after a check of the input and of what they do to it."""
    check.floating("input", input)
    check_axes(n, input)
    kernels, strides, paddings, dilations = check_windows(n, kernel_size, stride, padding, dilation)
    for size, k, s, p, d in zip(input.shape[-n:], kernels, strides, paddings, dilations):
        if primitives.windows(size, k, s, p, d, ceil_mode) < 1:
            got = f"got {size} + {2 * p} of padding, in shape {tuple(input.shape)}"
            raise ValueError(f"`input` must be at least as large as the window, which spans {d * (k - 1) + 1}, {got}")
    return kernels, strides, paddings, dilations


def _max_pool(
    n: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    dilation: Ints,
    ceil_mode: bool,
    return_indices: bool,
) -> Tensor | tuple[Tensor, Tensor]:
    kernels, strides, paddings, dilations = _windows(n, input, kernel_size, stride, padding, dilation, ceil_mode)
    y = primitives.max_pool(
        as_batch(n, input),
        kernel_size=kernels,
        stride=strides,
        padding=paddings,
        dilation=dilations,
        ceil_mode=ceil_mode,
        return_indices=return_indices,
    )
    return (as_given(n, y[0], input), as_given(n, y[1], input)) if return_indices else as_given(n, y, input)


def _avg_pool(
    n: int,
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    kernels, strides, paddings, _ = _windows(n, input, kernel_size, stride, padding, 1, ceil_mode)
    if n == 3 and any(size < k for size, k in zip(input.shape[-n:], kernels)):  # as PyTorch, and in 3-D alone
        got = f"got shape {tuple(input.shape)}; `pad` adds to it before"
        raise ValueError(f"`input` must be at least as large as the window, {kernels}, without its padding, {got}")
    if divisor_override is not None:
        check_divisor(divisor_override)
    y = primitives.avg_pool(
        as_batch(n, input),
        kernel_size=kernels,
        stride=strides,
        padding=paddings,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return as_given(n, y, input)


def _lp_pool(
    n: int, input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None, ceil_mode: bool
) -> Tensor:
    number("norm_type", norm_type, infinite=True)
    if not norm_type:
        raise ValueError(f"`norm_type` must not be 0, got {norm_type}")
    if math.isinf(norm_type):
        sign = math.copysign(1.0, norm_type)
        y = _max_pool(n, absolute(check.tensor("input", input)) * sign, kernel_size, stride, 0, 1, ceil_mode, False)
        return y * sign  # type: ignore[operator]
    check.floating("input", input)
    means = _avg_pool(n, input**norm_type, kernel_size, stride, 0, ceil_mode, True, None)
    zero = means == 0  # where the root has no derivative
    sums = where(zero, ones_like(means), means) * math.prod(check.several("kernel_size", kernel_size, n, 1))
    return where(zero, 0.0 if norm_type > 0 else math.inf, sums ** (1 / norm_type))


def output_sizes(n: int, input: Tensor, output_size: int | Sequence[int | None] | None) -> tuple[int, ...]:
    """One for each of n axes, after a check of the input; None is as many as there are elements."""
    check.floating("input", input)
    check_axes(n, input)
    sizes = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * n
    if len(sizes) not in (1, n):
        raise ValueError(f"`output_size` must be an int or None, or {n} of them, got {output_size!r}")
    sizes = tuple(have if want is None else want for want, have in zip(sizes, input.shape[-n:]))
    return check.several("output_size", sizes, n, 1)


def _adaptive(n: int, input: Tensor, output_size: int | Sequence[int | None] | None) -> Tensor:
    sizes = output_sizes(n, input, output_size)
    if not all(input.shape[-n:]):
        raise ValueError(f"`input` must not be empty along the axes that are averaged, got shape {tuple(input.shape)}")
    return as_given(n, primitives.adaptive_avg_pool(as_batch(n, input), output_size=sizes), input)
