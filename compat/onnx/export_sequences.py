"""Attention and recurrence as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .export_graph import ExportError, Graph, Step
from .export_operators import Handler

__all__ = ["SEQUENCES"]


def attention(g: Graph, op: Step) -> None:
    """softmax(scale · QKᵀ + mask) V, key and query heads (N, H, L, E); a row without keys is 0."""
    q, mask = op.inputs[0], [*op.inputs, None][3]
    if q.ndim != 4:
        raise ExportError(f"{op.where} needs arrays (N, H, L, E), got {q.shape}")
    scale = op.static.get("scale")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    names = [*op.names[:3], op.names[3] if mask is not None else ""]
    g.node("Attention", names, op.results, is_causal=int(op.static.get("is_causal", False)), scale=float(scale))


def split_heads(g: Graph, op: Step) -> None:
    s = op.static
    if not s.get("batch_first", True):
        raise ExportError(f"{op.where} needs batch_first=True, got False")
    width = op.inputs[0].shape[-1] // (s["parts"] * s["heads"])
    y = g.node("Reshape", [op.names[0], g.constant([0, 0, s["parts"], s["heads"], width])])
    y = g.node("Transpose", [y], perm=[2, 0, 3, 1, 4])
    for i, out in enumerate(op.results):
        g.node("Gather", [y, g.constant(i)], out, axis=0)


# Gates in the order of ONNX: here they are (i, f, g, o), (r, z, n) and one
ORDERS = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def in_order(g: Graph, names: list[str], rows: np.ndarray, dtype: Any) -> list[str]:
    """Both weights, and both biases or zeros as one, with their rows in ONNX's order; of parameters, initialisers."""
    if all(name in g.initializers for name in names if name):
        w, r, *b = [(g.initializers[name] if name else np.zeros(len(rows)))[rows][None] for name in names]
        stems = [f"{names[0]}.onnx", f"{names[1]}.onnx", f"{names[0]}.bias.onnx"]
        return [g.weight(v, dtype, s) for v, s in zip((w, r, np.concatenate(b, axis=1)), stems)]
    front, found = g.constant([0]), []
    for name in names:
        taken = g.node("Gather", [name, g.constant(rows)], axis=0) if name else g.constant(np.zeros(len(rows)), dtype)
        found.append(g.node("Unsqueeze", [taken, front]))
    return [*found[:2], g.node("Concat", found[2:], axis=1)]


def recurrent(g: Graph, op: Step) -> None:
    """One direction of one layer: x (T · N, I) step by step, h (N, H)."""
    s, sizes = op.static, op.static["batch_sizes"]
    if len(set(sizes)) != 1:
        raise ExportError(f"{op.where} needs sequences of one length, got batch sizes {sizes}; pad them")
    states = 2 if op.name == "lstm" else 1
    names = [*op.names, "", "", ""][: 1 + states + 4]
    if len(op.names) > 7 and op.names[7]:
        raise ExportError(f"{op.where} needs proj_size=0: ONNX has no projection of states")
    order, hidden = ORDERS[op.name], op.inputs[1].shape[1]
    rows, front = np.concatenate([np.arange(hidden) + i * hidden for i in order]), g.constant([0])
    w, r, b = in_order(g, names[1 + states :], rows, op.inputs[0].dtype)
    batch = g.node("Shape", [names[1]], start=0, end=1)
    shape = g.node("Concat", [g.constant([-1]), batch, g.constant([op.inputs[0].shape[1]])], axis=0)
    x = g.node("Reshape", [names[0], shape])
    first = [g.node("Unsqueeze", [name, front]) for name in names[1 : 1 + states]]
    outs = [g.fresh(f"{g.prefix}{op.name}.{i}") for i in range(1 + states)]
    extra: dict[str, Any] = {"linear_before_reset": int(s.get("reset_after", True))} if op.name == "gru" else {}
    if op.name == "rnn":
        extra = {"activations": [s.get("nonlinearity", "tanh").capitalize()]}
    direction = "reverse" if s.get("reverse") else "forward"
    g.node(op.name.upper(), [x, w, r, b, "", *first], outs, hidden_size=hidden, direction=direction, **extra)
    g.node("Reshape", [outs[0], g.constant([-1, hidden])], op.results[0])
    for out, result in zip(outs[1:], op.results[1:]):
        g.node("Squeeze", [out, front], result)


SEQUENCES: dict[str, Handler] = {
    "scaled_dot_product_attention": attention,
    "split_heads": split_heads,
    "lstm": recurrent,
    "gru": recurrent,
    "rnn": recurrent,
}
