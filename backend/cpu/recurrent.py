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
from ..nn.recurrent import Lstm, in_time, unroll, wanted
from ..tape.autograd import in_float32
from . import aligned
from .blocks import CPU_FLOATS
from .linear import column_sums
from .window_products import has_small_products

# With AVX-512, OpenBLAS does not pack the matrices of a product of at most 10⁶ multiply-adds. Packing the weights at every
# step would take a third of its time, so the weights are cut into blocks of so many columns, if they are a multiple of that.
BLOCKS, ROWS, SMALL = (64, 32), 96, 1_000_000


def _block(rows: int, depth: int, columns: int) -> int:
    """How many columns a block has; 0 if there are none."""
    fitting = (b for b in BLOCKS if columns % b == 0 and rows * depth * b <= SMALL)
    return next(fitting, 0) if has_small_products() else 0


class _Product:
    """h (n, K) ↦ h Wₖᵀ for weights (gates, H, K): (gates, n, H), always in the same memory, for n ≤ rows."""

    def __init__(self, weight: np.ndarray, rows: int):
        gates, width, depth = weight.shape
        block = self.block = _block(rows, depth, width)
        if block:
            self.weight = aligned.copy(weight.reshape(gates, -1, block, depth).mT)
            self.found = aligned.empty((gates, rows, width), weight.dtype)
            self.cut = self.found.reshape(gates, rows, -1, block).swapaxes(1, 2)
        else:
            self.weight = aligned.copy(weight.reshape(gates * width, depth).T)
            self.memory = aligned.empty((rows, gates * width), weight.dtype)
            self.found = self.memory.reshape(rows, gates, width).swapaxes(0, 1)

    def __call__(self, h: np.ndarray) -> np.ndarray:
        n = len(h)
        if self.block:
            np.matmul(h, self.weight, self.cut[:, :, :n])
        else:
            np.dot(h, self.weight, self.memory[:n])
        return self.found[:, :n]


class _Adjoint:
    """d (n, gates · H) ↦ d W for a weight (gates · H, K): (n, K), always in the same memory, for n ≤ rows."""

    def __init__(self, weight: np.ndarray, rows: int, gates: int):
        self.gates, width, depth = gates, len(weight) // gates, weight.shape[1]
        block = self.block = _block(rows, width, depth)
        self.weight, self.memory = weight, aligned.empty((rows, depth), weight.dtype)
        if block:
            self.weight = aligned.copy(weight.reshape(gates, width, -1, block).swapaxes(1, 2))
            self.parts = aligned.empty((gates, rows, depth), weight.dtype)
            self.cut = self.parts.reshape(gates, rows, -1, block).swapaxes(1, 2)

    def __call__(self, d: np.ndarray) -> np.ndarray:
        n, found = len(d), self.memory[: len(d)]
        if not self.block:
            return np.dot(d, self.weight, found)
        of_gates = d.reshape(n, self.gates, 1, -1).transpose(1, 2, 0, 3)
        np.matmul(of_gates, self.weight, self.cut[:, :, :n])
        return np.add.reduce(self.parts[:, :n], 0, out=found)


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


