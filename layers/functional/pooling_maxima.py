"""Maxima of windows that are no grid, with their indices, and the way back; PyTorch's names and signatures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np

from ...backend.array.creation import arange, asarray
from ...backend.array.elementwise import minimum
from ...backend.array.indexing import take_along_axis
from ...backend.array.manipulation import reshape
from ...backend.array.random import rand
from ...backend.device import devices
from ...backend.device.options import number
from ...backend.nn import pooling as primitives
from ...backend.nn.embedding import check_indices
from ...backend.tape.tensor import Tensor, innermost
from . import _check as check
from ._check import Ints
from ._images import as_batch, as_given, check_axes
from .pooling import output_sizes

__all__ = [
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

Ratios = float | Sequence[float]
Maxima = Tensor | tuple[Tensor, Tensor]


@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = False
) -> Tensor: ...
@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: int | Sequence[int | None] | None, *, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool1d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Maxima: ...
def adaptive_max_pool1d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Maxima:
    """Maxima of a number of windows that cover a sequence: window i of n along L is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    output_size : int or None, or sequence of one
        n, how many windows along all axes or each; None: as many as elements.
    return_indices : bool, default False
        Whether to return also where the maxima are.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y; with `return_indices`, also the positions in L.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.adaptive_max_pool1d(weft.ones((2, 3, 8)), 2).shape
    (2, 3, 2)
    """
    y, indices = _adaptive_max(1, input, output_size)
    return (y, indices) if return_indices else y


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool1d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, L) or (C, L).
    output_size : int or None, or sequence of one
        n, how many windows along all axes or each; None: as many as elements.
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
    >>> y, indices = F.adaptive_max_pool1d_with_indices(weft.ones((2, 3, 8)), 2)
    >>> y.shape == indices.shape
    True
    """
    return _adaptive_max(1, input, output_size)


