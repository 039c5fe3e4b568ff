"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....backend.nn import recurrent as primitives
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


def _functions(attributes: Attributes, names: list[str], count: int) -> list[list[Callable[[Any], Any]]]:
    """Activations, `count` for a direction; each takes the next of `activation_alpha` and `activation_beta` that it needs."""
    given = [iter(attributes.get(f"activation_{which}", ())) for which in ("alpha", "beta")]
    found: list[Callable[[Any], Any]] = []
    for name in names:
        function, defaults = _FUNCTIONS[name]
        numbers = [next(values, number) for values, number in zip(given, defaults)]
        if None in numbers:
            raise NotImplementedError(f"`activations` {name} must have `activation_alpha` and `activation_beta`")
        is_of_gate = len(found) % count < 2  # which `clip` bounds, unlike the cell
        found.append(_of_one(function, numbers, attributes.get("clip", 0.0) if is_of_gate else 0.0))
    return [found[i : i + count] for i in range(0, len(found), count)]


def _of_one(function: Callable[..., Any], numbers: list[Any], bound: float) -> Callable[[Any], Any]:
    """A function of x alone, which is bounded by a number unless that is 0."""
    return lambda x: function(x.clamp(-bound, bound) if bound else x, *numbers)


def _lstm(attributes: Attributes, z: Any, c: Any, p: Any, f: Any) -> tuple[Any, Any]:
    """Gates in the order i, o, f, c; with `input_forget`, f = 1 − i."""
    i, o, forget, new = z.chunk(4, -1)
    pi, po, pf = (0, 0, 0) if p is None else p.chunk(3, -1)
    i = f[0](i + pi * c)
    forget = 1 - i if attributes.get("input_forget", 0) else f[0](forget + pf * c)
    c = forget * c + i * f[1](new)
    return f[0](o + po * c) * f[2](c), c


def recurrent(gates: int, default: list[str]) -> Callable[..., Any]:
    """In one or both directions; a sequence that has ended keeps its state and gives zeros."""

    def run(attributes: Attributes, x: Any, w: Any, r: Any, *given: Any) -> Any:
        bias, lengths, h0, c0, peep = (*given, None, None, None, None, None)[:5]
        if attributes.get("layout", 0):
            x, h0, c0 = (s if s is None else weft.moveaxis(s, 0, 1) for s in (x, h0, c0))
        (time, batch, _), (directions, _, size) = x.shape, r.shape
        names = [name.decode().lower() for name in attributes.get("activations", [])] or default * directions
        if any(name not in _FUNCTIONS for name in names):
            raise NotImplementedError(f"`activations` must be of {', '.join(_FUNCTIONS)}, got {', '.join(names)}")
        functions = _functions(attributes, names, len(default))
        is_changed = attributes.get("clip") or attributes.get("input_forget") or lengths is not None or peep is not None
        is_plain = time and not is_changed and names in (default * directions, ["relu"] * directions)
        found = []
        for d in range(directions):
            zero = weft.zeros((batch, size), dtype=x.dtype, device=x.device)
            h, c = (zero if s is None else s[d] for s in (h0, c0))
            biases = (None, None) if bias is None else (bias[d][: gates * size], bias[d][gates * size :])
            is_backward = d == 1 or attributes.get("direction") == b"reverse"
            if is_plain:
                found.append(_at_once(attributes, x, h, c, (w[d], r[d], *biases), is_backward, names[-1]))
            else:
                p = None if peep is None else peep[d]
                step = lambda z, h, c, d=d, p=p, rb=biases[1]: _step(
                    gates, attributes, z, h, c, r[d], rb, p, functions[d]
                )
                projected = weft.matmul(x, w[d].T) + (0 if biases[0] is None else biases[0])
                found.append(_by_steps(step, projected, h, c, lengths, is_backward))
        y, *last = (
            weft.stack(of, axis=1 - min(i, 1)) for i, of in enumerate(zip(*found))
        )  # y (time, directions, N, size)
        if attributes.get("layout", 0):
            y, last = weft.permute_dims(y, (2, 0, 1, 3)), [weft.moveaxis(s, 0, 1) for s in last]
        return (y, *last[: 2 if gates == 4 else 1])

    return run


