"""Benches of recurrent layers: a whole sequence, launch by launch, beside cuDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.nn import recurrent
from .case import TOLERANCE, Bench, Case, Make, gradients, once, torch_gradients
from .machine import Machine

__all__ = ["BENCHES"]


def lstm(machine: Machine, steps: int, batch: int, width: int, dtype: str) -> Case:
    """Forward and backward of an LSTM whose input is as wide as its state: three times the products with both weights.

    Outputs and the gradient of the input are compared for the last sequence, over all steps.
    """
    rows, states, bound = steps * batch, (batch, width), width**-0.5
    x, g = (machine.random(rows, width, dtype=dtype, seed=s) for s in (0, 1))
    h, c = (machine.random(*states, dtype=dtype, seed=s) for s in (2, 3))
    weights = [machine.random(4 * width, width, dtype=dtype, seed=s, scale=bound) for s in (4, 5)]
    biases = [machine.random(4 * width, dtype=dtype, seed=s, scale=bound) for s in (6, 7)]
    raw = (x, h, c, *weights, *biases)

    def weft() -> Callable:
        def run() -> tuple:
            out, pullback = once(machine, recurrent.lstm, raw, batch_sizes=(batch,) * steps)
            above = (g, machine.xp.zeros_like(out.h), machine.xp.zeros_like(out.c))
            return (out.y, *gradients(pullback, above, (True, False, False, True, True, True, True)))

        return run

    makers: dict[str, Make] = {"weft": weft}
    if torch := machine.torch:
        tensors = [machine.to_torch(a, k not in (1, 2)) for k, a in enumerate(raw)]

        def call(x: Any, h: Any, c: Any, *of_layer: Any) -> Any:
            sequence, first = x.reshape(steps, batch, width), (h[None], c[None])
            return torch._VF.lstm(sequence, first, of_layer, True, 1, 0.0, True, False, False)[0].reshape(rows, width)

        makers["torch"] = torch_gradients(machine, call, tensors, machine.to_torch(g), part="both")

    def compare(*found: Any) -> list:
        last = slice(batch - 1, None, batch)
        y, grad_x = _exact(machine, [machine.wide(a) for a in raw], machine.wide(g)[last], batch)
        return [(found[0][last], y), (found[1][last], grad_x)]

    about = f"LSTM forward + backward, {steps} steps of {batch}×{width}, {dtype}"
    tolerance = {"float32": 1e-4}.get(dtype, 4 * TOLERANCE[dtype])  # step after step rounds
    return Case(about, makers, compare, tolerance, 3 * 2 * rows * 2 * 4 * width**2, dtype)


def _exact(machine: Machine, raw: list, above: Any, batch: int) -> tuple[Any, Any]:
    """y and grad_x of the last sequence, step by step."""
    xp, (x, h, c, w, u, b, d) = machine.xp, raw
    x, h, c, width = x[batch - 1 :: batch], h[-1], c[-1], h.shape[1]
    sigmoid, kept, y = (lambda z: 1 / (1 + xp.exp(-z))), [], xp.zeros(above.shape)
    for t in range(len(x)):
        z = w @ x[t] + b + u @ h + d
        i, f, o = (sigmoid(z[k * width : (k + 1) * width]) for k in (0, 1, 3))
        m = xp.tanh(z[2 * width : 3 * width])
        before, c = c, f * c + i * m
        h = y[t] = o * xp.tanh(c)
        kept.append((i, f, m, o, before, xp.tanh(c)))
    grad_x, d_h, d_c = xp.zeros(x.shape), xp.zeros(width), xp.zeros(width)
    for t in range(len(x) - 1, -1, -1):
        i, f, m, o, before, squashed = kept[t]
        d_h = d_h + above[t]
        d_c = d_c + d_h * o * (1 - squashed**2)
        of_gates = (
            d_c * m * i * (1 - i),
            d_c * before * f * (1 - f),
            d_c * i * (1 - m * m),
            d_h * squashed * o * (1 - o),
        )
        dz = xp.concatenate(of_gates)
        grad_x[t], d_h, d_c = w.T @ dz, u.T @ dz, d_c * f
    return y, grad_x


BENCHES = [
    Bench(f"lstm-{width}-{dtype}", lstm,
          {"steps": 128, "batch": 64, "width": width, "dtype": dtype}, {"steps": 4, "batch": 3, "width": 8, "dtype": dtype})
    for width, dtype in ((1024, "bfloat16"), (1024, "float32"), (256, "bfloat16"))
]  # fmt: skip
