"""Pooling by kernels that gather: also the gradients, where each pixel asks the windows that it is in.

The kernels are for images. Sequences are images of height 1. Windows of volumes are pooled across first and then, of what
came of it, down: the maximum of maxima, the mean of means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...kernels import pooling as kernels
from ...kernels.toolchain.launch import FLOATS, contiguous
from ..nn import pooling as primitives
from ..nn.pooling import Axis, window_axes
from . import replaces

LIMIT = 1 << 30  # of what the kernels count in 32 bits
FARTHEST = LIMIT // 2  # that windows may be apart: kernels add it to such a count
ONE = Axis(1, 1, 1, 1, 0, 1)


def _suits(x: Any, outputs: int, apart: int = 1) -> bool:
    if x.dtype not in FLOATS or x.ndim not in (3, 4, 5) or apart > FARTHEST:
        return False
    return max(math.prod(x.shape[:2]), math.prod(x.shape[2:]), outputs) <= LIMIT


def _has_kernels(x: Any, axes: tuple[Axis, ...]) -> bool:
    return _suits(x, math.prod(axis.output for axis in axes), max(axis.stride for axis in axes))


def _pooled(pool: Callable, x: Any, axes: tuple[Axis, ...]) -> tuple[Any, Callable]:
    """`pool(image, down, across)` → (y, g → gradient), for sequences, images and volumes."""
    if len(axes) == 1:
        y, pull = pool(contiguous(x)[:, :, None], ONE, *axes)
        return y[:, :, 0], lambda g: pull(contiguous(g)[:, :, None])[:, :, 0]
    return pool(contiguous(x), *axes) if len(axes) == 2 else _pooled_twice(pool, x, axes)


def _pooled_twice(pool: Callable, x: Any, axes: tuple[Axis, ...]) -> tuple[Any, Callable]:
    n, c, depth, *size = x.shape
    y, pull_across = pool(contiguous(x).reshape(n, c * depth, *size), *axes[1:])
    inner, pixels = y.shape[2:], math.prod(y.shape[2:])
    y, pull_down = pool(y.reshape(n, c, depth, pixels), axes[0], Axis(pixels, pixels, 1, 1, 0, 1))

    def pull(g: Any) -> Any:
        g = pull_down(contiguous(g).reshape(n, c, g.shape[2], pixels))
        return pull_across(g.reshape(n, c * depth, *inner)).reshape(x.shape)

    return y.reshape(*y.shape[:3], *inner), pull


@replaces(primitives.max_pool)
def max_pool(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    axes = window_axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    if not _has_kernels(x, axes) or (return_indices and len(axes) > 2):
        return NotImplemented
    found = []

    def pool(x: Any, down: Axis, across: Axis) -> tuple[Any, Callable]:
        y, taps, indices = kernels.max_pool(x, down, across, return_indices=return_indices)
        found.append(indices)
        return y, lambda g: kernels.max_pool_gradient(contiguous(g), taps, down, across)

    y, pullback = _pooled(pool, x, axes)
    if not return_indices:
        return y, (pullback,)
    return (y, found[0].reshape(y.shape)), (lambda g: pullback(g[0]),)


@replaces(primitives.avg_pool)
def avg_pool(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    axes = window_axes(x, kernel_size, stride, padding, 1, ceil_mode)
    if not _has_kernels(x, axes):
        return NotImplemented
    divisors = [divisor_override] if divisor_override is None else [divisor_override, 1]

    def pool(x: Any, down: Axis, across: Axis) -> tuple[Any, Callable]:
        options = down, across, count_include_pad, divisors[0]
        divisors.reverse()  # volumes are divided once
        return kernels.avg_pool(x, *options), lambda g: kernels.avg_pool_gradient(contiguous(g), *options)

    y, pullback = _pooled(pool, x, axes)
    return y, (pullback,)


@replaces(primitives.adaptive_avg_pool)
def adaptive_avg_pool(x: Any, /, *, output_size: Any) -> Any:
    reach = max((n + 1) * (o + 1) for n, o in zip(x.shape[2:], output_size))
    if not _suits(x, max(math.prod(output_size), reach)):
        return NotImplemented
    axes = tuple([Axis(n, o, 1, 1, 0, 1) for n, o in zip(x.shape[2:], output_size)])

    def pool(x: Any, down: Axis, across: Axis) -> tuple[Any, Callable]:
        y = kernels.adaptive_avg_pool(x, (down.output, across.output))
        return y, lambda g: kernels.adaptive_avg_pool_gradient(contiguous(g), (down.size, across.size))

    y, pullback = _pooled(pool, x, axes)
    return y, (pullback,)