# Where our gates i f g o, and r z n, are among those of ONNX, i o f c and z r h
_PLACES = {4: (0, 2, 3, 1), 3: (1, 0, 2), 1: (0,)}


def _at_once(
    attributes: Attributes, x: Any, h: Any, c: Any, weights: tuple, is_backward: bool, name: str
) -> tuple[Any, ...]:
    """One direction by our primitives: y (T, N, H) and the last states."""
    (time, batch, width), gates = x.shape, weights[1].shape[0] // h.shape[1]

    def ours(v: Any) -> Any:
        parts = None if v is None else v.chunk(gates, 0)
        return parts if parts is None else weft.concat([parts[i] for i in _PLACES[gates]], axis=0)

    given = [ours(v) for v in weights]
    rows, static = weft.reshape(x, (time * batch, width)), {"batch_sizes": (batch,) * time, "reverse": is_backward}
    if gates == 4:
        y, h, c = primitives.lstm(rows, h, c, *given, **static)
    elif gates == 3:
        y, h = primitives.gru(rows, h, *given, reset_after=bool(attributes.get("linear_before_reset", 0)), **static)
    else:
        y, h = primitives.rnn(rows, h, *given, nonlinearity=name, **static)
    return weft.reshape(y, (time, batch, h.shape[1])), h, c


def _by_steps(step: Callable[..., Any], x: Any, h: Any, c: Any, lengths: Any, is_backward: bool) -> tuple[Any, ...]:
    """One direction of sequences of any lengths."""
    time, zero = x.shape[0], weft.zeros_like(h)
    ends = np.full(x.shape[1], time) if lengths is None else np.asarray(lengths)
    steps = [zero] * time
    for t in reversed(range(time)) if is_backward else range(time):
        new_h, new_c = step(x[t], h, c)
        if (ends <= t).any():
            alive = weft.asarray((t < ends)[:, None], device=x.device)
            steps[t] = weft.where(alive, new_h, zero)
            h, c = weft.where(alive, new_h, h), weft.where(alive, new_c, c)
        else:
            steps[t], h, c = new_h, new_h, new_c
    return weft.stack(steps, axis=0) if steps else x[..., : h.shape[1]], h, c


def _step(
    gates: int, attributes: Attributes, x: Any, h: Any, c: Any, r: Any, bias: Any, p: Any, f: list[Callable[[Any], Any]]
) -> tuple[Any, Any]:
    """One step, x being the part of the input, with its bias."""
    rb = 0 if bias is None else bias
    if gates == 4:
        return _lstm(attributes, x + weft.matmul(h, r.T) + rb, c, p, f)
    if gates == 1:
        return f[0](x + weft.matmul(h, r.T) + rb), c
    xz, xr, xh = x.chunk(3, -1)
    rz, rr, rh = r.chunk(3, 0)
    bz, br, bh = (0, 0, 0) if bias is None else bias.chunk(3, -1)
    update, reset = f[0](xz + weft.matmul(h, rz.T) + bz), f[0](xr + weft.matmul(h, rr.T) + br)
    if attributes.get("linear_before_reset", 0):
        new = f[1](xh + reset * (weft.matmul(h, rh.T) + bh))
    else:
        new = f[1](xh + weft.matmul(reset * h, rh.T) + bh)
    return (1 - update) * new + update * h, c


OPERATORS: dict[str, Callable[..., Any]] = {
    "GRU": recurrent(3, ["sigmoid", "tanh"]), "LSTM": recurrent(4, ["sigmoid", "tanh", "tanh"]), "RNN": recurrent(1, ["tanh"]),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = dict.fromkeys(OPERATORS, (4,))
