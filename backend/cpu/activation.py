"""Activations on NumPy: block by block in cache, forward and slope at once.

Each kernel fills y, and the slope dy/dx unless it is None, in one visit to x; backward is then a single product. That
moves no more memory than to keep an intermediate would, and does the arithmetic while x is in cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import activation as primitives
from ..tape.autograd import is_grad_enabled
from .blocks import BLOCK, CPU_FLOATS, blockwise, exp_rows, over_rows, product, row_dots, row_sums

SMALL = 1 << 13  # bytes: below, a call costs more than the work
ZERO_AND_INFINITY = {dtype: (np.zeros((), dtype), np.array(np.inf, dtype)) for dtype in CPU_FLOATS}
INTEGERS = {dtype: np.dtype(f"i{dtype.itemsize}") for dtype in CPU_FLOATS}  # of the same size


def _with_slope(kernel: Callable, x: Any) -> Any:
    if x.dtype not in CPU_FLOATS:
        return NotImplemented
    with np.errstate(over="ignore"):  # exp(−x) = ∞ far out on the left, where 1/(1 + ∞) = 0 is right
        if not is_grad_enabled():
            return blockwise(lambda x, y: kernel(x, y, None), 1, x)[0], None
        y, slope = blockwise(kernel, 2, x)
    return y, (lambda g: product(g, slope),)


@primitives.relu.on("cpu")
def relu(x: Any, /) -> Any:
    if x.dtype not in CPU_FLOATS:
        return NotImplemented
    zero = ZERO_AND_INFINITY[x.dtype][0]
    if x.nbytes <= SMALL:
        # against as many zeros: `maximum` has no vector loop for a scalar
        y = np.maximum(x, _zeros_of(x.shape, x.dtype) if x.flags.c_contiguous else zero)

        def grad_x(g: Any) -> Any:
            bits = INTEGERS[g.dtype]  # g's bits times 0 or 1: half the cost of floats with booleans, and 0 · ∞ is 0
            grad = (y != zero).astype(bits)
            grad *= g.view(bits)
            return grad.view(g.dtype)

        return y if type(y) is np.ndarray else np.asarray(y), (grad_x,)
    (y,) = blockwise(_positive_part, 1, x)
    bits = INTEGERS[x.dtype]

    def back(g: Any, y: Any, grad_x: Any) -> None:
        # a product of integers moves g's bits exactly, at two thirds of the cost of one of floats with booleans
        chosen = grad_x.view(bits)
        np.copyto(chosen, y != zero)
        np.multiply(chosen, g.view(bits), out=chosen)

    return y, (lambda g: blockwise(back, 1, g, y)[0],)


def _positive_part(x: Any, y: Any) -> None:
    """max(x, 0). `maximum` has no vector loop for a scalar; against zeros from the cache it takes half the time."""
    if x.ndim == 1:
        np.maximum(x, _zeros_of((BLOCK // x.itemsize,), x.dtype)[: x.size], out=y)
    else:
        x.clip(*ZERO_AND_INFINITY[x.dtype], y)


@functools.lru_cache(maxsize=64)
def _zeros_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """The same zeros each time; nobody writes to them."""
    return np.zeros(shape, dtype)


@primitives.leaky_relu.on("cpu")
def leaky_relu(x: Any, /, *, negative_slope: float = 0.01) -> Any:
    if not 0 <= negative_slope <= 1:
        return NotImplemented

    def kernel(x: Any, y: Any, slope: Any) -> None:
        np.multiply(x, negative_slope, y)
        np.maximum(x, y, out=y)
        if slope is not None:
            np.multiply(x > 0, 1 - negative_slope, slope, casting="unsafe")
            slope += negative_slope

    return _with_slope(kernel, x)


def _sigmoid(x: Any, s: Any) -> None:
    np.negative(x, s)
    np.exp(s, s)
    s += 1
    np.reciprocal(s, s)


@primitives.sigmoid.on("cpu")
def sigmoid(x: Any, /) -> Any:
    def kernel(x: Any, y: Any, slope: Any) -> None:
        _sigmoid(x, y)
        if slope is not None:
            np.subtract(1, y, slope)
            slope *= y

    return _with_slope(kernel, x)


def _silu(x: Any, y: Any, slope: Any) -> None:
    """y = x s, dy/dx = s + y (1 − s)."""
    s = y if slope is None else slope
    _sigmoid(x, s)
    np.multiply(x, s, y)
    if slope is not None:
        rest = np.subtract(1, s)
        rest *= y
        slope += rest


@primitives.silu.on("cpu")
def silu(x: Any, /) -> Any:
    return _with_slope(_silu, x)


@primitives.swiglu.on("cpu")
def swiglu(x: Any, gate: Any, /) -> Any:
    if x.dtype not in CPU_FLOATS or gate.dtype != x.dtype or gate.shape != x.shape:
        return NotImplemented

    def kernel(x: Any, gate: Any, y: Any, s: Any, slope: Any) -> None:
        _silu(gate, s, slope)
        np.multiply(x, s, y)
        slope *= x

    with np.errstate(over="ignore"):
        y, s, slope = blockwise(kernel, 3, x, gate)
    return y, (lambda g: product(g, s), lambda g: product(g, slope))


def _rows(x: Any, axis: int) -> Any:
    """x as a matrix whose rows the function runs along, or None."""
    if x.dtype not in CPU_FLOATS or not x.size or axis % x.ndim != x.ndim - 1:
        return None
    return x.reshape(-1, x.shape[-1])


@primitives.softmax.on("cpu")
def softmax(x: Any, /, *, axis: int = -1) -> Any:
    rows = _rows(x, axis)
    if rows is None:
        return NotImplemented
    y, shape, size = np.empty_like(rows), x.shape, x.itemsize * rows.shape[1]  # backward keeps y alone

    def forward(i: int, j: int) -> None:
        a, b = rows[i:j], y[i:j]
        exp_rows(a, b)
        b *= 1 / row_sums(b)

    over_rows(forward, len(rows), size)

    def grad_x(g: Any) -> Any:
        g, out = g.reshape(y.shape), np.empty_like(y)

        def backward(i: int, j: int) -> None:
            np.subtract(g[i:j], row_dots(g[i:j], y[i:j]), out[i:j])
            out[i:j] *= y[i:j]

        over_rows(backward, len(y), size)
        return out.reshape(shape)

    return y.reshape(shape), (grad_x,)


@primitives.log_softmax.on("cpu")
def log_softmax(x: Any, /, *, axis: int = -1) -> Any:
    rows = _rows(x, axis)
    if rows is None:
        return NotImplemented
    y, shape, size = np.empty_like(rows), x.shape, x.itemsize * rows.shape[1]  # backward keeps y alone

    def forward(i: int, j: int) -> None:
        a, b = rows[i:j], y[i:j]
        np.subtract(a, np.maximum.reduce(a, axis=1, keepdims=True), b)
        b -= np.log(row_sums(np.exp(b)))

    over_rows(forward, len(rows), size)

    def grad_x(g: Any) -> Any:
        g, out = g.reshape(y.shape), np.empty_like(y)

        def backward(i: int, j: int) -> None:
            np.exp(y[i:j], out[i:j])
            out[i:j] *= row_sums(g[i:j])
            np.subtract(g[i:j], out[i:j], out[i:j])

        over_rows(backward, len(y), size)
        return out.reshape(shape)

    return y.reshape(shape), (grad_x,)
