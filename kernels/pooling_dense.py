"""Launchers of `pooling_dense.cu`: maxima of windows 1 apart, as `pooling.py` uses them where no access is whole."""

from __future__ import annotations

from typing import Any

from . import columns
from .toolchain.launch import FLOATS, Kernel

__all__ = ["fits", "max_pool", "max_pool_gradient"]

SIZES = 3, 5
DOWN = 4, 16  # rows that a thread goes down

_forward = Kernel("pooling_dense.cu", "max_pool_dense", FLOATS, SIZES, DOWN)
_backward = Kernel("pooling_dense.cu", "max_pool_dense_gradient", FLOATS, SIZES, DOWN)


def fits(image: Any, down: Any, across: Any) -> bool:
    """Whether these kernels are for `image` (N, C, H, W) with such windows."""
    return columns.fits(image, down, across, tuple([(size, 1) for size in SIZES]))


def max_pool(x: Any, y: Any, taps: Any, down: Any, across: Any) -> None:
    """Maxima y of contiguous x, and which of its window each was."""
    _launch(_forward, (x, y, taps), down, across, down.output, across.output)


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, down: Any, across: Any) -> None:
    """Gradient of `max_pool`."""
    _launch(_backward, (g, taps, grad_x), down, across, down.size, across.size)


def _launch(kernel: Kernel, arrays: tuple, down: Any, across: Any, rows: int, width: int) -> None:
    size, dtype = across.kernel, arrays[0].dtype
    columns.launch(lambda step: kernel[dtype, size, step], DOWN, size - 1, arrays, down, across, rows, -(-width // 2))
