"""Launchers of `batch_normalization.cu` and `batch_normalization_backward.cu`: batch and group normalisation.

x is (N, C, …), and none of its axes is empty. Batch norm also takes channel-last memory, in which the channels of a pixel are
neighbours, and returns the like. What belongs to channels (weight, bias, statistics of a batch) is of x's dtype, or float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .normalization import add_partials, in_order
from .toolchain.launch import FLOATS, Kernel, empty, library_of, vector_width
from .toolchain.settings import settings

__all__ = [
    "batch_backward",
    "batch_forward",
    "group_backward",
    "group_forward",
    "inference_backward",
    "inference_forward",
]

FORWARD, BACKWARD = "batch_normalization.cu", "batch_normalization_backward.cu"
WARPS = 8
THREADS = 32 * WARPS
BLOCKS = 16  # for each multiprocessor, that suffice for the largest array


def _exists(dtype: Any, vector: int, last: bool) -> bool:
    return vector == vector_width(dtype) or (vector == 1 and not last)


def _exist_both(dtype: Any, of_channels: Any, vector: int, last: bool) -> bool:
    return of_channels in (dtype, FLOATS[0]) and _exists(dtype, vector, last)


_UNITS = (1, 4, 8), (False, True)  # numbers of an access; whether these are channels
_moments = Kernel(FORWARD, "channel_moments", FLOATS, *_UNITS, only=_exists)
_join, _running = (Kernel(FORWARD, name, FLOATS) for name in ("channel_statistics", "running_statistics"))
_normalise = Kernel(FORWARD, "normalise", FLOATS, FLOATS, *_UNITS, only=_exist_both)
_sums = Kernel(BACKWARD, "gradient_sums", FLOATS, *_UNITS, only=_exists)
_means = Kernel(BACKWARD, "gradient_means", FLOATS)
_backward = Kernel(BACKWARD, "normalise_backward", FLOATS, FLOATS, *_UNITS, only=_exist_both)


class _Memory:
    """How (N, C, …) lies in memory: `shape` is (N, C, S), or (N · S, C, 1) where that is how it lies already."""

    def __init__(self, x: Any):
        n, c, *rest = x.shape
        size = math.prod(rest)
        self.last = (
            c > 1 and (size == 1 or not x.flags.c_contiguous) and library_of(x).moveaxis(x, 1, -1).flags.c_contiguous
        )
        self.shape = (n * size, c, 1) if self.last else (1, 1, n * size) if c == 1 else (n, c, size)

    def order(self, x: Any) -> Any:
        return in_order(library_of(x).moveaxis(x, 1, -1) if self.last else x)

    def restore(self, x: Any) -> Any:
        return library_of(x).moveaxis(x, -1, 1) if self.last else x


def units_in_flight(vector: int, last: bool) -> int:
    """Of one thread."""
    return 8 if vector == 1 else 2 if last else 4


def _power(n: int) -> int:
    """The least power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def _geometry(shape: tuple[int, int, int], dtype: Any, *, own: bool = True) -> tuple[tuple, tuple[int, int], tuple]:
    """(template arguments, grid, arguments) of a kernel that walks through the channels of (samples, channels, size).

    `own`: each channel has statistics of its own.
    """
    samples, channels, size = shape
    width = vector_width(dtype)
    last = own and size == 1 and channels % width == 0
    if last:
        channels, size = channels // width, width
    vector = 1 if size % width else width
    units, in_flight = samples * size // vector, units_in_flight(vector, last)
    if size == vector:  # neighbours in memory are neighbouring channels
        lanes = 32 // min(32, _power(channels))
    else:
        lanes = min(32, _power(max(-(-units // in_flight), min(units, 4))))
    across = units > lanes * in_flight * WARPS // 2  # with fewer, half of a block's threads would have nothing
    threads, held = (lanes * WARPS, 32 // lanes) if across else (lanes, 32 // lanes * WARPS)
    grid = -(-channels // held)
    slices = min(-(-units // (threads * in_flight)), -(-BLOCKS * settings.multiprocessors // grid))
    arguments = np.int32(samples), np.int32(channels), np.int32(size), np.int32(lanes), np.bool_(across)
    return (dtype, vector, last), (grid, slices), arguments


def _dtype_of(x: Any, *of_channels: Any) -> Any:
    """That of what belongs to channels, or of x where there is nothing."""
    return next((a.dtype for a in of_channels if a is not None), x.dtype)


class _Statistics(NamedTuple):
    """Float32 mean (or None for 0) and rstd; those of channel c in sample n are number n · stride + c // shared."""

    mean: Any
    rstd: Any
    stride: int = 0
    shared: int = 1

    @property
    def own(self) -> bool:
        return self.stride == 0 and self.shared == 1


def _find_statistics(x: Any, shape: tuple, eps: float, *batch: Any) -> tuple[Any, Any]:
    """(mean, rstd) of the channels of x, float32; mean and unbiased variance also go to the arrays `batch`, or None."""
    key, grid, arguments = _geometry(shape, x.dtype)
    channels, slices = shape[1], grid[1]
    partial = empty((slices, 3, channels), np.float32, like=x)
    _moments[key](grid, THREADS, x, partial, *arguments)
    mean, rstd = empty(channels, np.float32, like=x), empty(channels, np.float32, like=x)
    _join[_dtype_of(x, *batch)](
        -(-channels // WARPS),
        THREADS,
        partial,
        mean,
        rstd,
        *batch,
        np.int32(channels),
        np.int32(slices),
        np.float32(eps),
    )
    return mean, rstd


def _apply(x: Any, shape: tuple, s: _Statistics, weight: Any, bias: Any) -> Any:
    """weight · (x − mean) · rstd + bias."""
    y = empty(x.shape, x.dtype, like=x)
    key, grid, arguments = _geometry(shape, x.dtype, own=s.own)
    _normalise[key[0], _dtype_of(x, weight, bias), *key[1:]](
        grid,
        THREADS,
        x,
        s.mean,
        s.rstd,
        in_order(weight),
        in_order(bias),
        y,
        *arguments,
        np.int32(s.stride),
        np.int32(s.shared),
    )
    return y


def _gradient_sums(g: Any, x: Any, shape: tuple, s: _Statistics) -> Any:
    """Partial sums (2, slices, C) of g x̂ and g over the channels of `shape`; the statistics have no stride."""
    key, grid, arguments = _geometry(shape, x.dtype, own=s.own)
    partial = empty((2, grid[1], shape[1]), np.float32, like=x)
    _sums[key](grid, THREADS, g, x, s.mean, s.rstd, partial, *arguments, np.int32(s.shared))
    return partial


def _grad_x(g: Any, x: Any, shape: tuple, s: _Statistics, weight: Any, partial: Any, of_batch: tuple) -> Any:
    """grad_x from partial sums (2, slices, number of statistics · shared) and the gradients of batch_mean and batch_var."""
    count, weight = s.rstd.size, in_order(weight)
    means, grad_x = empty((2, count), np.float32, like=x), empty(x.shape, x.dtype, like=x)
    _means[_dtype_of(x, *of_batch, weight)](
        -(-count // WARPS),
        THREADS,
        partial,
        weight,
        s.rstd,
        *of_batch,
        means,
        np.int32(count),
        np.int32(partial.shape[1]),
        np.int32(s.shared),
        np.int32(shape[1]),
        np.float32(x.size // count),
    )
    key, grid, arguments = _geometry(shape, x.dtype, own=s.own)
    _backward[key[0], _dtype_of(x, weight), *key[1:]](
        grid,
        THREADS,
        g,
        x,
        s.mean,
        s.rstd,
        weight,
        means[0],
        means[1],
        grad_x,
        *arguments,
        np.int32(s.stride),
        np.int32(s.shared),
    )
    return grad_x


def batch_forward(x: Any, weight: Any, bias: Any, *, eps: float) -> tuple:
    """(y, batch_mean, batch_var, mean, rstd): y of x's dtype, the next two of that of weight and bias, or of x; the rest
    float32. The variance is unbiased.
    """
    memory, dtype = _Memory(x), _dtype_of(x, weight, bias)
    x = memory.order(x)
    batch = empty(memory.shape[1], dtype, like=x), empty(memory.shape[1], dtype, like=x)
    mean, rstd = _find_statistics(x, memory.shape, eps, *batch)
    return memory.restore(_apply(x, memory.shape, _Statistics(mean, rstd), weight, bias)), *batch, mean, rstd


def batch_backward(g: tuple, x: Any, weight: Any, mean: Any, rstd: Any, need: Any, into: Any) -> tuple:
    """(grad_x, grad_weight, grad_bias), or None where not needed, from the gradients g of y, batch_mean and batch_var."""
    memory, statistics = _Memory(x), _Statistics(mean, rstd)
    x, g_y, grad_x = memory.order(x), memory.order(g[0]), None
    partial = _gradient_sums(g_y, x, memory.shape, statistics)
    if need[0]:
        of_batch = tuple(map(in_order, g[1:]))
        grad_x = memory.restore(_grad_x(g_y, x, memory.shape, statistics, weight, partial, of_batch))
    return grad_x, *add_partials(partial, g[1].dtype, need[1:], into[1:])


def inference_forward(x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float) -> tuple:
    """(y, mean, rstd) with the given statistics; those that come back are float32."""
    memory = _Memory(x)
    x, channels = memory.order(x), memory.shape[1]
    centre, rstd = empty(channels, np.float32, like=x), empty(channels, np.float32, like=x)
    _running[mean.dtype](
        -(-channels // THREADS),
        THREADS,
        in_order(mean),
        in_order(var),
        centre,
        rstd,
        np.int32(channels),
        np.float32(eps),
    )
    return memory.restore(_apply(x, memory.shape, _Statistics(centre, rstd), weight, bias)), centre, rstd


def inference_backward(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, need: Any, into: Any) -> tuple:
    """(grad_x, grad_weight, grad_bias), or None where not needed: the statistics are constants."""
    memory = _Memory(x)
    g, grad_x = memory.order(g), None
    if need[0]:
        grad_x = memory.restore(_apply(g, memory.shape, _Statistics(None, rstd), weight, None))
    if not any(need[1:]):
        return grad_x, None, None
    partial = _gradient_sums(g, memory.order(x), memory.shape, _Statistics(mean, rstd))
    return grad_x, *add_partials(partial, _dtype_of(x, weight), need[1:], into[1:])


def group_forward(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> tuple:
    """(y, mean, rstd); the statistics, of each sample's groups of channels, are float32 (N · groups,)."""
    x = in_order(x)
    n, c, size = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    mean, rstd = _find_statistics(x, (1, n * groups, c // groups * size), eps, None, None)
    return _apply(x, (n, c, size), _Statistics(mean, rstd, groups, c // groups), weight, bias), mean, rstd


def group_backward(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, need: Any, into: Any, *, groups: int) -> tuple:
    """(grad_x, grad_weight, grad_bias), or None where not needed."""
    x, g, grad_x = in_order(x), in_order(g), None
    n, c, size = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    statistics = _Statistics(mean, rstd, groups, c // groups)
    partial = _gradient_sums(g, x, (1, n * c, size), statistics._replace(stride=0))
    if need[0]:
        grad_x = _grad_x(g, x, (n, c, size), statistics, weight, partial, (None, None))
    return grad_x, *add_partials(partial.reshape(2, -1, c), _dtype_of(x, weight), need[1:], into[1:])
