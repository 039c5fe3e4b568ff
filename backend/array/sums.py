"""Sums that do not drift: float32 with a relative error below 10⁻⁶ along any axis, half precision in float32.

NumPy adds in pairs along the axis that is fastest in memory, and one term after the other along all others, as a thread
of a GPU does: in float32 the mean of 10⁶ rows of 0.1 is 0.101 then. Here such an axis is cut into runs of a few terms,
whose sums are summed in the same way: the error grows with the logarithm of the length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..device import dtypes
from ..tape.tensor import Tensor

__all__ = ["FEW", "axes_of", "is_half", "paired", "running_total", "total"]

FEW = 64  # terms that are added one after the other: an error of 6 · 10⁻⁷ at most
RUN = 16  # terms of a run
WIDTH = 1 << 12  # elements of a run's sums, which stay in cache while its terms are added
FEW_PER_BLOCK = 1 << 10  # terms that a GPU adds in sixteen threads or more

_reduce: Any = np.add.reduce  # whose overloads have no room for what is known at run time


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes as non-negative integers."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis)) if ndim else ()


def is_half(dtype: Any) -> bool:
    """Whether this is float16 or bfloat16."""
    return _bytes(dtype) == 2 and dtypes.is_real_floating(dtype)


def _bytes(dtype: Any) -> int:
    """Of one element; other libraries' dtypes have but a name."""
    return np.dtype(dtype if isinstance(dtype, np.dtype | type) else str(dtype).rpartition(".")[2]).itemsize


def total(xp: Any, x: Any, axis: Any = None, *, dtype: Any = None, keepdims: bool = False) -> Any:
    """Σ x over `axis`, as the array API's `sum`; rounded once to half precision, if that is what is asked for."""
    to = x.dtype if dtype is None else dtype
    if isinstance(x, Tensor) or dtypes.is_integral(to):
        return xp.sum(x, axis=axis, dtype=dtype, keepdims=keepdims)
    if is_half(to):
        return xp.astype(total(xp, xp.astype(x, xp.float32), axis, keepdims=keepdims), to)
    if x.dtype != to:
        x = xp.astype(x, to)
    if isinstance(x, np.ndarray):
        return paired(x, axis, keepdims)
    return _of_others(xp, x, axes_of(axis, x.ndim), keepdims)


def running_total(xp: Any, x: Any, axis: int, *, dtype: Any = None, include_initial: bool = False) -> Any:
    """The array API's `cumulative_sum`, of float32 and less in float64: running sums have no pairs."""
    to = x.dtype if dtype is None else dtype
    if isinstance(x, Tensor) or not dtypes.is_real_floating(to) or _bytes(to) == 8:
        return xp.cumulative_sum(x, axis=axis, dtype=dtype, include_initial=include_initial)
    y = xp.cumulative_sum(xp.astype(x, xp.float64), axis=axis, include_initial=include_initial)
    return xp.astype(y, to)


def paired(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`np.add.reduce`, as accurate along any axis as along the fastest."""
    if x.size <= FEW or x.ndim == 1 or (axis is None and x.flags.forc):  # one long axis
        return _reduce(x, axis=axis, keepdims=keepdims)
    axes = axes_of(axis, x.ndim)
    if math.prod([x.shape[a] for a in axes]) <= FEW:
        return _reduce(x, axis=axis, keepdims=keepdims)
    if len(axes) == 1 and x.flags.c_contiguous:
        y = _along(x, axes[0])
        return y.reshape(*x.shape[: axes[0]], 1, *x.shape[axes[0] + 1 :]) if keepdims else y
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))  # slow to fast in memory
    merged: list[tuple[int, int, bool]] = []  # length, stride, whether it is reduced: neighbours of a kind are one axis
    for i in order:
        n, stride, reduced = x.shape[i], x.strides[i], i in axes
        if merged and merged[-1][1:] == (n * stride, reduced):
            merged[-1] = merged[-1][0] * n, stride, reduced
        elif n > 1:
            merged.append((n, stride, reduced))
    y = x.transpose(order).reshape([n for n, _, _ in merged])
    for i in range(len(merged) - 1, -1, -1):
        if merged[i][2]:
            y = _along(y, i)
    y = y.reshape([1 if i in axes else x.shape[i] for i in order]).transpose(np.argsort(order).tolist())
    return y if keepdims else np.squeeze(y, axis=axes)


def _along(x: Any, axis: int) -> Any:
    """The sum along one axis of what lies in memory in the order of its axes."""
    n, before, after = x.shape[axis], x.shape[:axis], x.shape[axis + 1 :]
    if n <= FEW or not after:
        return _reduce(x, axis=axis)
    width = max(1, min(WIDTH // math.prod(after), n // RUN))  # slices side by side make the inner loop long
    head = n - n % (RUN * width)
    key = (slice(None),) * axis
    runs = x[(*key, slice(head))].reshape(*before, head // (RUN * width), RUN, width, *after)  # a view
    y = _along(_reduce(runs, axis=axis + 1).reshape(*before, head // RUN, *after), axis)
    return y if head == n else y + _along(x[(*key, slice(head, None))], axis)


def _of_others(xp: Any, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    flags = getattr(x, "flags", None)
    whole = len(axes) == x.ndim and flags is not None and flags.c_contiguous  # by a grid of blocks
    longest = max(axes, key=lambda a: x.shape[a], default=None)
    if whole or longest is None or x.shape[longest] <= FEW_PER_BLOCK or _bytes(x.dtype) == 8:
        return xp.sum(x, axis=axes, keepdims=keepdims)
    n, key, run = x.shape[longest], (slice(None),) * longest, FEW_PER_BLOCK // 16
    width = n // run
    runs = xp.reshape(x[(*key, slice(run * width), ...)], (*x.shape[:longest], run, width, *x.shape[longest + 1 :]))
    y = _of_others(xp, xp.sum(runs, axis=longest), axes, keepdims)
    if run * width < n:
        y = y + xp.sum(x[(*key, slice(run * width, None), ...)], axis=axes, keepdims=keepdims)
    return y
