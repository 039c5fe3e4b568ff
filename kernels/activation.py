"""Launchers of `activation.cu`: activations with the bias before them, and sums of columns, the gradient of a bias."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, contiguous, empty, on_16_bytes, vector_width
from .toolchain.settings import settings

__all__ = ["FROM_OUTPUT", "FUNCTIONS", "backward", "column_sums", "forward"]

FUNCTIONS = ("Identity", "Relu", "Sigmoid", "Tanh", "Silu", "Gelu", "GeluTanh")
FROM_OUTPUT = FUNCTIONS[:4]  # those whose derivative is a function of y, which backward is then given for x

# no numbers below 2⁻¹²⁶, and quotients to two units in the last place: each would double an exponential's or quotient's cost
_kernel = functools.partial(Kernel, "activation.cu", options=("-ftz=true", "-prec-div=false"))
activation_forward = _kernel("activation_forward", FLOATS, FUNCTIONS)
activation_backward = _kernel("activation_backward", FLOATS, FUNCTIONS)
column_totals = _kernel("column_totals", FLOATS)

THREADS, BATCH = 256, 2
MOST = 8  # rows of a thread: then its first and last instructions are few beside those of its rows
BLOCKS = 8  # for each multiprocessor, that share the rows when columns are summed


def forward(x: Any, function: str, bias: Any = None, *, out: Any = None) -> Any:
    """f(x + b) for x (…, width) and b (width) or None; written to `out`, contiguous and perhaps x itself, if given.

    Without a bias the result lies in memory as x does, if that fills its memory in some order of its axes.
    """
    axes = None if out is not None or bias is not None else _order(x)
    x, bias = _ordered(x, axes), contiguous(bias)
    y = empty(x.shape, x.dtype, like=x) if out is None else out
    width = None if bias is None else bias.size
    grid, sizes = _geometry(x, width, _rows_of_thread(x), on_16_bytes(x, bias, y))
    activation_forward[x.dtype, function](grid, THREADS, x, bias, y, *sizes)
    return _restored(y, axes)


def backward(g: Any, saved: Any, function: str, bias: Any = None, *, summed: Any = False) -> tuple[Any, Any]:
    """(grad_x, grad_b) from the gradient of y; `saved` is y for the functions in FROM_OUTPUT, x for the others.

    grad_b (width) is None unless `summed`: True, or memory that it is to be written to.
    """
    axes = None if bias is not None or summed is not False else _order(saved)
    g, saved = _ordered(g, axes), _ordered(saved, axes)
    bias = None if function in FROM_OUTPUT else contiguous(bias)
    grad_x = empty(saved.shape, saved.dtype, like=saved)
    grad_bias = _backward(g, saved, function, bias, grad_x, summed)
    return _restored(grad_x, axes), grad_bias


def column_sums(g: Any, *, out: Any = None) -> Any:
    """Σ over all axes of g (…, width) but the last, in a fixed order; written to `out` if given."""
    return _backward(contiguous(g), None, "Identity", None, None, True if out is None else out)


def _backward(g: Any, saved: Any, function: str, bias: Any, grad_x: Any, summed: Any) -> Any:
    kernel, vector = activation_backward[g.dtype, function], on_16_bytes(g, saved, bias, grad_x)
    if summed is False:
        grid, sizes = _geometry(g, None if bias is None else bias.size, _rows_of_thread(g), vector)
        kernel(grid, THREADS, g, saved, bias, grad_x, None, *sizes)
        return None
    width = g.shape[-1]
    grad_bias = empty(width, g.dtype, like=g) if summed is True else summed
    blocks = BLOCKS * settings.multiprocessors
    each = math.ceil(g.size / max(1, blocks * THREADS * vector_width(g.dtype)))
    grid, sizes = _geometry(g, width, max(BATCH, math.ceil(each / BATCH) * BATCH), vector)
    partial = empty((grid[0], width), np.float32, like=g)
    kernel(grid, THREADS, g, saved, bias, grad_x, partial, *sizes)
    column_totals[grad_bias.dtype](
        math.ceil(width / 32), THREADS, partial, grad_bias, np.int32(grid[0]), np.int32(width)
    )
    return grad_bias


def _rows_of_thread(x: Any) -> int:
    """How many rows a thread takes where no columns are summed: up to MOST once all have work, to share what comes first."""
    each = x.size // (BLOCKS * settings.multiprocessors * THREADS * vector_width(x.dtype)) // BATCH * BATCH
    return max(BATCH, min(MOST, each))


def _geometry(x: Any, width: int | None, each: int, vector: bool) -> tuple[tuple[int, int], tuple]:
    """Grid and (count, width, lanes, each, whole) for rows of `width`, or of any width; `each` rows to a thread."""
    size = vector_width(x.dtype)
    if width is None:
        width = 32 * size
    vectors, rows = max(1, math.ceil(width / size)), math.ceil(x.size / max(1, width))
    lanes = min(32, 1 << (vectors - 1).bit_length())
    grid = math.ceil(rows / (THREADS // lanes * each)), math.ceil(vectors / lanes)
    whole = vector and width % size == 0
    return grid, (np.int64(x.size), np.int32(width), np.int32(lanes), np.int32(each), np.bool_(whole))


def _order(x: Any) -> list[int] | None:
    """The order of axes in which x is contiguous, if there is one and it is not the usual one."""
    if x.flags.c_contiguous:
        return None
    axes = sorted(range(x.ndim), key=lambda i: -x.strides[i])
    return axes if x.transpose(axes).flags.c_contiguous else None


def _ordered(x: Any, axes: list[int] | None) -> Any:
    """The array with its axes in that order, and its elements too."""
    return contiguous(x if axes is None else x.transpose(axes))


def _restored(x: Any, axes: list[int] | None) -> Any:
    """The array with its axes back in the usual order."""
    return x if axes is None else x.transpose(sorted(range(x.ndim), key=axes.__getitem__))
