"""Launchers of `pooling_same.cu`, as `pooling.py` uses it where it fits: 3 × 3 windows, 1 apart and padded by 1."""

from __future__ import annotations

from typing import Any

from . import strip
from .toolchain.launch import FLOATS, Kernel

__all__ = ["avg_pool", "avg_pool_gradient", "max_pool_gradient", "width_of_access"]

_maxima_gradient = Kernel("pooling_same.cu", "max_pool_same_gradient", FLOATS, (4, 8), only=strip.exists)
_means = Kernel("pooling_same.cu", "avg_pool_same", FLOATS, (4, 8), (False, True), (False, True), only=strip.exists)


def width_of_access(image: Any, down: Any, across: Any) -> int:
    """How many neighbouring pixels of `image` (N, C, H, W) one access moves; 0 where these kernels do not fit.

    They fit 3 × 3 windows, 1 apart, behind one row and column of padding, H × W of them.
    """
    for axis in (down, across):
        if (axis.kernel, axis.stride, axis.before, axis.dilation) != (3, 1, 1, 1) or axis.output != axis.size:
            return 0
    return strip.width_of_access(image)


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, vector: int) -> None:
    """Gradient of maxima: of g, with which of its window's nine each maximum was."""
    strip.launch(_maxima_gradient[g.dtype, vector], g, g.shape[2], vector, g, taps, grad_x)


def avg_pool(x: Any, y: Any, vector: int, divisor: int) -> None:
    """Means y of contiguous x: sums over the divisor, or (0) over how many pixels of the image each window covers."""
    strip.launch(_means[x.dtype, vector, False, divisor != 0], x, x.shape[2], vector, x, y, divisor=divisor)


def avg_pool_gradient(g: Any, grad_x: Any, vector: int, divisor: int) -> None:
    """Gradient of `avg_pool`."""
    strip.launch(_means[g.dtype, vector, True, divisor != 0], g, g.shape[2], vector, g, grad_x, divisor=divisor)
