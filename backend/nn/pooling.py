"""Pooling over the last two axes of x (N, C, H, W): maxima and means of windows, with PyTorch's sizes and conventions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..array.sums import FEW, total
from ..device.gemm import gemm
from ..tape.autograd import primitive

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]

Pair = tuple[int, ...]


class Axis(NamedTuple):
    """Windows along one axis: window o covers o·stride + i·dilation − before, i < kernel, of an image of `size`."""

    size: int
    output: int
    kernel: int
    stride: int
    before: int
    dilation: int

    @property
    def padded(self) -> int:
        """Length from the start of the first window to the end of the last."""
        return max((self.output - 1) * self.stride + self.dilation * (self.kernel - 1) + 1, 0)

    def tap(self, i: int) -> slice:
        """What element i of every window is, in the padded image."""
        start = i * self.dilation
        return slice(start, start + (self.output - 1) * self.stride + 1 if self.output else start, self.stride)

    def counts(self, include_pad: bool) -> np.ndarray:
        """How many elements each window averages: the padding counts if asked, what `ceil_mode` adds beyond it never does."""
        starts = np.arange(self.output) * self.stride - self.before
        ends = np.minimum(starts + self.kernel, self.size + self.before)
        return ends - starts if include_pad else np.minimum(ends, self.size) - np.maximum(starts, 0)


def windows(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many there are along an axis of length n: ⌊(n + 2P − D(K − 1) − 1)/S⌋ + 1. With `ceil_mode` ⌈…⌉, if the last one
    starts inside the image or its left padding."""
    reach = n + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return reach // stride + 1
    output = -(-reach // stride) + 1
    return output - ((output - 1) * stride >= n + padding)


def window_axes(
    x: Any, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Axis, Axis]:
    """The windows down and across."""
    sizes = zip(x.shape[2:], kernel_size, stride, padding, dilation)
    down, across = (Axis(n, windows(n, k, s, p, d, ceil_mode), k, s, p, d) for n, k, s, p, d in sizes)
    return down, across


def _padded(xp: Any, x: Any, down: Axis, across: Axis, fill: float) -> Any:
    """The part of the image that windows see, and `fill` where there is none."""
    for axis, a in ((2, down), (3, across)):
        pieces = [x]
        for at, n in ((0, a.before), (len(pieces) + bool(a.before), a.padded - a.before - a.size)):
            if n > 0:
                shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
                pieces.insert(at, xp.full(shape, fill, dtype=x.dtype))
        x = xp.concat(pieces, axis=axis) if len(pieces) > 1 else x
        x = x[(..., slice(0, a.padded), *(slice(None),) * (3 - axis))]
    return x


def _scattered(xp: Any, parts: Any, x: Any, down: Axis, across: Axis) -> Any:
    """Σ over taps of parts[tap] where the tap reads the image: the adjoint of taking the taps."""
    height, width = max(down.padded, down.before + down.size), max(across.padded, across.before + across.size)
    grad = xp.zeros((*x.shape[:2], height, width), dtype=x.dtype)
    for key, part in parts:
        grad[key] = grad[key] + part
    return grad[:, :, down.before : down.before + down.size, across.before : across.before + across.size]


def taps(down: Axis, across: Axis) -> list[tuple]:
    """The index of each tap, row by row."""
    return [
        (slice(None), slice(None), down.tap(i), across.tap(j)) for i in range(down.kernel) for j in range(across.kernel)
    ]


@primitive
def max_pool2d(
    xp: Any,
    x: Any,
    /,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of x (N, C, H, W): y (N, C, Ho, Wo); padding is −∞, and NaN wins.

    With `return_indices` also where it was found, as an index into the flattened (H, W) of its image. The gradient goes to
    the first maximum of the window, as in PyTorch.
    """
    down, across = window_axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    source, keys = _padded(xp, x, down, across, -math.inf), taps(down, across)
    y = source[keys[0]]
    first = xp.zeros(y.shape, dtype=xp.int64)
    for t, key in enumerate(keys[1:], 1):
        better = (source[key] > y) | (xp.isnan(source[key]) & ~xp.isnan(y))
        y = xp.where(better, source[key], y)
        first = xp.where(better, xp.full_like(first, t), first)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = g[0] if return_indices else g
        parts = ((key, xp.where(first == t, g, xp.zeros_like(g))) for t, key in enumerate(keys))
        return (_scattered(xp, parts, x, down, across),)

    if not return_indices:
        return y, vjp
    i, j = first // across.kernel, first % across.kernel
    rows = xp.arange(down.output)[:, None] * down.stride - down.before + i * down.dilation
    columns = xp.arange(across.output) * across.stride - across.before + j * across.dilation
    return (y, rows * across.size + columns), vjp


@primitive
def avg_pool2d(
    xp: Any,
    x: Any,
    /,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of x (N, C, H, W): y (N, C, Ho, Wo).

    Zeros of the padding are counted unless `count_include_pad=False`; `divisor_override` replaces the count.
    """
    down, across = window_axes(x, kernel_size, stride, padding, (1, 1), ceil_mode)
    source, keys = _padded(xp, x, down, across, 0.0), taps(down, across)
    counts = np.outer(down.counts(count_include_pad), across.counts(count_include_pad))
    share = xp.astype(
        xp.asarray(1 / (counts if divisor_override is None else np.full_like(counts, divisor_override))), x.dtype
    )
    y = source[keys[0]]
    for key in keys[1:]:
        y = y + source[key]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        part = g * share
        return (_scattered(xp, ((key, part) for key in keys), x, down, across),)

    return y * share, vjp


@primitive
def adaptive_avg_pool2d(xp: Any, x: Any, /, *, output_size: Pair) -> Any:
    """Means over windows that cover x (N, C, H, W) evenly: y (N, C, Ho, Wo).

    Window i of n along an axis of length H is [⌊i·H/n⌋, ⌈(i + 1)·H/n⌉). Means along an axis are a matrix, hence
    y = A x Bᵀ and grad_x = Aᵀ g B.
    """
    a, b = (xp.astype(xp.asarray(_averages(n, o)), x.dtype) for n, o in zip(x.shape[2:], output_size))
    y = xp.matrix_transpose(_means(xp, xp.matrix_transpose(_means(xp, x, b)), a))
    return y, (lambda g: gemm(xp, gemm(xp, xp.matrix_transpose(a), g), b),)


def _means(xp: Any, x: Any, averages: Any) -> Any:
    """x Aᵀ; long windows one by one, since products drift."""
    output, n = averages.shape
    if n <= FEW * output:
        return gemm(xp, x, xp.matrix_transpose(averages))
    windows = [(i * n // output, -(-(i + 1) * n // output)) for i in range(output)]
    means = [total(xp, x[..., start:end], -1, keepdims=True) / (end - start) for start, end in windows]
    return xp.concat(means, axis=-1)


def _averages(size: int, output: int) -> np.ndarray:
    """Row i averages window i."""
    windows = np.arange(output)
    start, end = windows * size // output, -(-(windows + 1) * size // output)
    inside = (np.arange(size) >= start[:, None]) & (np.arange(size) < end[:, None])
    return inside / (end - start)[:, None]
