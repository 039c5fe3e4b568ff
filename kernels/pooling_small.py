"""Launchers of `pooling_small.cu`: pooling by small square windows, as `pooling.py` uses them where no access is whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import columns
from .toolchain.launch import FLOATS, Kernel

__all__ = ["MAXIMA", "MEANS", "avg_pool", "avg_pool_gradient", "fits", "fits_backward", "max_pool", "max_pool_gradient"]

Windows = tuple[tuple[int, int], ...]

MAXIMA = (2, 2), (3, 2), (3, 1)  # sizes and strides of windows
MAXIMA_BACK = (2, 2), (3, 2)  # gradients of others: `pooling_maxima`
MEANS = ((2, 2),)
DOWN, DOWN_MEANS = (4, 10, 14), (4, 10)  # rows of windows that a thread goes down
START = 2  # rows more: so much does it take to begin


def _kernel(name: str, windows: Windows, steps: tuple[int, ...]) -> Kernel:
    axes = (sorted(set(axis)) for axis in zip(*windows))
    return Kernel("pooling_small.cu", name, FLOATS, *axes, steps, only=lambda _, k, s, down: (k, s) in windows)


_maxima = _kernel("max_pool_small", MAXIMA, DOWN)
_maxima_gradient = _kernel("max_pool_small_gradient", MAXIMA_BACK, DOWN)
_means = _kernel("avg_pool_small", MEANS, DOWN_MEANS)
_means_gradient = _kernel("avg_pool_small_gradient", MEANS, DOWN_MEANS)


def fits(image: Any, down: Any, across: Any, windows: Windows = MAXIMA) -> bool:
    """Whether these kernels are for `image` (N, C, H, W) with such windows."""
    return columns.fits(image, down, across, windows)


def fits_backward(image: Any, down: Any, across: Any) -> bool:
    """Whether they are for the gradient of maxima with regard to `image`."""
    return columns.fits(image, down, across, MAXIMA_BACK)


def max_pool(x: Any, y: Any, taps: Any, down: Any, across: Any) -> None:
    """Maxima y of contiguous x, and which of its window each was."""
    _launch(_maxima, (x, y, taps), down, across, down.output, across.output)


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, down: Any, across: Any) -> None:
    """Gradient of `max_pool`."""
    _launch(_maxima_gradient, (g, taps, grad_x), down, across, _cells(down), _cells(across))


def avg_pool(x: Any, y: Any, down: Any, across: Any, padded: bool, divisor: int) -> None:
    """Means y of contiguous x: sums over the divisor, or (0) over how many elements count."""
    count = _count(down, across, padded, divisor)
    _launch(_means, (x, y), down, across, down.output, across.output, *count)


def avg_pool_gradient(g: Any, grad_x: Any, down: Any, across: Any, padded: bool, divisor: int) -> None:
    """Gradient of `avg_pool`."""
    count = _count(down, across, padded, divisor)
    _launch(_means_gradient, (g, grad_x), down, across, _cells(down), _cells(across), *count)


def _count(down: Any, across: Any, padded: bool, divisor: int) -> tuple[np.bool_, np.float32]:
    """Whether the padding counts, and what all windows divide by: 0 if they do not by the same."""
    full = all((a.output - 1) * a.stride + a.kernel - a.before <= a.size + padded * a.before for a in (down, across))
    if not divisor and full and (padded or not down.before + across.before):
        divisor = down.kernel * across.kernel
    return np.bool_(padded), np.float32(divisor)


def _cells(axis: Any) -> int:
    """Along an axis: of `stride` pixels each, from the one with the first pixel to the one with the last."""
    return (axis.size - 1 + axis.before) // axis.stride - axis.before // axis.stride + 1


def _launch(kernel: Kernel, arrays: tuple, down: Any, across: Any, rows: int, width: int, *count: np.generic) -> None:
    dtype, window, steps = arrays[0].dtype, (across.kernel, across.stride), DOWN_MEANS if count else DOWN
    columns.launch(lambda step: kernel[(dtype, *window, step)], steps, START, arrays, down, across, rows, width, *count)
