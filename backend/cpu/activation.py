"""Activations on NumPy: block by block in cache, forward and slope at once.

Each kernel fills y, and the slope dy/dx unless it is None, in one visit to x; backward is then a single product. That
moves no more memory than to keep an intermediate would, and does the arithmetic while x is in cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nn import activation as primitives
from ..nn.activation import GELU_TANH
from ..tape.autograd import is_grad_enabled
from .blocks import BLOCK, CPU_FLOATS, blockwise, exp_rows, over_rows, row_dots, row_sums

# P, lowest power first, of Φ(x) = ½ (1 + tanh(x P(x²))): a minimax fit to artanh(erf(x/√2))/x, weighted by what its
# error does to Φ. That is at most 2.9e-8 (float32 rounds Φ at 6e-8), also beyond |x| = 5, where the fit ends and xP(x²)
# goes on growing.
NORMAL = (7.97884941e-1, 3.63330846e-2, -3.2594979e-5, -5.53061921e-5, 3.96474407e-6, -1.32263309e-7, 1.75616981e-9)

LIGHT = 4  # blocks of an operation so cheap that a second thread would take as long to wake
SMALL = 1 << 13  # bytes: below, a call costs more than the work
ZERO_AND_INFINITY = {dtype: (np.zeros((), dtype), np.array(np.inf, dtype)) for dtype in CPU_FLOATS}
INTEGERS = {dtype: np.dtype(f"i{dtype.itemsize}") for dtype in CPU_FLOATS}  # of the same size


def _product(g: Any, slope: Any) -> Any:
    return blockwise(np.multiply, 1, g, slope, grain=LIGHT)[0]


def _with_slope(kernel: Callable, x: Any) -> Any:
    if x.dtype not in CPU_FLOATS:
        return NotImplemented
    with np.errstate(over="ignore"):  # exp(−x) = ∞ far out on the left, where 1/(1 + ∞) = 0 is right
        if not is_grad_enabled():
            return blockwise(lambda x, y: kernel(x, y, None), 1, x)[0], None
        y, slope = blockwise(kernel, 2, x)
    return y, (lambda g: _product(g, slope),)


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
    (y,) = blockwise(_positive_part, 1, x, grain=LIGHT)
    bits = INTEGERS[x.dtype]

    def back(g: Any, y: Any, grad_x: Any) -> None:
        # a product of integers moves g's bits exactly, at two thirds of the cost of one of floats with booleans
        chosen = grad_x.view(bits)
        np.copyto(chosen, y != zero)
        np.multiply(chosen, g.view(bits), out=chosen)

    return y, (lambda g: blockwise(back, 1, g, y, grain=LIGHT)[0],)


def _positive_part(x: Any, y: Any) -> None:
    """max(x, 0). `maximum` has no vector loop for a scalar; against zeros from the cache it takes half the time."""
    if x.ndim == 1:
        np.maximum(x, _zeros(x.dtype)[: x.size], out=y)
    else:
        x.clip(*ZERO_AND_INFINITY[x.dtype], y)


@functools.lru_cache(maxsize=64)
def _zeros_of(shape: tuple[int, ...], dtype: Any) -> Any:
    """The same zeros each time; nobody writes to them."""
    return np.zeros(shape, dtype)


@functools.lru_cache
def _zeros(dtype: Any) -> Any:
    """As many as a block has elements."""
    return np.zeros(BLOCK // dtype.itemsize, dtype)


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
    return y, (lambda g: _product(g, s), lambda g: _product(g, slope))


@primitives.gelu.on("cpu")
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    tanh = approximate == "tanh"
    if x.dtype not in CPU_FLOATS or (not tanh and x.dtype != np.float32):
        return NotImplemented
    numbers, kernel = _gelu_numbers(x.dtype, tanh), _slope_tanh if tanh else _slope
    with np.errstate(over="ignore"):  # far out powers are infinite, and tanh of them is ±1
        if not is_grad_enabled():
            return blockwise(lambda *arrays: _gelu(numbers, *arrays), 1, x, scratch=2)[0], None
        y, slope = blockwise(lambda *arrays: kernel(numbers, *arrays), 2, x, scratch=1)
    return y, (lambda g: _product(g, slope),)


@functools.lru_cache
def _gelu_numbers(dtype: Any, tanh: bool) -> dict[str, Any]:
    """Constants as arrays, which NumPy need not convert in each call."""
    given = GELU_TANH if tanh else NORMAL
    inner = [2 * c * (-2.0) ** k for k, c in enumerate(given)][
        ::-1
    ]  # of −u/h, a polynomial in n, the highest power first
    others = {"1": 1, "2": 2, "1/2": 0.5, "-1/2": -0.5, "density": 1 / math.sqrt(2 * math.pi)}
    others |= {"c0": GELU_TANH[0], "-6 c1": -6 * GELU_TANH[1]}
    return {"inner": [np.array(c, dtype) for c in inner]} | {name: np.array(c, dtype) for name, c in others.items()}


def _gelu(numbers: dict[str, Any], x: Any, y: Any, m: Any, n: Any) -> None:
    """y = x Φ(x) = h m, where m = −2 Φ = tanh(−u) − 1, h = −x/2, n = h x = −x²/2. Leaves m and n to work on."""
    first, *middle, last = numbers["inner"]
    h = np.multiply(x, numbers["-1/2"], y)
    np.multiply(x, h, n)
    np.multiply(n, first, m)
    for c in middle:
        np.add(m, c, m)
        np.multiply(m, n, m)
    np.add(m, last, m)
    np.multiply(m, h, m)
    np.tanh(m, m)
    np.subtract(m, numbers["1"], m)
    np.multiply(h, m, y)


def _slope(numbers: dict[str, Any], x: Any, y: Any, slope: Any, n: Any) -> None:
    """Φ + x φ(x) = −m/2 + x eⁿ/√(2π), besides y."""
    _gelu(numbers, x, y, slope, n)
    np.exp(n, n)
    np.multiply(n, x, n)
    np.multiply(n, numbers["density"], n)
    np.multiply(slope, numbers["-1/2"], slope)
    np.add(slope, n, slope)


def _slope_tanh(numbers: dict[str, Any], x: Any, y: Any, slope: Any, n: Any) -> None:
    """Φ + x dΦ/dx = (m + 2) (y u'(x) − 1/2) + 1, u' = c₀ + 3 c₁ x², besides y."""
    _gelu(numbers, x, y, slope, n)
    np.multiply(n, numbers["-6 c1"], n)
    np.add(n, numbers["c0"], n)
    np.multiply(n, y, n)
    np.subtract(n, numbers["1/2"], n)
    np.add(slope, numbers["2"], slope)
    np.multiply(slope, n, slope)
    np.add(slope, numbers["1"], slope)


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
