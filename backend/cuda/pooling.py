"""Pooling by kernels that gather: also the gradients, where each pixel asks the windows that it is in."""

from __future__ import annotations

import math
from typing import Any

from ...kernels import pooling as kernels
from ...kernels.toolchain.launch import FLOATS, contiguous
from ..nn import pooling as primitives
from ..nn.pooling import window_axes
from . import replaces

LIMIT = 1 << 30  # of what the kernels count in 32 bits


def _suits(x: Any, outputs: int) -> bool:
    return x.dtype in FLOATS and max(math.prod(x.shape[:2]), math.prod(x.shape[2:]), outputs) <= LIMIT


@replaces(primitives.max_pool2d)
def max_pool2d(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    down, across = window_axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    if not _suits(x, down.output * across.output):
        return NotImplemented
    y, taps, indices = kernels.max_pool(contiguous(x), down, across, return_indices=return_indices)

    def grad_x(g: Any) -> Any:
        g = g[0] if return_indices else g
        return kernels.max_pool_gradient(contiguous(g), taps, down, across)

    return (y, indices) if return_indices else y, (grad_x,)


@replaces(primitives.avg_pool2d)
def avg_pool2d(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    down, across = window_axes(x, kernel_size, stride, padding, (1, 1), ceil_mode)
    if not _suits(x, down.output * across.output):
        return NotImplemented
    options = down, across, count_include_pad, divisor_override
    y = kernels.avg_pool(contiguous(x), *options)
    return y, (lambda g: kernels.avg_pool_gradient(contiguous(g), *options),)


@replaces(primitives.adaptive_avg_pool2d)
def adaptive_avg_pool2d(x: Any, /, *, output_size: Any) -> Any:
    size = x.shape[2:]
    reach = max((n + 1) * (o + 1) for n, o in zip(size, output_size))
    if not _suits(x, max(math.prod(output_size), reach)):
        return NotImplemented
    y = kernels.adaptive_avg_pool(contiguous(x), output_size)
    return y, (lambda g: kernels.adaptive_avg_pool_gradient(contiguous(g), size),)