@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = False
) -> Tensor: ...
@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: int | Sequence[int | None] | None, *, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool2d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Maxima: ...
def adaptive_max_pool2d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Maxima:
    """Maxima of a number of windows that cover an image: window i of n along L is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    output_size : int or None, or sequence of two
        n, how many windows along all axes or each; None: as many as elements.
    return_indices : bool, default False
        Whether to return also where the maxima are.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y; with `return_indices`, also the positions in the flattened (H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.adaptive_max_pool2d(weft.ones((2, 3, 8, 8)), 2).shape
    (2, 3, 2, 2)
    """
    y, indices = _adaptive_max(2, input, output_size)
    return (y, indices) if return_indices else y


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool2d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    output_size : int or None, or sequence of two
        n, how many windows along all axes or each; None: as many as elements.
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
    >>> y, indices = F.adaptive_max_pool2d_with_indices(weft.ones((2, 3, 8, 8)), 2)
    >>> y.shape == indices.shape
    True
    """
    return _adaptive_max(2, input, output_size)


@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = False
) -> Tensor: ...
@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: int | Sequence[int | None] | None, *, return_indices: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def adaptive_max_pool3d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Maxima: ...
def adaptive_max_pool3d(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Maxima:
    """Maxima of a number of windows that cover a volume: window i of n along L is [⌊i·L/n⌋, ⌈(i + 1)·L/n⌉).

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    output_size : int or None, or sequence of three
        n, how many windows along all axes or each; None: as many as elements.
    return_indices : bool, default False
        Whether to return also where the maxima are.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y; with `return_indices`, also the positions in the flattened (D, H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.adaptive_max_pool3d(weft.ones((2, 3, 4, 8, 8)), 2).shape
    (2, 3, 2, 2, 2)
    """
    y, indices = _adaptive_max(3, input, output_size)
    return (y, indices) if return_indices else y


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """`adaptive_max_pool3d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    output_size : int or None, or sequence of three
        n, how many windows along all axes or each; None: as many as elements.
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
    >>> y, indices = F.adaptive_max_pool3d_with_indices(weft.ones((2, 3, 4, 8, 8)), 2)
    >>> y.shape == indices.shape
    True
    """
    return _adaptive_max(3, input, output_size)


@overload
def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: Literal[False] = False,
    _random_samples: Tensor | None = None,
) -> Tensor: ...
@overload
def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    *,
    return_indices: Literal[True],
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Maxima: ...
def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Maxima:
    """Maxima of windows of an image whose distances vary at random. Graham, "Fractional Max-Pooling" (2014).

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    kernel_size : int or tuple of int
        Elements in a window.
    output_size : int or tuple of int, optional
        How many windows, along all axes or each.
    output_ratio : float or tuple of float, optional
        The same as a share of the elements, in (0, 1); one of the two must be given.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    _random_samples : Tensor, optional
        (N, C, 2), numbers in [0, 1) that say where windows begin; drawn from the default generator unless given.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y; with `return_indices`, also the positions in the flattened (H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.fractional_max_pool2d(weft.ones((2, 3, 8, 8)), 2, output_size=3).shape
    (2, 3, 3, 3)
    """
    y, indices = _fractional_max(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return (y, indices) if return_indices else y


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool2d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, H, W) or (C, H, W).
    kernel_size : int or tuple of int
        Elements in a window.
    output_size : int or tuple of int, optional
        How many windows, along all axes or each.
    output_ratio : float or tuple of float, optional
        The same as a share of the elements, in (0, 1); one of the two must be given.
    return_indices : bool, default False
        PyTorch's argument; it changes nothing.
    _random_samples : Tensor, optional
        (N, C, 2), numbers in [0, 1) that say where windows begin; drawn from the default generator unless given.

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
    >>> y, indices = F.fractional_max_pool2d_with_indices(weft.ones((2, 3, 8, 8)), 2, output_ratio=0.5)
    >>> y.shape == indices.shape
    True
    """
    return _fractional_max(2, input, kernel_size, output_size, output_ratio, _random_samples)


@overload
def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: Literal[False] = False,
    _random_samples: Tensor | None = None,
) -> Tensor: ...
@overload
def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    *,
    return_indices: Literal[True],
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]: ...
@overload
def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Maxima: ...
def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Maxima:
    """Maxima of windows of a volume whose distances vary at random. Graham, "Fractional Max-Pooling" (2014).

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    kernel_size : int or tuple of int
        Elements in a window.
    output_size : int or tuple of int, optional
        How many windows, along all axes or each.
    output_ratio : float or tuple of float, optional
        The same as a share of the elements, in (0, 1); one of the two must be given.
    return_indices : bool, default False
        Whether to return also where the maxima are.
    _random_samples : Tensor, optional
        (N, C, 3), numbers in [0, 1) that say where windows begin; drawn from the default generator unless given.

    Returns
    -------
    Tensor, or tuple of two Tensors
        y; with `return_indices`, also the positions in the flattened (D, H, W).

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype.
    ValueError
        If shape and sizes do not fit.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.fractional_max_pool3d(weft.ones((2, 3, 4, 8, 8)), 2, output_size=3).shape
    (2, 3, 3, 3, 3)
    """
    y, indices = _fractional_max(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return (y, indices) if return_indices else y


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None = None,
    output_ratio: Ratios | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`fractional_max_pool3d` with its indices.

    Parameters
    ----------
    input : Tensor
        x, (N, C, D, H, W) or (C, D, H, W).
    kernel_size : int or tuple of int
        Elements in a window.
    output_size : int or tuple of int, optional
        How many windows, along all axes or each.
    output_ratio : float or tuple of float, optional
        The same as a share of the elements, in (0, 1); one of the two must be given.
    return_indices : bool, default False
        PyTorch's argument; it changes nothing.
    _random_samples : Tensor, optional
        (N, C, 3), numbers in [0, 1) that say where windows begin; drawn from the default generator unless given.

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
    >>> y, indices = F.fractional_max_pool3d_with_indices(weft.ones((2, 3, 4, 8, 8)), 2, output_ratio=0.5)
    >>> y.shape == indices.shape
    True
    """
    return _fractional_max(3, input, kernel_size, output_size, output_ratio, _random_samples)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The way back from `max_pool1d`: maxima where they were found, zeros elsewhere.

    Parameters
    ----------
    input : Tensor
        The maxima, (N, C, L) or (C, L).
    indices : Tensor
        Their positions in L, int64, in the same shape.
    kernel_size : int or tuple of int
        Of `max_pool1d`; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides.
    output_size : sequence of int, optional
        Sizes of the result, with or without batch and channels: a stride leaves several possibilities. Unless given,
        (size − 1)·stride − 2·padding + kernel_size.

    Returns
    -------
    Tensor
        In that size.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype, or `indices` none of int64.
    ValueError
        If shapes and sizes do not fit.
    IndexError
        If an index is outside the result (not on a GPU).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([[1.0, 4.0, 3.0, 2.0]])
    >>> F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2).tolist()
    [[0.0, 4.0, 3.0, 0.0]]
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The way back from `max_pool2d`: maxima where they were found, zeros elsewhere.

    Parameters
    ----------
    input : Tensor
        The maxima, (N, C, H, W) or (C, H, W).
    indices : Tensor
        Their positions in the flattened (H, W), int64, in the same shape.
    kernel_size : int or tuple of int
        Of `max_pool2d`; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides.
    output_size : sequence of int, optional
        Sizes of the result, with or without batch and channels: a stride leaves several possibilities. Unless given,
        (size − 1)·stride − 2·padding + kernel_size.

    Returns
    -------
    Tensor
        In that size.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype, or `indices` none of int64.
    ValueError
        If shapes and sizes do not fit.
    IndexError
        If an index is outside the result (not on a GPU).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([[[1.0, 4.0], [3.0, 2.0]]])
    >>> F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2).tolist()
    [[[0.0, 4.0], [0.0, 0.0]]]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The way back from `max_pool3d`: maxima where they were found, zeros elsewhere.

    Parameters
    ----------
    input : Tensor
        The maxima, (N, C, D, H, W) or (C, D, H, W).
    indices : Tensor
        Their positions in the flattened (D, H, W), int64, in the same shape.
    kernel_size : int or tuple of int
        Of `max_pool3d`; so below.
    stride : int or tuple of int, optional
        The window moves by this much; as long as it is unless given.
    padding : int or tuple of int, default 0
        Elements on both sides.
    output_size : sequence of int, optional
        Sizes of the result, with or without batch and channels: a stride leaves several possibilities. Unless given,
        (size − 1)·stride − 2·padding + kernel_size.

    Returns
    -------
    Tensor
        In that size.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a real floating-point dtype, or `indices` none of int64.
    ValueError
        If shapes and sizes do not fit.
    IndexError
        If an index is outside the result (not on a GPU).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x = weft.tensor([[[[1.0, 4.0], [3.0, 2.0]]]])
    >>> F.max_unpool3d(*F.max_pool3d(x, (1, 2, 2), return_indices=True), (1, 2, 2)).tolist()
    [[[[0.0, 4.0], [0.0, 0.0]]]]
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _maxima(n: int, input: Tensor, places: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Maxima of the windows that take the `places` along each axis, and where they are."""
    x = as_batch(n, input)
    indices = primitives.window_argmax(x, *places)
    flat = (*x.shape[:2], math.prod(x.shape[2:]))
    outputs = (*x.shape[:2], math.prod(indices.shape[2:]))
    y = reshape(take_along_axis(reshape(x, flat), reshape(indices, outputs)), indices.shape)
    return as_given(n, y, input), as_given(n, indices, input)


def _adaptive_max(n: int, input: Tensor, output_size: int | Sequence[int | None] | None) -> tuple[Tensor, Tensor]:
    sizes = output_sizes(n, input, output_size)
    if not all(input.shape[-n - 1 :]):
        raise ValueError(f"`input` must be empty along no axis but the batch's, got shape {tuple(input.shape)}")
    return _maxima(n, input, [_cover(*lengths, input.device) for lengths in zip(input.shape[-n:], sizes)])


def _cover(length: int, output: int, device: str) -> Tensor:
    """(1, 1, output, K): what each of the windows that cover an axis takes; the last place several times if need be."""
    longest = max(-(-(i + 1) * length // output) - i * length // output for i in range(output))
    windows = arange(output, device=device)[:, None]
    end = ((windows + 1) * length + output - 1) // output
    places = minimum(windows * length // output + arange(longest, device=device), end - 1)
    return reshape(places, (1, 1, output, longest))


def check_fractional(
    n: int, kernel_size: Ints, output_size: Ints | None, output_ratio: Ratios | None
) -> tuple[tuple[int, ...], tuple[int, ...] | None, tuple[float, ...] | None]:
    """Kernel, and output sizes or ratios, along n axes, after a check of all that can be known without an input."""
    kernels = check.several("kernel_size", kernel_size, n, 1)
    if output_size is not None:
        return kernels, check.several("output_size", output_size, n, 1), None
    if output_ratio is None:
        raise ValueError("`output_size` or `output_ratio` must be given, got None for both")
    several = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * n
    for ratio in several:
        number("output_ratio", ratio)
    if len(several) != n or not all(0 < ratio < 1 for ratio in several):
        raise ValueError(f"`output_ratio` must be a number in (0, 1), or {n} of them, got {output_ratio!r}")
    return kernels, None, tuple(several)


def _fractional_max(
    n: int,
    input: Tensor,
    kernel_size: Ints,
    output_size: Ints | None,
    output_ratio: Ratios | None,
    samples: Tensor | None,
) -> tuple[Tensor, Tensor]:
    check.floating("input", input)
    check_axes(n, input)
    kernels, sizes, ratios = check_fractional(n, kernel_size, output_size, output_ratio)
    image, planes = input.shape[-n:], as_batch(n, input).shape[:2]
    sizes = tuple([int(i * r) for i, r in zip(image, ratios)]) if ratios is not None else sizes
    assert sizes is not None
    if any(o < 1 or k + o - 1 > i for o, k, i in zip(sizes, kernels, image)):
        wanted = f"at least `kernel_size` {kernels} + `output_size` {sizes} − 1 long, and `output_size` at least 1"
        raise ValueError(f"`input` must be {wanted}, got shape {tuple(input.shape)}")
    if samples is None:
        samples = rand(*planes, n, dtype=input.dtype, device="cpu")
    got = check.tensor("_random_samples", samples).shape
    if len(got) != 3 or got[0] < planes[0] or got[1:] != (planes[1], n):
        raise ValueError(f"`_random_samples` must have shape {(*planes, n)}, got {tuple(got)}")
    check.same_dtype("_random_samples", samples, "input", input)
    drawn = devices.to_numpy(innermost(samples))[: planes[0]]
    order = (1, 0) if n == 2 else (0, 1, 2)  # which number is for which axis, as in PyTorch
    places = [_spread(drawn[..., a], *lengths) for a, *lengths in zip(order, image, sizes, kernels)]
    return _maxima(n, input, [asarray(place, device=input.device) for place in places])


def _spread(sample: np.ndarray, length: int, output: int, kernel: int) -> np.ndarray:
    """(N, C, output, kernel): window i begins at ⌊(i + u)·α⌋ − ⌊u·α⌋, α = (length − kernel)/(output − 1); the last at the end."""
    u, windows = sample[..., None], np.arange(output - 1, dtype=sample.dtype)
    alpha = sample.dtype.type((length - kernel) / max(1, output - 1))
    starts = ((windows + u) * alpha).astype(np.int64) - (u * alpha).astype(np.int64)
    starts = np.concatenate([starts, np.full((*sample.shape, 1), length - kernel)], axis=-1)
    return starts[..., None] + np.arange(kernel)


def _max_unpool(
    n: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    output_size: Sequence[int] | None,
) -> Tensor:
    check.floating("input", input)
    check_axes(n, input)
    check.shape("indices", indices, input.shape)
    if indices.dtype != np.int64:
        raise TypeError(f"`indices` must have dtype int64, got {indices.dtype}; convert it: indices.to(weft.int64)")
    kernels = check.several("kernel_size", kernel_size, n, 1)
    strides = kernels if stride is None else check.several("stride", stride, n, 1)
    paddings = check.several("padding", padding, n)
    sizes = tuple([(i - 1) * s - 2 * p + k for i, s, p, k in zip(input.shape[-n:], strides, paddings, kernels)])
    if output_size is not None:
        sizes = _chosen(n, output_size, sizes, strides)
    if min(sizes) < 1:
        raise ValueError(f"`padding` must leave something of the output, got {paddings}, which gives the size {sizes}")
    check_indices(innermost(indices), math.prod(sizes), f"the result's {sizes}, flattened")
    y = primitives.max_unpool(as_batch(n, input), as_batch(n, indices), output_size=sizes)
    return as_given(n, y, input)


def _chosen(n: int, output_size: Sequence[Any], usual: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """Less than a stride away from the usual size."""
    if len(output_size) not in (n, n + 2):
        raise ValueError(
            f"`output_size` must hold {n} sizes, or {n + 2} with batch and channels, got {tuple(output_size)}"
        )
    sizes = check.several("output_size", tuple(output_size)[-n:], n, 1)
    if any(not u - s < size < u + s for size, u, s in zip(sizes, usual, strides)):
        raise ValueError(f"`output_size` must be less than the stride {strides} away from {usual}, got {sizes}")
    return sizes
