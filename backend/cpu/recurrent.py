"""Recurrent layers on NumPy: states and gates in memory that is there before the first step, and few, long calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device.dtypes import is_real_floating
from ..nn import recurrent as primitives
from ..nn.recurrent import Lstm, Recurrent, in_time, wanted
from ..tape.autograd import in_float32
from . import aligned
from .blocks import CPU_FLOATS
from .recurrent_products import Adjoint, Inputs, Product, gradients, half, of_gates, walk

FEW = 16  # rows, of a step or several: what is made ready for the steps would cost more than it saves


def _suits(raw: Sequence[Any], batch_sizes: Sequence[int]) -> bool:
    return raw[0].dtype in CPU_FLOATS and _is_worthwhile(raw, batch_sizes)


def _is_worthwhile(raw: Sequence[Any], batch_sizes: Sequence[int]) -> bool:
    """Enough rows in enough steps, of one dtype."""
    dtype = raw[0].dtype
    return len(raw[0]) >= FEW and len(batch_sizes) > 2 and all(a is None or a.dtype == dtype for a in raw)


def _other(form: Callable, raw: Sequence[Any], static: dict) -> Any:
    """Half precision, of which all is, in float32; NotImplemented for what else there is."""
    dtype = raw[0].dtype
    if dtype.itemsize != 2 or not is_real_floating(dtype) or not _is_worthwhile(raw, static["batch_sizes"]):
        return NotImplemented
    return in_float32(lambda xp, *raw, **static: form(*raw, **static), np, raw, static)


def _places(into: Sequence[Any]) -> tuple:
    """`into` for all arguments, of which the last may have been left out of the call."""
    return (*into, *(None,) * 8)


@primitives.rnn.on("cpu")
def rnn(
    x: Any,
    h: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any = None,
    bias_hh: Any = None,
    /,
    *,
    batch_sizes: tuple[int, ...],
    reverse: bool = False,
    nonlinearity: str = "tanh",
) -> Any:
    raw = x, h, weight_ih, weight_hh, bias_ih, bias_hh
    if not _suits(raw, batch_sizes):
        return _other(rnn, raw, {"batch_sizes": batch_sizes, "reverse": reverse, "nonlinearity": nonlinearity})
    memory, before, inputs = aligned.empty((1, len(x), h.shape[1]), x.dtype), [], Inputs(x, h.shape[1])
    inputs.project(weight_ih, (bias_ih, bias_hh), (0,), 0, memory)
    y, product = memory[0], Product(weight_hh, len(h), (0,), 0)

    def step(rows: slice, some: slice, h: Any) -> tuple:
        before.append(h)
        z = y[rows]
        z += product(h, some)[0]
        return (np.tanh(z, z) if nonlinearity == "tanh" else np.maximum(z, 0, out=z),)

    (last,) = walk(step, (h,), batch_sizes, reverse)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, into, d = wanted(need, 6), _places(into), aligned.empty(y.shape, x.dtype)
        adjoint = Adjoint(weight_hh, len(h), 1)
        if nonlinearity == "tanh":
            np.multiply(y, y, d)
            np.subtract(1, d, d)
        else:
            np.copyto(d, y != 0)

        def back(rows: slice, some: slice, d_h: Any) -> tuple:
            of_step = d[rows]
            of_step *= d_h + g[0][rows]
            return (adjoint(of_step, some),)

        (grad_h,) = walk(back, (g[1],), batch_sizes, not reverse)
        states = in_time(np, before, reverse)
        grad_x, *others = gradients((need[0], *need[2:]), into[2:6], inputs, states, weight_ih, d, d)
        return grad_x, grad_h, *others

    return Recurrent(y, last), vjp


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
    if not _suits(raw, batch_sizes):
        return _other(lstm, raw, {"batch_sizes": batch_sizes, "reverse": reverse})
    count, rows, width, point_five = len(h), len(x), c.shape[1], half(x.dtype)
    order = (0, 1, 3, 2)  # i, f, o, g
    # Beside the gates, the cell state before the step. Of sequences of one length, each step puts it where the next one
    # looks for it, and outputs, with the first state, lie as they come before the steps.
    are_alike = batch_sizes[0] == batch_sizes[-1]
    memory = aligned.empty((5, rows + count, width), x.dtype)
    ahead = -count if reverse else count
    kept, after = (memory[:, max(0, k) : rows + max(0, k)] for k in (-ahead, ahead))
    inputs = Inputs(x, width)
    inputs.project(weight_ih, (bias_ih, bias_hh), order, 3, kept[:4])
    product = Product(weight_hh, count, order, 3)
    before: list[np.ndarray] = []
    cells, scratch = aligned.empty(c.shape, x.dtype), aligned.empty((2, *c.shape), x.dtype)
    outputs, tanhs = aligned.empty((rows + count, h.shape[1]), x.dtype), aligned.empty((rows, width), x.dtype)
    states, y = (outputs[max(0, k) : rows + max(0, k)] for k in (-ahead, ahead))
    hidden = y if weight_hr is None else aligned.empty(tanhs.shape, x.dtype)
    if are_alike:
        first = slice(rows - count, rows) if reverse else slice(0, count)
        kept[4, first], states[first] = c, h

    def step(rows: slice, some: slice, h: Any, c: Any) -> tuple:
        now, t, m = kept[:, rows], tanhs[rows], hidden[rows]
        z, s, pair = now[:4], now[:3], scratch[:, some]
        if not are_alike:
            now[4] = c
            before.append(h)
        z += product(h, some)
        np.tanh(z, z)
        s *= point_five
        s += point_five
        np.multiply(now[:2], now[3:], pair)  # i g, f c
        new = np.add(pair[0], pair[1], after[4, rows] if are_alike else cells[some])
        np.tanh(new, t)
        np.multiply(now[2], t, m)
        return m if weight_hr is None else np.dot(m, weight_hr.T, y[rows]), new

    work = 4 * width * h.shape[1] if product.is_alike else 0
    last = walk(step, (h, c), batch_sizes, reverse, work)

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        need, into = wanted(need, 8), _places(into)
        d = of_gates(rows, 4 * width, x.dtype)
        of_outputs = None if weight_hr is None else aligned.empty(y.shape, x.dtype)
        adjoint, memory = Adjoint(weight_hh, count, 4), aligned.empty((10, count, width), x.dtype)

        def back(rows: slice, some: slice, d_h: Any, d_c: Any) -> tuple:
            n, now, m, of_step = len(d_h), kept[:, rows], hidden[rows], d[rows]
            scratch = memory[:, some]
            total, a, d_m, through, pair = scratch[0], scratch[1], scratch[2], scratch[3:5], scratch[5:7]
            w, gates = np.subtract(1, now[:3], scratch[7:]), of_step.reshape(n, 4, width, copy=False).swapaxes(0, 1)
            if of_outputs is None:
                np.add(d_h, grad[0][rows], d_m)
            else:
                d_m = np.add(d_h, grad[0][rows], of_outputs[rows]).dot(weight_hr)
            np.multiply(m, tanhs[rows], a)
            np.subtract(now[2], a, a)  # o − o t² = o (1 − t²)
            a *= d_m
            np.add(a, d_c, total)
            np.multiply(d_m, m, a)
            np.multiply(a, w[2], gates[3])
            np.multiply(total, now[:2], through)  # i and f
            np.multiply(through, now[3:], pair)  # times g and c
            np.multiply(pair, w[:2], gates[:2])
            np.multiply(pair[0], now[3], a)
            np.subtract(through[0], a, gates[2])
            return adjoint(of_step, some), through[1]

        grad_h, grad_c = walk(back, grad[1:], batch_sizes, not reverse, work if adjoint.is_alike else 0)
        previous = states if are_alike else in_time(np, before, reverse)
        grad_x, *of_weights = gradients((need[0], *need[3:7]), into[3:7], inputs, previous, weight_ih, d, d)
        grad_hr = of_outputs.T.dot(hidden, into[7]) if need[7] and of_outputs is not None else None
        return grad_x, grad_h, grad_c, *of_weights, grad_hr

    return Lstm(y, *last), vjp


@primitives.gru.on("cpu")
def gru(
    x: Any,
    h: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any = None,
    bias_hh: Any = None,
    /,
    *,
    batch_sizes: tuple[int, ...],
    reverse: bool = False,
    reset_after: bool = True,
) -> Any:
    """The original form, whose steps have two products, one after the other, is left to the generic one."""
    raw = x, h, weight_ih, weight_hh, bias_ih, bias_hh
    if not reset_after:
        return NotImplemented
    if not _suits(raw, batch_sizes):
        return _other(gru, raw, {"batch_sizes": batch_sizes, "reverse": reverse})
    count, rows, width, point_five = len(h), len(x), h.shape[1], half(x.dtype)
    order = (0, 1, 2)  # r, z, n
    kept, y = aligned.empty((4, rows, width), x.dtype), aligned.empty((rows, width), x.dtype)  # and what r multiplies
    shared = None if bias_hh is None else bias_hh * (np.arange(3 * width) < 2 * width)
    inputs = Inputs(x, width)
    inputs.project(weight_ih, (bias_ih, shared), order, 2, kept[:3])
    product, before, scratch = Product(weight_hh, count, order, 2), [], aligned.empty(h.shape, x.dtype)
    bias_n = None if bias_hh is None else bias_hh[2 * width :]

    def step(rows: slice, some: slice, h: Any) -> tuple:
        before.append(h)
        now, of_h, a = kept[:, rows], product(h, some), scratch[some]
        s, n, u = now[:2], now[2], now[3]
        s += of_h[:2]
        np.tanh(s, s)
        s *= point_five
        s += point_five
        u[...] = of_h[2]
        if bias_n is not None:
            u += bias_n
        np.multiply(s[0], u, a)
        n += a
        np.tanh(n, n)
        np.subtract(h, n, a)
        a *= s[1]
        return (np.add(n, a, y[rows]),)

    (last,) = walk(step, (h,), batch_sizes, reverse)

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        need, into, steps = wanted(need, 6), _places(into), iter(reversed(before))
        d_ih, d_hh = (of_gates(rows, 3 * width, x.dtype) for _ in range(2))
        adjoint, memory = Adjoint(weight_hh, count, 3), aligned.empty((5, count, width), x.dtype)

        def back(rows: slice, some: slice, d_h: Any) -> tuple:
            k, now = len(d_h), kept[:, rows]
            r, z, n, u = now
            d, a, b, *_ = memory[:, some]
            w = np.subtract(1, now[:2], memory[3:, some])
            of_x, of_h = (g[rows].reshape(k, 3, width, copy=False).swapaxes(0, 1) for g in (d_ih, d_hh))
            np.add(d_h, grad[0][rows], d)
            np.subtract(next(steps), n, a)
            a *= d
            a *= z
            np.multiply(a, w[1], of_h[1])
            np.multiply(n, n, b)
            np.subtract(1, b, b)
            b *= w[1]
            np.multiply(b, d, of_x[2])
            np.multiply(of_x[2], r, b)
            of_h[2] = b
            b *= u
            np.multiply(b, w[0], of_h[0])
            of_x[:2] = of_h[:2]
            d *= z
            d += adjoint(d_hh[rows], some)
            return (d,)

        (grad_h,) = walk(back, grad[1:], batch_sizes, not reverse)
        states = in_time(np, before, reverse)
        grad_x, *others = gradients((need[0], *need[2:]), into[2:6], inputs, states, weight_ih, d_ih, d_hh)
        return grad_x, grad_h, *others

    return Recurrent(y, last), vjp
