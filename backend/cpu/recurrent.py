"""Recurrent layers on NumPy: states and gates in memory that is there before the first step, and few, long calls.

What the gates become lies gate by gate, (gates, rows, H), so that each is one piece of memory at every step. σ(z) is
½ (1 + tanh(z/2)): the rows of the weights that belong to such gates are halved first, and one call of `tanh` does for all.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device.dtypes import is_real_floating
from ..nn import recurrent as primitives
from ..nn.recurrent import Lstm, Recurrent, in_time, unroll, wanted
from ..tape.autograd import in_float32
from .blocks import CPU_FLOATS
from .linear import column_sums
from .window_products import has_small_products

# With AVX-512, OpenBLAS does not pack the matrices of a product of at most 10⁶ multiply-adds. Packing the weights at every
# step would take a third of its time, so the weights are cut into blocks of so many columns.
BLOCK, SMALL = 32, 1_000_000


def _cuts(rows: int, depth: int, columns: int) -> bool:
    return columns % BLOCK == 0 and rows * depth * BLOCK <= SMALL and has_small_products()


class _Product:
    """h (n, K) ↦ h Wₖᵀ for weights (gates, H, K): (gates, n, H), always in the same memory, for n ≤ rows."""

    def __init__(self, weight: np.ndarray, rows: int):
        gates, width, depth = weight.shape
        self.is_cut = _cuts(rows, depth, width)
        shape = (gates, width // BLOCK, BLOCK, depth) if self.is_cut else (gates * width, depth)
        self.weight = np.ascontiguousarray(weight.reshape(shape).mT)
        if self.is_cut:
            self.found = np.empty((gates, rows, width), weight.dtype)
            self.cut = self.found.reshape(gates, rows, -1, BLOCK).swapaxes(1, 2)
        else:
            self.memory = np.empty((rows, gates * width), weight.dtype)
            self.found = self.memory.reshape(rows, gates, width).swapaxes(0, 1)

    def __call__(self, h: np.ndarray) -> np.ndarray:
        n = len(h)
        if self.is_cut:
            np.matmul(h, self.weight, self.cut[:, :, :n])
        else:
            np.dot(h, self.weight, self.memory[:n])
        return self.found[:, :n]


class _Adjoint:
    """d (n, gates · H) ↦ d W for a weight (gates · H, K): (n, K), always in the same memory, for n ≤ rows."""

    def __init__(self, weight: np.ndarray, rows: int, gates: int):
        self.gates, width, depth = gates, len(weight) // gates, weight.shape[1]
        self.is_cut, self.weight = _cuts(rows, width, depth), weight
        self.memory = np.empty((rows, depth), weight.dtype)
        if self.is_cut:
            blocks = weight.reshape(gates, width, -1, BLOCK).swapaxes(1, 2)
            self.weight = np.ascontiguousarray(blocks)
            self.parts = np.empty((gates, rows, depth), weight.dtype)
            self.cut = self.parts.reshape(gates, rows, -1, BLOCK).swapaxes(1, 2)

    def __call__(self, d: np.ndarray) -> np.ndarray:
        n, found = len(d), self.memory[: len(d)]
        if not self.is_cut:
            return np.dot(d, self.weight, found)
        of_gates = d.reshape(n, self.gates, 1, -1).transpose(1, 2, 0, 3)
        np.matmul(of_gates, self.weight, self.cut[:, :, :n])
        return np.add.reduce(self.parts[:, :n], 0, None, found)


def _in_half_precision(form: Any, raw: Sequence[Any], static: dict) -> Any:
    """The same in float32, for halves that all agree."""
    first = raw[0].dtype
    if first.itemsize != 2 or not is_real_floating(first) or not _agree(raw):
        return NotImplemented
    return in_float32(lambda xp, *raw, **static: form(*raw, **static), np, raw, static)


def _suits(raw: Sequence[Any]) -> bool:
    return raw[0].dtype in CPU_FLOATS and _agree(raw)


def _agree(raw: Sequence[Any]) -> bool:
    """One dtype, and some rows."""
    return len(raw[0]) > 0 and all(a is None or a.dtype == raw[0].dtype for a in raw)


@functools.lru_cache
def _half(dtype: Any) -> np.ndarray:
    return np.asarray(0.5, dtype)  # an array, which a ufunc takes as it is


def _by_gates(array: np.ndarray, order: Sequence[int], halved: int) -> np.ndarray:
    """A copy of (gates · H, …) as (gates, H, …), gates in this order, those before `halved` multiplied by ½."""
    found = array.reshape(len(order), len(array) // len(order), *array.shape[1:])[list(order)]
    found[:halved] *= _half(array.dtype)
    return found


def _projected(x: np.ndarray, weight: np.ndarray, biases: Sequence[Any], order: Sequence[int], halved: int) -> np.ndarray:
    """x Wₖᵀ + b for all gates: (gates, rows, H). The bias is one column more of the weight, which costs no visit."""
    weight, bias = _by_gates(weight, order, halved), sum(b for b in biases if b is not None)
    if any(b is not None for b in biases):
        bias = _by_gates(bias, order, halved)
        x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
        weight = np.concatenate([weight, bias[:, :, None]], axis=2)
    return np.matmul(x, weight.mT)


def _finish(need: Sequence[bool], into: Sequence[Any], x: Any, h: Any, weight_ih: Any, d_ih: Any, d_hh: Any) -> tuple:
    """Gradients of x, weight_ih, weight_hh and the biases, written to `into` where that is given."""
    into = (*into, *(None,) * 5)[:5]
    return (
        d_ih.dot(weight_ih) if need[0] else None,
        d_ih.T.dot(x, into[1]) if need[1] else None,
        d_hh.T.dot(h, into[2]) if need[2] else None,
        column_sums(d_ih, into[3]) if need[3] else None,
        column_sums(d_hh, into[4]) if need[4] else None,
    )


@primitives.lstm.on("cpu")
def lstm(
    x: Any,
    h: Any,
    c: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any = None,
    bias_hh: Any = None,
    weight_hr: Any = None,
    /,
    *,
    batch_sizes: tuple[int, ...],
    reverse: bool = False,
) -> Any:
    raw = x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr
    if not _suits(raw):
        return _in_half_precision(lstm, raw, {"batch_sizes": batch_sizes, "reverse": reverse})
    count, rows, width = len(h), len(x), c.shape[1]
    order = (0, 1, 3, 2)  # i, f, o, g
    gates = _projected(x, weight_ih, (bias_ih, bias_hh), order, 3)
    product, part = _Product(_by_gates(weight_hh, order, 3), count), np.empty_like(c)
    cells, tanhs, hidden = (np.empty((rows, width), x.dtype) for _ in range(3))
    y = hidden if weight_hr is None else np.empty((rows, len(weight_hr)), x.dtype)
    before: list[tuple] = []
    half = _half(x.dtype)

    def step(rows: slice, h: Any, c: Any) -> tuple:
        before.append((h, c))
        a = gates[:, rows]
        a += product(h)
        np.tanh(a, a)
        s = a[:3]
        s *= half
        s += half
        i, f, o, g = a
        new, t, m, fresh = cells[rows], tanhs[rows], hidden[rows], part[: len(h)]
        np.multiply(f, c, new)
        np.multiply(i, g, fresh)
        new += fresh
        np.tanh(new, t)
        np.multiply(o, t, m)
        return m if weight_hr is None else np.dot(m, weight_hr.T, y[rows]), new

    last = unroll(np, step, (h, c), batch_sizes, reverse)

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        need, steps = wanted(need, 8), iter(reversed(before))
        d = np.empty((rows, 4 * width), x.dtype)
        of_outputs = np.empty_like(y)
        adjoint, rest = _Adjoint(weight_hh, count, 4), np.empty((3, count, width), x.dtype)
        scratch = np.empty((4, count, width), x.dtype)

        def back(rows: slice, dh: Any, dc: Any) -> tuple:
            n, (_, c) = len(dh), next(steps)
            total, left, a, b = scratch[:, :n]
            i, f, o, g = gates[:, rows]
            m, w = hidden[rows], np.subtract(1, gates[:3, rows], rest[:, :n])
            to_i, to_f, to_g, to_o = d[rows].reshape(n, 4, width).swapaxes(0, 1)
            dm = np.add(dh, grad[0][rows], of_outputs[rows])
            if weight_hr is not None:
                dm = dm.dot(weight_hr)
            np.multiply(m, tanhs[rows], a)  # o − o t² = o (1 − t²)
            np.subtract(o, a, a)
            a *= dm
            np.add(a, dc, total)
            np.multiply(dm, m, b)
            np.multiply(b, w[2], to_o)
            np.multiply(total, f, left)
            np.multiply(left, c, b)
            np.multiply(b, w[1], to_f)
            np.multiply(total, i, a)
            np.multiply(a, g, b)
            np.multiply(b, w[0], to_i)
            b *= g
            np.subtract(a, b, to_g)
            return adjoint(d[rows]), left

        grad_h, grad_c = unroll(np, back, grad[1:], batch_sizes, not reverse)
        states = in_time(np, [h for h, _ in before], reverse)
        places = (None, *(*into, *(None,) * 8)[3:7])
        grad_x, *of_weights = _finish((need[0], *need[3:7]), places, x, states, weight_ih, d, d)
        grad_hr = of_outputs.T.dot(hidden, (*into, *(None,) * 8)[7]) if need[7] else None
        return grad_x, grad_h, grad_c, *of_weights, grad_hr

    return Lstm(y, *last), vjp
