"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....layers import functional as F
from .elementwise import Attributes

__all__ = ["HOST", "OPERATORS"]

# Of x and up to two numbers, which are these unless the node gives some
_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[float | None, ...]]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, (None, None)),
    "elu": (F.elu, (1.0,)),
    "hardsigmoid": (lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), (0.2, 0.5)),
    "leakyrelu": (F.leaky_relu, (0.01,)),
    "relu": (F.relu, ()),
    "scaledtanh": (lambda x, alpha, beta: alpha * weft.tanh(beta * x), (None, None)),
    "sigmoid": (F.sigmoid, ()),
    "softplus": (lambda x: F.softplus(x, threshold=1e9), ()),
    "softsign": (F.softsign, ()),
    "tanh": (weft.tanh, ()),
    "thresholdedrelu": (lambda x, alpha: F.threshold(x, alpha, 0.0), (1.0,)),
}


def _functions(attributes: Attributes, default: list[str], directions: int) -> list[list[Callable[[Any], Any]]]:
    """Activations of each direction; each takes the next of `activation_alpha` and `activation_beta` that it needs."""
    names = [name.decode().lower() for name in attributes.get("activations", [])] or default * directions
    if any(name not in _FUNCTIONS for name in names):
        raise NotImplementedError(f"`activations` must be of {', '.join(_FUNCTIONS)}, got {', '.join(names)}")
    given, count = [iter(attributes.get(f"activation_{which}", ())) for which in ("alpha", "beta")], len(default)
    found: list[Callable[[Any], Any]] = []
    for name in names:
        function, defaults = _FUNCTIONS[name]
        numbers = [next(values, number) for values, number in zip(given, defaults)]
        if None in numbers:
            raise NotImplementedError(f"`activations` {name} must have `activation_alpha` and `activation_beta`")
        is_of_gate = len(found) % count < 2  # which `clip` bounds, unlike the cell
        found.append(_of_one(function, numbers, attributes.get("clip", 0.0) if is_of_gate else 0.0))
    return [found[d * count : (d + 1) * count] for d in range(directions)]


def _of_one(function: Callable[..., Any], numbers: list[Any], bound: float) -> Callable[[Any], Any]:
    """A function of x alone, which is bounded by a number unless that is 0."""
    return lambda x: function(x.clamp(-bound, bound) if bound else x, *numbers)


def _rnn(attributes: Attributes, w: Any, b: Any, h: Any, c: Any, p: Any, f: Any) -> tuple[Any, Any]:
    return f[0](w + b), None


def _lstm(attributes: Attributes, w: Any, b: Any, h: Any, c: Any, p: Any, f: Any) -> tuple[Any, Any]:
    """Gates in the order i, o, f, c; with `input_forget`, f = 1 − i."""
    i, o, forget, new = (w + b).chunk(4, -1)
    pi, po, pf = (0, 0, 0) if p is None else p.chunk(3, -1)
    i = f[0](i + pi * c)
    forget = 1 - i if attributes.get("input_forget", 0) else f[0](forget + pf * c)
    c = forget * c + i * f[1](new)
    return f[0](o + po * c) * f[2](c), c


def recurrent(gates: int, default: list[str]) -> Callable[..., Any]:
    """Step by step, in one or both directions; a sequence that has ended keeps its state and gives zeros."""

    def run(attributes: Attributes, x: Any, w: Any, r: Any, *given: Any) -> Any:
        bias, lengths, h0, c0, peep = (*given, None, None, None, None, None)[:5]
        x = weft.moveaxis(x, 0, 1) if attributes.get("layout", 0) else x
        if attributes.get("layout", 0):
            h0, c0 = (s if s is None else weft.moveaxis(s, 0, 1) for s in (h0, c0))
        time, batch, _ = x.shape
        directions, size = r.shape[0], r.shape[-1]
        way = attributes.get("direction", b"forward").decode()
        functions = _functions(attributes, default, directions)
        ends = np.full(batch, time) if lengths is None else np.asarray(lengths)
        outputs, last_h, last_c = [], [], []
        for d in range(directions):
            backward = way == "reverse" or d == 1
            wb, rb = (None, None) if bias is None else (bias[d][: gates * size], bias[d][gates * size :])
            zero = weft.zeros((batch, size), dtype=x.dtype, device=x.device)
            h = zero if h0 is None else h0[d]
            c = zero if c0 is None else c0[d]
            p = None if peep is None else peep[d]
            steps = [zero] * time
            for t in reversed(range(time)) if backward else range(time):
                product = weft.matmul(x[t], w[d].T) + (0 if wb is None else wb)
                new_h, new_c = _step(gates, attributes, product, h, c, r[d], rb, p, functions[d])
                if (ends <= t).any():
                    alive = weft.asarray((t < ends)[:, None], device=x.device)
                    steps[t] = weft.where(alive, new_h, zero)
                    new_h = weft.where(alive, new_h, h)
                    new_c = new_c if new_c is None else weft.where(alive, new_c, c)
                else:
                    steps[t] = new_h
                h, c = new_h, new_c
            outputs.append(weft.stack(steps, axis=0))
            last_h.append(h)
            last_c.append(c)
        y = weft.stack(outputs, axis=1)  # (time, directions, batch, size)
        found = [y, weft.stack(last_h, axis=0)] + ([weft.stack(last_c, axis=0)] if gates == 4 else [])
        if attributes.get("layout", 0):
            found = [weft.permute_dims(y, (2, 0, 1, 3)), *(weft.moveaxis(s, 0, 1) for s in found[1:])]
        return tuple(found)

    return run


def _step(
    gates: int, attributes: Attributes, x: Any, h: Any, c: Any, r: Any, bias: Any, p: Any, f: list[Callable[[Any], Any]]
) -> tuple[Any, Any]:
    """One step, x being the part of the input, with its bias."""
    rb = 0 if bias is None else bias
    if gates != 3:
        rule = _lstm if gates == 4 else _rnn
        return rule(attributes, x, weft.matmul(h, r.T) + rb, h, c, p, f)
    xz, xr, xh = x.chunk(3, -1)
    rz, rr, rh = r.chunk(3, 0)
    bz, br, bh = (0, 0, 0) if bias is None else bias.chunk(3, -1)
    update, reset = f[0](xz + weft.matmul(h, rz.T) + bz), f[0](xr + weft.matmul(h, rr.T) + br)
    if attributes.get("linear_before_reset", 0):
        new = f[1](xh + reset * (weft.matmul(h, rh.T) + bh))
    else:
        new = f[1](xh + weft.matmul(reset * h, rh.T) + bh)
    return (1 - update) * new + update * h, None


OPERATORS: dict[str, Callable[..., Any]] = {
    "GRU": recurrent(3, ["sigmoid", "tanh"]), "LSTM": recurrent(4, ["sigmoid", "tanh", "tanh"]), "RNN": recurrent(1, ["tanh"]),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = dict.fromkeys(OPERATORS, (4,))
