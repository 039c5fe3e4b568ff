"""Views that slices cannot give: overlapping windows, and strides of one's own.

What is written into one is written to the tensor that it was taken from, recorded or not, as into a slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.array import indexing
from ...backend.tape.autograd import primitive
from ...backend.tape.sharing import root_of
from ...backend.tape.tensor import Tensor, innermost

__all__ = ["as_strided", "laid_out", "unfold", "unwritable"]


def laid_out(xp: Any, x: Any, shape: tuple, strides: tuple) -> Any:
    """The memory of x from its first element on, in steps of so many bytes.

    Parameters
    ----------
    xp : module
        The namespace of x.
    x : array
        Of NumPy, CuPy or the emulator.
    shape, strides : tuple of int
        The length of each axis, and the bytes between neighbours along it.

    Returns
    -------
    array
        A view.
    """
    if isinstance(x, np.ndarray):
        return np.lib.stride_tricks.as_strided(x, shape, strides, subok=True)
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


@primitive(moves=True)
def windows(xp: Any, x: Any, /, *, axis: int, size: int, step: int) -> Any:
    """Windows of an axis, `size` long and `step` apart, along a new last axis: what overlaps adds its gradients up."""
    length, count = x.shape[axis], (x.shape[axis] - size) // step + 1
    like_x = x

    def places() -> Any:
        at = np.arange(count)[:, None] * step + np.arange(size)
        return xp.asarray(at.reshape(-1), device=like_x.device)

    def grad_x(g: Any) -> Any:
        g = xp.moveaxis(g, -1, axis + 1)
        g = xp.reshape(g, (*g.shape[:axis], count * size, *g.shape[axis + 2 :]))
        return indexing.scatter_add(xp, g, places(), length, axis)

    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :], size)
    if hasattr(x, "strides"):
        along = x.strides[axis]
        strides = (*x.strides[:axis], along * step, *x.strides[axis + 1 :], along)
        return laid_out(xp, x, shape, strides), (grad_x,)
    taken = xp.reshape(xp.take(x, places(), axis=axis), (*x.shape[:axis], count, size, *x.shape[axis + 1 :]))
    return xp.moveaxis(taken, axis + 1, -1), (grad_x,)


@primitive(moves=True)
def strided(xp: Any, x: Any, /, *, shape: tuple, strides: tuple, offset: int) -> Any:
    """Elements of a flat array, `strides` apart along each axis, from `offset` on."""
    like_x, length = x, x.shape[0]

    def places() -> Any:
        at = np.full(shape, offset, np.int64)
        for axis, (n, stride) in enumerate(zip(shape, strides)):
            at += (np.arange(n) * stride).reshape(-1, *(1,) * (len(shape) - axis - 1))
        return xp.asarray(at.reshape(-1), device=like_x.device)

    pullback = (lambda g: indexing.scatter_add(xp, xp.reshape(g, (-1,)), places(), length, 0),)
    if hasattr(x, "strides"):
        steps = tuple(n * x.strides[0] for n in strides)
        return laid_out(xp, x[offset:], shape, steps), pullback
    return xp.reshape(xp.take(x, places(), axis=0), shape), pullback


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of an axis, `size` long and `step` apart, along a new last axis.

    Parameters
    ----------
    input : Tensor
        Of any type.
    dimension, size, step : int
        Which axis, how long a window is, how far one begins after the other.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    RuntimeError
        If no window fits, or step is not positive.
    """
    dim = range(input.ndim)[dimension]
    if not 0 <= size <= input.shape[dim] or step <= 0:
        raise RuntimeError(
            f"`size` must be at most {input.shape[dim]} and `step` > 0, got {size} and {step}; take shorter windows"
        )
    return windows(input, axis=dim, size=size, step=step)


def as_strided(input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Tensor:
    """The memory of a tensor, or of what it is a view of, in other steps.

    Parameters
    ----------
    input : Tensor
        Of any type.
    size, stride : sequence of int
        The length of each axis, and how many elements apart neighbours along it lie.
    storage_offset : int, optional
        Where it begins in the memory; where `input` does, if None.

    Returns
    -------
    Tensor
        A view; of a tensor that lies in memory in another order than PyTorch's, such as a convolution's result, a copy that
        cannot be written to.

    Raises
    ------
    RuntimeError
        If that leaves the memory, or `input` is a view of what lies in another order.
    """
    base = root_of(input)
    start = _first(input) - _first(base)
    if not base.is_contiguous() and base is not input:
        raise RuntimeError(
            f"`as_strided` needs a view of what lies in row-major order, got strides {base.stride()} for the shape "
            f"{tuple(base.shape)}; take .clone() of it first"
        )
    offset = start // base.dtype.itemsize if storage_offset is None else storage_offset
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if len(size) != len(stride) or min((offset, *size, *stride)) < 0 or (0 not in size and last >= base.size):
        raise RuntimeError(
            f"`size` {tuple(size)}, `stride` {tuple(stride)} and `storage_offset` {offset} must be as many, not negative, and "
            f"stay within the {base.size} elements of the memory; take fewer"
        )
    found = strided(base.reshape(-1), shape=tuple(size), strides=tuple(stride), offset=offset)
    return found if base.is_contiguous() else unwritable(found)


def unwritable(x: Tensor) -> Tensor:
    """A copy in the place of a view: what is written to it would be lost, and so is an error.

    Parameters
    ----------
    x : Tensor
        The copy.

    Returns
    -------
    Tensor
        It.
    """
    if isinstance(raw := innermost(x), np.ndarray):
        raw.setflags(write=False)
    return x


def _first(x: Tensor) -> int:
    """The address of the first element, 0 where there are none."""
    raw = innermost(x)
    if isinstance(raw, np.ndarray):
        return raw.__array_interface__["data"][0]
    return raw.data.ptr if hasattr(raw, "strides") else 0
