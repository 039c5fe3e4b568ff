"""Recurrent layers on a GPU: at each step one product, added to what x contributes, and one kernel. All of it can be recorded.

The gates are float32 whatever the data, and so is what goes from step to step but for what products read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels import activation as activations
from ...kernels import linear as products
from ...kernels import recurrent as kernels
from ...kernels.toolchain.launch import FLOATS, contiguous, empty
from ..device.devices import namespace_of
from ..device.gemm import gemm
from ..nn import recurrent as primitives
from ..nn.recurrent import Lstm, Recurrent, unroll, wanted
from . import replaces

FLOAT32 = FLOATS[0]


def _supported(raw: Sequence[Any], units: int, gates: int) -> bool:
    """One dtype that there are kernels for, some rows, and so few units that 32 bits count them."""
    x = raw[0]
    agree = all(a is None or a.dtype == x.dtype for a in raw)
    return x.dtype in FLOATS and agree and len(x) > 0 and units * gates <= kernels.MOST


def _float32(a: Any) -> Any:
    return contiguous(a if a.dtype == FLOAT32 else a.astype(np.float32))


def _previous(y: Any, h: Any, reverse: bool, kept: Any) -> Any:
    """The outputs before each step, packed: those of the step before, h at first."""
    if kept is not None:
        return kept
    n, xp = len(h), namespace_of(y)
    return xp.concat([y[n:], h] if reverse else [h, y[:-n]], axis=0)


def _keeps(y: Any, batch_sizes: Sequence[int]) -> Any:
    """Memory for the outputs before each step, where sequences of several lengths scatter them."""
    return None if batch_sizes[0] == batch_sizes[-1] else empty(y.shape, y.dtype, like=y)


def _of_parameters(need: Any, into: Any, x: Any, h: Any, d_ih: Any, d_hh: Any, has_bias: bool) -> tuple:
    """Gradients of weight_ih, weight_hh, bias_ih and bias_hh, in `into` where that is given."""
    grads: list[Any] = [None] * 4
    if need[0]:
        grads[0] = products.gradients(d_ih, x, out=into[0])[0]
    if need[1]:
        grads[1] = products.gradients(d_hh, h, out=into[1])[0]
    for k, d in ((2, d_ih), (3, d_hh)):
        if has_bias and need[k]:
            grads[k] = activations.column_sums(d, out=into[k])
    return tuple(grads)


@replaces(primitives.rnn)
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
    if not _supported((x, h, weight_ih, weight_hh, bias_ih, bias_hh), h.size, 1):
        return NotImplemented
    xp, relu, width = namespace_of(x), nonlinearity == "relu", h.shape[1]
    z = gemm(xp, x, weight_ih.T, out=empty((len(x), width), FLOAT32, like=x))
    y = empty((len(x), width), x.dtype, like=x)
    before = _keeps(y, batch_sizes)

    def step(rows: slice, h: Any) -> tuple:
        if before is not None:
            before[rows] = h
        gemm(xp, h, weight_hh.T, out=z[rows], accumulate=True)
        kernels.rnn_forward(z[rows], bias_ih, bias_hh, y[rows], relu=relu)
        return (y[rows],)

    (last,) = unroll(xp, step, (h,), batch_sizes, reverse)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, into = wanted(need, 6), (*into, None, None)
        d, d_y, buffer = empty(y.shape, y.dtype, like=y), contiguous(g[0]), empty(h.shape, FLOAT32, like=h)

        def back(rows: slice, d_h: Any) -> tuple:
            kernels.rnn_backward(y[rows], d_y[rows], d_h, d[rows], relu=relu)
            return (gemm(xp, d[rows], weight_hh, out=buffer[: len(d_h)]),)

        (grad_h,) = unroll(xp, back, (_float32(g[1]),), batch_sizes, not reverse)
        grad_x, states = gemm(xp, d, weight_ih) if need[0] else None, _previous(y, h, reverse, before)
        return grad_x, grad_h.astype(h.dtype), *_of_parameters(need[2:], into[2:], x, states, d, d, bias_ih is not None)

    return Recurrent(y, last), vjp


@replaces(primitives.lstm)
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
    if not _supported((x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr), c.size, 4):
        return NotImplemented
    xp, count, width, narrow = namespace_of(x), len(x), c.shape[1], h.shape[1]
    gates = gemm(xp, x, weight_ih.T, out=empty((count, 4 * width), FLOAT32, like=x))
    cells, squashed = (empty((count, width), FLOAT32, like=x) for _ in range(2))
    hidden = empty((count, width), x.dtype, like=x)
    y = hidden if weight_hr is None else empty((count, narrow), x.dtype, like=x)
    before, of_cells = _keeps(y, batch_sizes), []

    def step(rows: slice, h: Any, c: Any) -> tuple:
        if before is not None:
            before[rows] = h
        of_cells.append(c)
        gemm(xp, h, weight_hh.T, out=gates[rows], accumulate=True)
        kernels.lstm_forward(gates[rows], bias_ih, bias_hh, c, cells[rows], squashed[rows], hidden[rows])
        if weight_hr is not None:
            gemm(xp, hidden[rows], weight_hr.T, out=y[rows])
        return y[rows], cells[rows]

    last = unroll(xp, step, (contiguous(h), _float32(c)), batch_sizes, reverse)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, into, steps = wanted(need, 8), (*into, None, None, None), iter(reversed(of_cells))
        d, d_y = empty((count, 4 * width), x.dtype, like=x), contiguous(g[0])
        of_outputs = None if weight_hr is None else empty(y.shape, y.dtype, like=y)
        buffer, wide = empty(h.shape, FLOAT32, like=h), empty(c.shape, FLOAT32, like=c)

        def back(rows: slice, d_h: Any, d_c: Any) -> tuple:
            n, after = len(d_h), empty(d_c.shape, FLOAT32, like=d_c)
            of_step = d_y[rows]
            if of_outputs is not None:
                of_outputs[rows] = d_h + of_step
                d_h, of_step = gemm(xp, of_outputs[rows], weight_hr, out=wide[:n]), None
            kernels.lstm_backward(gates[rows], squashed[rows], next(steps), of_step, d_h, d_c, after, d[rows])
            return gemm(xp, d[rows], weight_hh, out=buffer[:n]), after

        grad_h, grad_c = unroll(xp, back, (_float32(g[1]), _float32(g[2])), batch_sizes, not reverse)
        grad_x, states = gemm(xp, d, weight_ih) if need[0] else None, _previous(y, h, reverse, before)
        of_weights = _of_parameters(need[3:], into[3:], x, states, d, d, bias_ih is not None)
        grad_hr = gemm(xp, of_outputs.T, hidden, out=into[7]) if need[7] and of_outputs is not None else None
        return grad_x, grad_h.astype(h.dtype), grad_c.astype(c.dtype), *of_weights, grad_hr

    return Lstm(y, last[0], last[1].astype(c.dtype)), vjp


@replaces(primitives.gru)
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
    if not _supported((x, h, weight_ih, weight_hh, bias_ih, bias_hh), h.size, 3):
        return NotImplemented
    if not reset_after:
        return _original_gru(x, h, weight_ih, weight_hh, bias_ih, bias_hh, batch_sizes, reverse)
    xp, count, width = namespace_of(x), len(x), h.shape[1]
    gates = gemm(xp, x, weight_ih.T, out=empty((count, 3 * width), FLOAT32, like=x))
    candidates, y = empty((count, width), FLOAT32, like=x), empty((count, width), x.dtype, like=x)
    states = y if x.dtype == FLOAT32 else empty((count, width), FLOAT32, like=x)
    memory, before, of_states = empty((len(h), 3 * width), FLOAT32, like=x), _keeps(y, batch_sizes), []

    def step(rows: slice, h: Any, state: Any) -> tuple:
        if before is not None:
            before[rows] = h
        of_states.append(state)
        product = gemm(xp, h, weight_hh.T, out=memory[: len(h)])
        after = None if states is y else states[rows]
        kernels.gru_forward(gates[rows], product, bias_ih, bias_hh, state, after, candidates[rows], y[rows])
        return y[rows], states[rows]

    last = unroll(xp, step, (contiguous(h), _float32(h)), batch_sizes, reverse)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, into, steps = wanted(need, 6), (*into, None, None), iter(reversed(of_states))
        d_ih, d_hh = (empty((count, 3 * width), x.dtype, like=x) for _ in range(2))
        d_y = contiguous(g[0])

        def back(rows: slice, d_h: Any) -> tuple:
            past = empty(d_h.shape, FLOAT32, like=d_h)
            kernels.gru_backward(
                gates[rows], candidates[rows], next(steps), d_y[rows], d_h, past, d_ih[rows], d_hh[rows]
            )
            return (gemm(xp, d_hh[rows], weight_hh, out=past, accumulate=True),)

        (grad_h,) = unroll(xp, back, (_float32(g[1]),), batch_sizes, not reverse)
        grad_x, previous = gemm(xp, d_ih, weight_ih) if need[0] else None, _previous(y, h, reverse, before)
        return (
            grad_x,
            grad_h.astype(h.dtype),
            *_of_parameters(need[2:], into[2:], x, previous, d_ih, d_hh, bias_ih is not None),
        )

    return Recurrent(y, last[0]), vjp


def _original_gru(
    x: Any,
    h: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    batch_sizes: tuple[int, ...],
    reverse: bool,
) -> Any:
    """The reset gate before the product, which has kernels before and behind it. All products are added to those with x."""
    xp, count, width = namespace_of(x), len(x), h.shape[1]
    of_gates, of_candidate = weight_hh[: 2 * width], weight_hh[2 * width :]
    gates = gemm(xp, x, weight_ih.T, out=empty((count, 3 * width), FLOAT32, like=x))
    resets, y = (empty((count, width), x.dtype, like=x) for _ in range(2))
    states = y if x.dtype == FLOAT32 else empty((count, width), FLOAT32, like=x)
    before, of_states = _keeps(y, batch_sizes), []

    def step(rows: slice, h: Any, state: Any) -> tuple:
        if before is not None:
            before[rows] = h
        of_states.append(state)
        z = gates[rows]
        gemm(xp, h, of_gates.T, out=z[:, : 2 * width], accumulate=True)
        kernels.gru_original_gates(z, bias_ih, bias_hh, state, resets[rows])
        gemm(xp, resets[rows], of_candidate.T, out=z[:, 2 * width :], accumulate=True)
        after = None if states is y else states[rows]
        kernels.gru_original_candidate(z, bias_ih, bias_hh, state, after, y[rows])
        return y[rows], states[rows]

    last = unroll(xp, step, (contiguous(h), _float32(h)), batch_sizes, reverse)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, into, steps = wanted(need, 6), (*into, None, None), iter(reversed(of_states))
        d, d_y = empty((count, 3 * width), x.dtype, like=x), contiguous(g[0])
        memory = empty(h.shape, FLOAT32, like=h)

        def back(rows: slice, d_h: Any) -> tuple:
            past, state = empty(d_h.shape, FLOAT32, like=d_h), next(steps)
            kernels.gru_original_candidate_backward(gates[rows], state, d_y[rows], d_h, past, d[rows])
            d_reset = gemm(xp, d[rows][:, 2 * width :], of_candidate, out=memory[: len(d_h)])
            kernels.gru_original_gates_backward(gates[rows], state, d_reset, past, d[rows])
            return (gemm(xp, d[rows][:, : 2 * width], of_gates, out=past, accumulate=True),)

        (grad_h,) = unroll(xp, back, (_float32(g[1]),), batch_sizes, not reverse)
        grad_x, previous = gemm(xp, d, weight_ih) if need[0] else None, _previous(y, h, reverse, before)
        grad_ih, _, *of_biases = _of_parameters(
            (need[2], False, *need[4:]), into[2:], x, previous, d, d, bias_ih is not None
        )
        grad_hh = None
        if need[3]:
            grad_hh = empty(weight_hh.shape, weight_hh.dtype, like=h) if into[3] is None else into[3]
            gemm(xp, d[:, : 2 * width].T, previous, out=grad_hh[: 2 * width])
            gemm(xp, d[:, 2 * width :].T, resets, out=grad_hh[2 * width :])
        return grad_x, grad_h.astype(h.dtype), grad_ih, grad_hh, *of_biases

    return Recurrent(y, last[0]), vjp
