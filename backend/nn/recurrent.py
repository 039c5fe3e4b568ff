"""Recurrent layers: one layer in one direction over whole sequences is one operation.

Sequences are packed: x has the rows of step 0, then those of step 1, …, step t those of the `batch_sizes[t]` sequences
that are longer than t. Sequences come longest first, so that the sizes never grow; sequences of one length are the case of
equal sizes. A state stays as it is after the end of its sequence, and backwards in time each starts at its own end.
The products with all of x are one product, as are those that give the gradients of the weights; no step is on the tape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from ..device.gemm import gemm
from ..tape.autograd import primitive

__all__ = ["gru", "in_time", "lstm", "rnn", "unroll", "wanted"]


class Recurrent(NamedTuple):
    """What `rnn` and `gru` return: the output of every step, and the last state of every sequence."""

    y: Any
    h: Any


class Lstm(NamedTuple):
    """What `lstm` returns: the output of every step, the last output and the last cell state of every sequence."""

    y: Any
    h: Any
    c: Any


# --- time -------------------------------------------------------------------------------------------------------------
def unroll(
    xp: Any, step: Callable, states: Sequence[Any], batch_sizes: Sequence[int], reverse: bool = False
) -> list[Any]:
    """states ← step(rows, *states) over time, for the sequences that have this step; (N, ·) when all have ended.

    `rows` are those of the step in what is packed. The pullback is the same walk with time turned round: states are
    the gradients of the final states then, and what comes out are those of the initial ones.
    """
    steps = list(zip(accumulate(batch_sizes), batch_sizes))
    now = [s[: steps[-1 if reverse else 0][1], :] for s in states]
    ended: list[list[Any]] = []
    for stop, n in reversed(steps) if reverse else steps:
        before = now[0].shape[0]
        if n < before:
            ended.append([s[n:, :] for s in now])
            now = [s[:n, :] for s in now]
        elif n > before:
            now = [xp.concat([s, first[before:n, :]], axis=0) for s, first in zip(now, states)]
        now = step(slice(stop - n, stop), *now)
    return [xp.concat(list(parts), axis=0) for parts in zip(now, *reversed(ended))]


def in_time(xp: Any, of_steps: Sequence[Any], reverse: bool) -> Any:
    """What an `unroll` has made step by step, packed."""
    return xp.concat(list(reversed(of_steps) if reverse else of_steps), axis=0)


# --- what the operations share ----------------------------------------------------------------------------------------
def wanted(need: Sequence[bool], count: int) -> tuple[bool, ...]:
    """`need` for all arguments, of which the last may have been left out of the call."""
    return (*need, *(False,) * count)[:count]


def _affine(xp: Any, x: Any, weight: Any, *biases: Any) -> Any:
    y = gemm(xp, x, xp.matrix_transpose(weight))
    for bias in biases:
        y = y if bias is None else y + bias
    return y


def _sigmoid(xp: Any, x: Any) -> Any:
    return 0.5 * xp.tanh(0.5 * x) + 0.5


def _gates(z: Any, count: int) -> list[Any]:
    width = z.shape[1] // count
    return [z[:, k * width : (k + 1) * width] for k in range(count)]


def _gradients(
    xp: Any, need: Sequence[bool], x: Any, h: Any, weight_ih: Any, d_ih: Any, d_hh: Any, bias_ih: Any, bias_hh: Any
) -> tuple:
    """Of x, weight_ih, weight_hh, bias_ih and bias_hh: one product or sum over all steps for each."""
    turned = xp.matrix_transpose
    return (
        gemm(xp, d_ih, weight_ih) if need[0] else None,
        gemm(xp, turned(d_ih), x) if need[1] else None,
        gemm(xp, turned(d_hh), h) if need[2] else None,
        xp.sum(d_ih, axis=0) if need[3] and bias_ih is not None else None,
        xp.sum(d_hh, axis=0) if need[4] and bias_hh is not None else None,
    )


# --- operations -------------------------------------------------------------------------------------------------------
@primitive(returns=Recurrent, precision="low")
def rnn(
    xp: Any,
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
    """h ← f(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), f "tanh" or "relu". Elman (1990).

    x (rows, in), h (N, H), weight_ih (H, in), weight_hh (H, H), biases (H); `rows` is Σ batch_sizes. Returns y (rows, H) and
    the last h (N, H).
    """
    projected = _affine(xp, x, weight_ih, bias_ih, bias_hh)
    before: list[Any] = []
    after: list[Any] = []

    def step(rows: slice, h: Any) -> tuple:
        z = projected[rows, :] + gemm(xp, h, xp.matrix_transpose(weight_hh))
        before.append(h)
        after.append(xp.tanh(z) if nonlinearity == "tanh" else xp.maximum(z, xp.zeros_like(z)))
        return (after[-1],)

    (last,) = unroll(xp, step, (h,), batch_sizes, reverse)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        need, states, slopes = wanted(need, 6), reversed(after), []

        def back(rows: slice, d: Any) -> tuple:
            y = next(states)
            slope = 1 - y * y if nonlinearity == "tanh" else xp.astype(y != 0, y.dtype)
            slopes.append((d + g[0][rows, :]) * slope)
            return (gemm(xp, slopes[-1], weight_hh),)

        (grad_h,) = unroll(xp, back, (g[1],), batch_sizes, not reverse)
        d, previous = in_time(xp, slopes, not reverse), in_time(xp, before, reverse)
        grad_x, *of_weights = _gradients(xp, (need[0], *need[2:]), x, previous, weight_ih, d, d, bias_ih, bias_hh)
        return grad_x, grad_h, *of_weights

    return Recurrent(in_time(xp, after, reverse), last), vjp


@primitive(returns=Lstm, precision="low")
def lstm(
    xp: Any,
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
    """i, f, g, o = x W_ihᵀ + b_ih + h W_hhᵀ + b_hh, c ← σ(f) c + σ(i) tanh(g), h ← σ(o) tanh(c) [W_hrᵀ].

    x (rows, in), h (N, P), c (N, H), weight_ih (4H, in), weight_hh (4H, P), biases (4H), weight_hr (P, H) or None, and P is H;
    `rows` is Σ batch_sizes. Returns y (rows, P), the last h (N, P) and c (N, H).

    Hochreiter & Schmidhuber (1997), with the forget gate of Gers et al. (2000); W_hr: Sak et al. (2014).
    """
    projected = _affine(xp, x, weight_ih, bias_ih, bias_hh)
    kept: list[tuple] = []
    after: list[Any] = []

    def step(rows: slice, h: Any, c: Any) -> tuple:
        z = projected[rows, :] + gemm(xp, h, xp.matrix_transpose(weight_hh))
        i, f, g, o = _gates(z, 4)
        i, f, g, o = _sigmoid(xp, i), _sigmoid(xp, f), xp.tanh(g), _sigmoid(xp, o)
        new = f * c + i * g
        t = xp.tanh(new)
        m = o * t
        kept.append((h, c, i, f, g, o, t, m))
        after.append(m if weight_hr is None else gemm(xp, m, xp.matrix_transpose(weight_hr)))
        return after[-1], new

    last = unroll(xp, step, (h, c), batch_sizes, reverse)

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        need, steps = wanted(need, 8), reversed(kept)
        of_gates: list[Any] = []
        of_outputs: list[Any] = []

        def back(rows: slice, dh: Any, dc: Any) -> tuple:
            _, c, i, f, g, o, t, _ = next(steps)
            dh = dh + grad[0][rows, :]
            dm = dh if weight_hr is None else gemm(xp, dh, weight_hr)
            dc = dc + dm * o * (1 - t * t)
            of_outputs.append(dh)
            dz = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dm * t * o * (1 - o)]
            of_gates.append(xp.concat(dz, axis=1))
            return gemm(xp, of_gates[-1], weight_hh), dc * f

        grad_h, grad_c = unroll(xp, back, grad[1:], batch_sizes, not reverse)
        d, previous = in_time(xp, of_gates, not reverse), in_time(xp, [k[0] for k in kept], reverse)
        grad_x, *of_weights = _gradients(xp, (need[0], *need[3:7]), x, previous, weight_ih, d, d, bias_ih, bias_hh)
        grad_hr = None
        if weight_hr is not None and need[7]:
            d, m = in_time(xp, of_outputs, not reverse), in_time(xp, [k[-1] for k in kept], reverse)
            grad_hr = gemm(xp, xp.matrix_transpose(d), m)
        return grad_x, grad_h, grad_c, *of_weights, grad_hr

    return Lstm(in_time(xp, after, reverse), *last), vjp


@primitive(returns=Recurrent, precision="low")
def gru(
    xp: Any,
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
    """h ← (1 − z) n + z h with r, z = σ(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh) and n = tanh(x W_inᵀ + b_in + u), Cho et al. (2014).

    u is r (h W_hnᵀ + b_hn), or (r h) W_hnᵀ + b_hn, the original form, with `reset_after=False`. x (rows, in), h (N, H),
    weight_ih (3H, in), weight_hh (3H, H), biases (3H), in the order r, z, n. Returns y (rows, H) and the last h (N, H).
    """
    projected, width = _affine(xp, x, weight_ih, bias_ih), h.shape[1]
    cut = 3 * width if reset_after else 2 * width  # how many rows of weight_hh multiply h itself
    bias, bias_n = (None, None) if bias_hh is None else (bias_hh[:cut], bias_hh[2 * width :])
    kept: list[tuple] = []
    after: list[Any] = []

    def step(rows: slice, h: Any) -> tuple:
        ours = _affine(xp, h, weight_hh[:cut, :], bias)
        z = projected[rows, :]
        r = _sigmoid(xp, z[:, :width] + ours[:, :width])
        u = _sigmoid(xp, z[:, width : 2 * width] + ours[:, width : 2 * width])
        s = ours[:, 2 * width :] if reset_after else r * h
        n = xp.tanh(z[:, 2 * width :] + (r * s if reset_after else _affine(xp, s, weight_hh[cut:, :], bias_n)))
        kept.append((h, r, u, n, s))
        after.append(n + u * (h - n))
        return (after[-1],)

    (last,) = unroll(xp, step, (h,), batch_sizes, reverse)

    def vjp(grad: Any, need: Any, into: Any) -> tuple:
        need, steps = wanted(need, 6), reversed(kept)
        d_ih: list[Any] = []
        d_hh: list[Any] = []

        def back(rows: slice, d: Any) -> tuple:
            h, r, u, n, s = next(steps)
            d = d + grad[0][rows, :]
            dn, du = d * (1 - u) * (1 - n * n), d * (h - n) * u * (1 - u)
            ds = dn * r if reset_after else gemm(xp, dn, weight_hh[cut:, :])
            dr = (dn * s if reset_after else ds * h) * r * (1 - r)
            d_ih.append(xp.concat([dr, du, dn], axis=1))
            d_hh.append(xp.concat([dr, du, ds if reset_after else dn], axis=1))
            d = d * u + gemm(xp, d_hh[-1][:, :cut], weight_hh[:cut, :])
            return (d if reset_after else d + ds * r,)

        (grad_h,) = unroll(xp, back, grad[1:], batch_sizes, not reverse)
        of_x, of_h = in_time(xp, d_ih, not reverse), in_time(xp, d_hh, not reverse)
        previous = in_time(xp, [k[0] for k in kept], reverse)
        grad_x, *of_weights = _gradients(xp, (need[0], *need[2:]), x, previous, weight_ih, of_x, of_h, bias_ih, bias_hh)
        if need[3] and not reset_after:
            turned, reset = xp.matrix_transpose(of_h), in_time(xp, [k[-1] for k in kept], reverse)
            of_weights[1] = xp.concat([of_weights[1][:cut, :], gemm(xp, turned[cut:, :], reset)], axis=0)
        return grad_x, grad_h, *of_weights

    return Recurrent(in_time(xp, after, reverse), last), vjp
