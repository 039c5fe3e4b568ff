"""Launchers of `pooling_3x3.cu`: max pooling by 3 × 3 windows, 2 apart and padded by 1, as `pooling.py` uses it where it fits."""

from __future__ import annotations

from typing import Any

from . import strip
from .toolchain.launch import FLOATS, Kernel

__all__ = ["max_pool", "max_pool_gradient", "width_of_access"]

_forward = Kernel("pooling_3x3.cu", "max_pool_3x3", FLOATS, (4, 8), only=strip.exists)
_backward = Kernel("pooling_3x3.cu", "max_pool_3x3_gradient", FLOATS, (4, 8), only=strip.exists)


def width_of_access(image: Any, down: Any, across: Any) -> int:
    """How many neighbouring pixels of `image` (N, C, H, W) one access moves; 0 where these kernels do not fit.

    They fit 3 × 3 windows, 2 apart, behind one row and column of padding, ⌈H/2⌉ × W/2 of them.
    """
    for axis in (down, across):
        wanted = (3, 2, 1, 1)
        if (axis.kernel, axis.stride, axis.before, axis.dilation) != wanted or axis.output != (axis.size + 1) // 2:
            return 0
    return strip.width_of_access(image)


def max_pool(x: Any, y: Any, taps: Any, vector: int) -> None:
    """Maxima y of contiguous x, and which of its window's nine each was."""
    strip.launch(_forward[x.dtype, vector], x, y.shape[2], vector, x, y, taps)


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, vector: int) -> None:
    """Gradient of `max_pool`."""
    strip.launch(_backward[g.dtype, vector], grad_x, g.shape[2], vector, g, taps, grad_x)
