"""Launchers of `pooling_3x3.cu`: max pooling by 3 × 3 windows, 2 apart and padded by 1, as `pooling.py` uses it where it fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, on_16_bytes, vector_width
from .windows import reciprocal

__all__ = ["max_pool", "max_pool_gradient", "width_of_access"]

THREADS = 256
ROWS = 4  # of windows, that a thread goes down


def _exists(dtype: np.dtype, vector: int) -> bool:
    return vector <= vector_width(dtype)


_forward = Kernel("pooling_3x3.cu", "max_pool_3x3", FLOATS, (4, 8), only=_exists)
_backward = Kernel("pooling_3x3.cu", "max_pool_3x3_gradient", FLOATS, (4, 8), only=_exists)


def width_of_access(image: Any, down: Any, across: Any) -> int:
    """How many neighbouring pixels of `image` (N, C, H, W) one access moves; 0 where these kernels do not fit.

    They fit 3 × 3 windows, 2 apart, behind one row and column of padding, ⌈H/2⌉ × W/2 of them.
    """
    for axis in (down, across):
        wanted = (3, 2, 1, 1)
        if (axis.kernel, axis.stride, axis.before, axis.dilation) != wanted or axis.output != (axis.size + 1) // 2:
            return 0
    widths = (v for v in (8, 4) if v <= vector_width(image.dtype) and across.size % v == 0)
    width = next(widths, 0)
    return width if width and image.size and on_16_bytes(image) and image.size // width < 1 << 31 else 0


def max_pool(x: Any, y: Any, taps: Any, vector: int) -> None:
    """Maxima y of contiguous x, and which of its window's nine each was."""
    _launch(_forward, x, vector, x, y, taps)


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, vector: int) -> None:
    """Gradient of `max_pool`."""
    _launch(_backward, grad_x, vector, g, taps, grad_x)


def _launch(kernel: Kernel, image: Any, vector: int, *arrays: Any) -> None:
    *planes, height, width = image.shape
    chunks, groups = width // vector, math.ceil(math.ceil(height / 2) / ROWS)
    items = math.prod(planes) * groups * chunks
    sizes = map(np.int32, (items, height, width, groups))
    kernel[image.dtype, vector](
        math.ceil(items / THREADS), THREADS, *arrays, *sizes, reciprocal(chunks), reciprocal(groups)
    )
