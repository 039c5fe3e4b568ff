"""Launchers of `pooling_means.cu`: means of windows, as `pooling.py` uses them where rows are not too long."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .toolchain.launch import FLOATS, Kernel
from .windows import reciprocal

__all__ = ["Even", "fits", "fits_backward", "means", "means_gradient"]

THREADS = 256
LINES = 4  # rows of windows that a thread adds columns for
DOWN = 16  # rows of pixels that a thread goes down
WIDTH = 2048  # pixels of a row, whose sums fit shared memory
HEIGHT = 64  # rows of a window that one thread adds

_forward = Kernel("pooling_means.cu", "window_means", FLOATS, (False, True))
_backward = Kernel("pooling_means.cu", "window_means_gradient", FLOATS, (False, True))


class Even(NamedTuple):
    """Windows that cover an axis evenly, in the words of those that slide."""

    size: int
    output: int
    stride: int = 1
    before: int = 0

    @property
    def kernel(self) -> int:
        """Elements of the longest."""
        return -(-self.size // self.output) + (self.size % self.output > 0)


def fits(image: Any, down: Any, across: Any) -> bool:
    """Whether these kernels are for images (N, C, H, W) with such windows."""
    most = math.prod(image.shape[:2]) * max(down.output, 1)
    return image.size > 0 and across.size <= WIDTH and down.kernel <= HEIGHT and 0 < most < 1 << 31


def fits_backward(image: Any, down: Any, across: Any) -> bool:
    """Whether two windows at most have a pixel, along either axis."""
    return 0 < image.size < 1 << 31 and all(
        a.output <= a.size if isinstance(a, Even) else a.kernel <= 2 * a.stride for a in (down, across)
    )


def means(x: Any, y: Any, down: Any, across: Any, padded: bool = True, divisor: int = 0) -> None:
    """Means y of contiguous x: sums over the divisor, or (0) over how many elements count."""
    lines = math.prod(y.shape[:3])
    groups = max(1, THREADS // across.size)
    _forward[x.dtype, isinstance(down, Even)](
        math.ceil(lines / (groups * LINES)),
        THREADS,
        x,
        y,
        np.int32(lines),
        np.int32(groups),
        *_geometry(down, across, padded, _divisor(down, across, padded, divisor)),
        reciprocal(down.output),
        reciprocal(across.output),
        reciprocal(across.size),
        shared=groups * LINES * ((across.size | 1) + 1) * 4,
    )


def means_gradient(g: Any, grad_x: Any, down: Any, across: Any, padded: bool = True, divisor: int = 0) -> None:
    """Gradient of `means`."""
    groups, divisor = math.ceil(down.size / DOWN), _divisor(down, across, padded, divisor)
    items = math.prod(g.shape[:2]) * groups * across.size
    _backward[g.dtype, isinstance(down, Even)](
        math.ceil(items / THREADS),
        THREADS,
        g,
        grad_x,
        np.int32(items),
        np.int32(groups),
        *_geometry(down, across, padded, divisor),
        np.float32(1 / (divisor or 1)),
        reciprocal(down.output),
        reciprocal(across.output),
        reciprocal(across.size),
        reciprocal(groups),
        reciprocal(down.stride),
        reciprocal(across.stride),
    )


def _geometry(down: Any, across: Any, padded: bool, divisor: int) -> tuple:
    pairs = ((a.size, a.output, a.kernel, a.stride, a.before) for a in (down, across))
    return *(np.int32(n) for pair in zip(*pairs) for n in pair), np.bool_(padded), np.int32(divisor)


def _divisor(down: Any, across: Any, padded: bool, divisor: int) -> int:
    """What all windows divide by, if they do by the same; else 0."""
    if divisor or isinstance(down, Even) or not (_is_full(down, padded) and _is_full(across, padded)):
        return divisor
    return down.kernel * across.kernel


def _is_full(axis: Any, padded: bool) -> bool:
    """Whether all windows count as many elements as they have."""
    beyond = (axis.output - 1) * axis.stride + axis.kernel - axis.before > axis.size + padded * axis.before
    return not beyond and (padded or not axis.before)
