"""Launchers of `pooling_2x2.cu`: pooling by 2 × 2 windows side by side, as `pooling.py` uses them where they fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, on_16_bytes, vector_width
from .windows import reciprocal

__all__ = ["avg_pool", "avg_pool_gradient", "max_pool", "max_pool_gradient", "width_of_access"]

THREADS = 256


def _exists(dtype: np.dtype, vector: int) -> bool:
    return vector <= vector_width(dtype)


_kernels = {
    name: Kernel("pooling_2x2.cu", name, FLOATS, (4, 8), only=_exists)
    for name in ("max_pool_2x2", "max_pool_2x2_gradient", "avg_pool_2x2", "avg_pool_2x2_gradient")
}


def width_of_access(image: Any, down: Any, across: Any) -> int:
    """How many neighbouring pixels of `image` (N, C, H, W) one access moves; 0 where these kernels do not fit.

    They fit 2 × 2 windows, 2 apart, without padding or dilation, whose planes have no row or column left over.
    """
    for axis in (down, across):
        if (axis.kernel, axis.stride, axis.before, axis.dilation) != (2, 2, 0, 1) or axis.size != 2 * axis.output:
            return 0
    widths = (v for v in (8, 4) if v <= vector_width(image.dtype) and across.size % v == 0)
    width = next(widths, 0)
    return width if width and on_16_bytes(image) and image.size // (2 * width) < 1 << 31 else 0


def max_pool(x: Any, y: Any, taps: Any, vector: int) -> None:
    """Maxima y of contiguous x, and which of its window's four each was."""
    _launch("max_pool_2x2", x, vector, x, y, taps)


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, vector: int) -> None:
    """Gradient of `max_pool`."""
    _launch("max_pool_2x2_gradient", grad_x, vector, g, taps, grad_x)


def avg_pool(x: Any, y: Any, vector: int) -> None:
    """Means y of contiguous x."""
    _launch("avg_pool_2x2", x, vector, x, y)


def avg_pool_gradient(g: Any, grad_x: Any, vector: int) -> None:
    """Gradient of `avg_pool`."""
    _launch("avg_pool_2x2_gradient", grad_x, vector, g, grad_x)


def _launch(name: str, image: Any, vector: int, *arrays: Any) -> None:
    chunks, width = image.size // (2 * vector), image.shape[-1]
    _kernels[name][image.dtype, vector](
        math.ceil(chunks / THREADS), THREADS, *arrays, np.int32(chunks), np.int32(width), reciprocal(width // vector)
    )
