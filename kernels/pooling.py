"""Launchers of `pooling.cu`: maxima and means of windows, and their gradients.

`down` and `across` are the windows along an axis each. They are hashable and have `size`, `output`, `kernel`, `stride`,
`before`, `dilation`: window o covers o·stride + i·dilation − before, i < kernel, of an image of `size`. There are at most
2³⁰ planes, with at most 2³⁰ pixels; windows are at most 2²⁹ apart.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import (
    pooling_2x2,
    pooling_3x3,
    pooling_maxima,
    pooling_means,
    pooling_running,
    pooling_same,
    pooling_small,
    pooling_strided,
)
from .toolchain.launch import FLOATS, Kernel, empty, on_16_bytes
from .toolchain.settings import settings
from .windows import Even, reciprocal, steps

__all__ = [
    "adaptive_avg_pool",
    "adaptive_avg_pool_gradient",
    "avg_pool",
    "avg_pool_gradient",
    "max_pool",
    "max_pool_gradient",
]

SPECIAL = pooling_2x2, pooling_3x3  # kernels for the windows that most networks have
SPECIAL_BACKWARD = *SPECIAL, pooling_same
ANY_SIZE = pooling_running, pooling_maxima, pooling_small  # and for more of them, the first that fits
ANY_SIZE_BACKWARD = pooling_maxima, pooling_small, pooling_strided
THREADS = 256
PLANES = 4  # that a thread works on together
FEW = 1024  # pixels of a window that a warp adds, rather than a block, or (of a whole plane) a few threads
BUSY = 64  # warps keep a multiprocessor busy
MOST = 1 << 30  # numbers that a launch makes, each a thread's own or a warp's
PIXELS = 8192  # that a block writes, or a few more
BLOCKS = 16  # enough to keep a multiprocessor busy: beyond that, threads share index arithmetic instead
TAPS = (np.dtype(np.uint8), np.dtype(np.int32))  # which tap of its window a maximum was

_max_pool = Kernel("pooling.cu", "max_pool", FLOATS, TAPS)
_max_pool_gradient = Kernel("pooling.cu", "max_pool_gradient", FLOATS, TAPS)
_window_mean = Kernel("pooling.cu", "window_mean", FLOATS)
_window_mean_gradient = Kernel("pooling.cu", "window_mean_gradient", FLOATS)
_global_avg_pool_of_few = Kernel("pooling.cu", "global_avg_pool_of_few", FLOATS)
_global_avg_pool_gradient = Kernel("pooling.cu", "global_avg_pool_gradient", FLOATS)

Pair = tuple[int, int]


def max_pool(x: Any, down: Any, across: Any, *, return_indices: bool = False) -> tuple[Any, Any, Any]:
    """Maxima of the windows of contiguous x (N, C, H, W), which tap of its window each was, and (or None) which pixel.

    All are (N, C, Ho, Wo), in x's dtype, uint8 (int32 if windows have more than 256 taps) and int64; pixels are counted
    through the flattened (H, W).
    """
    shape = (*x.shape[:2], down.output, across.output)
    taps_dtype = TAPS[down.kernel * across.kernel > 256]
    y, taps = empty(shape, x.dtype, like=x), empty(shape, taps_dtype, like=x)
    indices = empty(shape, np.int64, like=x) if return_indices else None
    for special in () if return_indices else SPECIAL:
        if vector := special.width_of_access(x, down, across):
            special.max_pool(x, y, taps, vector)
            return y, taps, None
    for any_size in () if return_indices else ANY_SIZE:
        if any_size.fits(x, down, across):
            any_size.max_pool(x, y, taps, down, across)
            return y, taps, None
    planes = math.prod(shape[:2])
    _max_pool[x.dtype, taps_dtype](
        _grid(math.prod(shape[2:]), planes), THREADS, x, y, taps, indices, np.int32(planes), *_geometry(down, across)
    )
    return y, taps, indices


def max_pool_gradient(g: Any, taps: Any, down: Any, across: Any) -> Any:
    """Gradient (N, C, H, W) of `max_pool` from contiguous g and taps (N, C, Ho, Wo)."""
    grad_x, planes = _image(g, down, across)
    for special in SPECIAL_BACKWARD if on_16_bytes(g, taps) else ():
        if vector := special.width_of_access(grad_x, down, across):
            special.max_pool_gradient(g, taps, grad_x, vector)
            return grad_x
    for any_size in ANY_SIZE_BACKWARD:
        if any_size.fits_backward(grad_x, down, across):
            any_size.max_pool_gradient(g, taps, grad_x, down, across)
            return grad_x
    _max_pool_gradient[g.dtype, taps.dtype](
        _grid(down.size * across.size, planes),
        THREADS,
        g,
        taps,
        grad_x,
        np.int32(planes),
        *_geometry(down, across),
        *_steps(down, across),
        reciprocal(down.stride),
        reciprocal(across.stride),
    )
    return grad_x


def avg_pool(x: Any, down: Any, across: Any, count_include_pad: bool = True, divisor: int | None = None) -> Any:
    """Means (N, C, Ho, Wo) of the windows of contiguous x (N, C, H, W): Σ / divisor, or / how many elements count.

    Those of the padding count with `count_include_pad`, those beyond it never. The windows are not dilated.
    """
    y = empty((*x.shape[:2], down.output, across.output), x.dtype, like=x)
    if divisor in (None, 4) and (vector := pooling_2x2.width_of_access(x, down, across)):
        pooling_2x2.avg_pool(x, y, vector)
    elif vector := pooling_same.width_of_access(x, down, across):
        pooling_same.avg_pool(x, y, vector, divisor or 9 * count_include_pad)
    elif pooling_small.fits(x, down, across, pooling_small.MEANS):
        pooling_small.avg_pool(x, y, down, across, count_include_pad, divisor or 0)
    else:
        _means(x, y, down, across, count_include_pad, divisor or 0)
    return y


def avg_pool_gradient(
    g: Any, down: Any, across: Any, count_include_pad: bool = True, divisor: int | None = None
) -> Any:
    """Gradient (N, C, H, W) of `avg_pool` from contiguous g (N, C, Ho, Wo)."""
    grad_x, _ = _image(g, down, across)
    if divisor in (None, 4) and on_16_bytes(g) and (vector := pooling_2x2.width_of_access(grad_x, down, across)):
        pooling_2x2.avg_pool_gradient(g, grad_x, vector)
    elif on_16_bytes(g) and (vector := pooling_same.width_of_access(grad_x, down, across)):
        pooling_same.avg_pool_gradient(g, grad_x, vector, divisor or 9 * count_include_pad)
    elif pooling_small.fits(grad_x, down, across, pooling_small.MEANS):
        pooling_small.avg_pool_gradient(g, grad_x, down, across, count_include_pad, divisor or 0)
    else:
        _means_gradient(g, grad_x, down, across, count_include_pad, divisor or 0)
    return grad_x


def adaptive_avg_pool(x: Any, output_size: Pair) -> Any:
    """Means (N, C, Ho, Wo) over windows that cover contiguous x (N, C, H, W) evenly; H·(Ho + 1) is less than 2³¹."""
    h, w = x.shape[2:]
    y = empty((*x.shape[:2], *output_size), x.dtype, like=x)
    if y.size and tuple(output_size) == (1, 1):
        _global(x, y, y.size, h * w)
    elif y.size:
        _means(x, y, Even(h, output_size[0]), Even(w, output_size[1]))
    return y


def adaptive_avg_pool_gradient(g: Any, size: Pair) -> Any:
    """Gradient (N, C, H, W), with (H, W) = size, of `adaptive_avg_pool` from contiguous g (N, C, Ho, Wo)."""
    grad_x = empty((*g.shape[:2], *size), g.dtype, like=g)
    if grad_x.size and g.shape[2:] == (1, 1):
        _global_gradient(g, grad_x, math.prod(g.shape[:2]), math.prod(size))
    elif grad_x.size:
        _means_gradient(g, grad_x, Even(size[0], g.shape[2]), Even(size[1], g.shape[3]))
    return grad_x


def _means(x: Any, y: Any, down: Any, across: Any, padded: bool = True, divisor: int = 0) -> None:
    if how := pooling_means.plan(x, down, across):
        pooling_means.means(x, y, how, down, across, padded, divisor)
        return
    geometry = pooling_means.geometry(down, across, padded, divisor)
    is_long = down.kernel * across.kernel >= FEW
    for images, means in _pieces(x, y):
        is_alone = is_long and means.size < BUSY * settings.multiprocessors  # else there are windows enough
        lanes = THREADS if is_alone else 32
        _window_mean[x.dtype](
            math.ceil(means.size * lanes / THREADS),
            THREADS,
            images,
            means,
            np.int32(means.size),
            np.int32(lanes),
            *geometry,
            reciprocal(down.output),
            reciprocal(across.output),
        )


def _means_gradient(g: Any, grad_x: Any, down: Any, across: Any, padded: bool = True, divisor: int = 0) -> None:
    if how := pooling_means.plan_backward(grad_x, down, across):
        pooling_means.means_gradient(g, grad_x, how, down, across, padded, divisor)
        return
    geometry = pooling_means.geometry_backward(down, across, padded, divisor)
    for grads, images in _pieces(g, grad_x):
        _window_mean_gradient[g.dtype](
            math.ceil(images.size / THREADS),
            THREADS,
            grads,
            images,
            np.int32(images.size),
            *geometry,
            reciprocal(down.size),
            reciprocal(across.size),
        )


def _pieces(read: Any, written: Any) -> Iterator[tuple[Any, Any]]:
    """The planes of two arrays (N, C, …), so many at a time that no more than MOST numbers are written."""
    read, written = (a.reshape(math.prod(a.shape[:2]), *a.shape[2:]) for a in (read, written))
    together = MOST // max(1, math.prod(written.shape[1:]))
    for first in range(0, written.size and len(written), together):
        yield read[first:], written[first : first + together]


def _global(x: Any, y: Any, planes: int, area: int) -> None:
    if area >= FEW:
        _means(x.reshape(*x.shape[:2], 1, area), y, Even(1, 1), Even(area, 1))
        return
    lanes = min(32, 1 << max(0, (area // 16).bit_length() - 1))  # of which each has 16 pixels or more
    together = THREADS // lanes
    sizes = np.int64(planes), np.int32(area), np.int32(lanes.bit_length() - 1), np.float32(1 / area)
    _global_avg_pool_of_few[x.dtype](
        math.ceil(planes / together), THREADS, x, y, *sizes, shared=-(-together * area * x.itemsize // 16) * 16
    )


def _global_gradient(g: Any, grad_x: Any, planes: int, area: int) -> None:
    together = _planes_together(area)
    sizes = np.int64(planes), np.int32(area), np.int32(together), np.float32(1 / area), reciprocal(area)
    shared = (together + 16 // g.itemsize) * g.itemsize
    _global_avg_pool_gradient[g.dtype](math.ceil(planes / together), THREADS, g, grad_x, *sizes, shared=shared)


def _planes_together(area: int) -> int:
    """Of how many planes a block writes the gradient: of eight or more, to begin on 16 bytes, unless these are beyond 31 bits."""
    together = 8 * math.ceil(PIXELS / 8 / area)
    return together if together * area <= MOST else 1


def _image(g: Any, down: Any, across: Any) -> tuple[Any, int]:
    return empty((*g.shape[:2], down.size, across.size), g.dtype, like=g), math.prod(g.shape[:2])


def _grid(area: int, planes: int) -> Pair:
    """Blocks along a plane (a block has several planes if these are small), and blocks that share the planes."""
    if not area:
        return 0, 0
    chunks, rows = math.ceil(area / THREADS), math.ceil(planes / max(1, THREADS // area))
    busy = max(math.ceil(rows / (4 * PLANES)), math.ceil(BLOCKS * settings.multiprocessors / chunks))
    return chunks, min(math.ceil(rows / PLANES), busy, 65535)


@functools.lru_cache(maxsize=1024)
def _geometry(down: Any, across: Any) -> tuple[np.int32, ...]:
    pairs = ((a.size, a.output, a.kernel, a.stride, a.before, a.dilation) for a in (down, across))
    return tuple(np.int32(n) for pair in zip(*pairs) for n in pair)


@functools.lru_cache(maxsize=1024)
def _steps(down: Any, across: Any) -> tuple[np.int32, ...]:
    """From one window that covers a pixel to the next: how many windows on, and how many taps back."""
    apart, skip = zip(*(steps(a.stride, a.dilation) for a in (down, across)))
    return tuple(map(np.int32, (*apart, *skip)))