def _project(x: Any, weight: Any, biases: Sequence[Any], order: Sequence[int], halved: int, out: Any) -> None:
    """x Wₖᵀ + b for all gates, to (gates, rows, H). The bias is one column more of the weight, which costs no visit."""
    weight, biases = _by_gates(weight, order, halved), [b for b in biases if b is not None]
    wide = aligned.empty((len(x), x.shape[1] + 16), x.dtype)[:, : x.shape[1] + len(biases[:1])]
    wide[:, : x.shape[1]] = x
    if biases:
        wide[:, x.shape[1] :] = 1
        weight = np.concatenate([weight, _by_gates(sum(biases), order, halved)[:, :, None]], axis=2)
    gates, width, depth = weight.shape
    block, rows = BLOCKS[-1], ROWS if has_small_products() else len(x)
    if len(x) < rows or width % block or rows * depth * block > SMALL:
        np.matmul(wide, aligned.copy(weight.mT), out)
        return
    blocks = aligned.copy(weight.reshape(gates, -1, block, depth).mT)
    for part in (slice(0, len(x) // rows * rows), slice(len(x) // rows * rows, len(x))):
        each = min(rows, part.stop - part.start) or 1
        cut = out[:, part].reshape(gates, -1, each, width // block, block).transpose(1, 0, 3, 2, 4)
        np.matmul(wide[part].reshape(-1, 1, 1, each, depth), blocks, cut)


def _finish(need: Sequence[bool], into: Sequence[Any], x: Any, h: Any, weight_ih: Any, d_ih: Any, d_hh: Any) -> tuple:
    """Gradients of x, weight_ih, weight_hh and the biases; the weights' and biases' to `into` where that is given."""
    grad_x = d_ih.dot(weight_ih) if need[0] else None
    grad_ih = d_ih.T.dot(x, into[0]) if need[1] else None
    grad_hh = d_hh.T.dot(h, into[1]) if need[2] else None
    bias_ih = column_sums(d_ih, into[2]) if need[3] else None
    bias_hh = None
    if need[4] and bias_ih is not None and d_hh is d_ih:
        bias_hh = bias_ih.copy() if into[3] is None else into[3]
        bias_hh[...] = bias_ih
    elif need[4]:
        bias_hh = column_sums(d_hh, into[3])
    return grad_x, grad_ih, grad_hh, bias_ih, bias_hh


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
    count, rows, width, half = len(h), len(x), c.shape[1], _half(x.dtype)
    order = (0, 1, 3, 2)  # i, f, o, g
    kept = aligned.empty((5, rows, width), x.dtype)  # and the cell state before the step
    _project(x, weight_ih, (bias_ih, bias_hh), order, 3, kept[:4])
    product = _Product(_by_gates(weight_hh, order, 3), count)
    cells, scratch = aligned.empty(c.shape, x.dtype), aligned.empty((2, *c.shape), x.dtype)
    tanhs, hidden = (aligned.empty((rows, width), x.dtype) for _ in range(2))
    y = hidden if weight_hr is None else aligned.empty((rows, len(weight_hr)), x.dtype)
    before: list[np.ndarray] = []

    def step(rows: slice, h: Any, c: Any) -> tuple:
        n, now, t, m = len(h), kept[:, rows], tanhs[rows], hidden[rows]
        before.append(h)
        z, s, pair, new = now[:4], now[:3], scratch[:, :n], cells[:n]
        now[4] = c
        z += product(h)
        np.tanh(z, z)
        s *= half
        s += half
        np.multiply(now[:2], now[3:], pair)
        np.add(pair[0], pair[1], new)
        np.tanh(new, t)
        np.multiply(now[2], t, m)
        return m if weight_hr is None else np.dot(m, weight_hr.T, y[rows]), new

    last = unroll(np, step, (h, c), batch_sizes, reverse)

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        need, places = wanted(need, 8), (*into, *(None,) * 8)
        d, of_outputs = aligned.empty((rows, 4 * width), x.dtype), aligned.empty(y.shape, x.dtype)
        adjoint, rest = _Adjoint(weight_hh, count, 4), aligned.empty((3, count, width), x.dtype)
        memory = aligned.empty((5, count, width), x.dtype)

        def back(rows: slice, dh: Any, dc: Any) -> tuple:
            n, now, m, dm = len(dh), kept[:, rows], hidden[rows], of_outputs[rows]
            scratch, w = memory[:, :n], np.subtract(1, now[:3], rest[:, :n])
            total, a, pair, after = scratch[0], scratch[1], scratch[2:4], scratch[4]
            gates = d[rows].reshape(n, 4, width).swapaxes(0, 1)
            np.add(dh, grad[0][rows], dm)
            if weight_hr is not None:
                dm = dm.dot(weight_hr)
            np.multiply(m, tanhs[rows], a)
            np.subtract(now[2], a, a)  # o − o t² = o (1 − t²)
            a *= dm
            np.add(a, dc, total)
            np.multiply(dm, m, a)
            np.multiply(a, w[2], gates[3])
            np.multiply(total, now[:2], pair)  # dc i, dc f
            a[...] = pair[0]
            after[...] = pair[1]
            pair *= now[3:]
            np.multiply(pair, w[:2], gates[:2])
            g = pair[0]
            g *= now[3]
            np.subtract(a, g, gates[2])
            return adjoint(d[rows]), after

        grad_h, grad_c = unroll(np, back, grad[1:], batch_sizes, not reverse)
        states, chosen = in_time(np, before, reverse), slice(3, 7)
        grad_x, *of_weights = _finish((need[0], *need[chosen]), places[chosen], x, states, weight_ih, d, d)
        grad_hr = of_outputs.T.dot(hidden, places[7]) if need[7] else None
        return grad_x, grad_h, grad_c, *of_weights, grad_hr

    return Lstm(y, *last), vjp
