"""Losses, padding, resizing, rotations and shrinkage: what takes several ONNX nodes or several of its options."""

from __future__ import annotations

from typing import Any

import numpy as np

from .export_criteria import CRITERIA, reduced
from .export_graph import ExportError, Graph, Step
from .export_lookups import scattered
from .export_operators import Handler, axes_of, number

__all__ = ["OTHERS"]


def difference(g: Graph, op: Step) -> None:
    """mse_loss and l1_loss."""
    d = g.node("Sub", [g.cast(n, x, op.outputs[0].dtype) for n, x in zip(op.names, op.inputs)])
    reduced(g, op, g.node("Mul", [d, d]) if op.name == "mse_loss" else g.node("Abs", [d]))


def cross_entropy(g: Graph, op: Step) -> None:
    """nll_loss and softmax_cross_entropy of class numbers; the logits of linear_cross_entropy are made first."""
    s, (x, target, weight), at = op.static, [*op.names, ""][:3], 1
    if op.name == "linear_cross_entropy":
        at, (target, bias, weight) = 2, [*op.names, "", ""][2:5]
        x = g.node("Gemm", [x, op.names[1], bias], transB=1)
    if np.dtype(op.inputs[at].dtype).kind not in "iu" or s.get("label_smoothing"):
        raise ExportError(f"{op.where} needs class numbers and label_smoothing=0, got targets of {op.inputs[at].dtype}")
    kind = "NegativeLogLikelihoodLoss" if op.name == "nll_loss" else "SoftmaxCrossEntropyLoss"
    options = {"ignore_index": s.get("ignore_index", -100), "reduction": s.get("reduction", "mean")}
    g.node(kind, [x, target, weight], op.results, **options)


def vector_norm(g: Graph, op: Step) -> None:
    order, keep = op.static.get("ord", 2), int(op.static.get("keepdims", False))
    if order in (1, 2):
        g.node(f"ReduceL{int(order)}", [op.names[0], g.constant(axes_of(op))], op.results, keepdims=keep)
        return
    if not 0 < order < np.inf:
        raise ExportError(f"{op.where} needs a finite `ord` above 0, got {order}")
    powers = g.node("Pow", [g.node("Abs", [op.names[0]]), number(g, op, order)])
    total = g.node("ReduceSum", [powers, g.constant(axes_of(op))], keepdims=keep)
    g.node("Pow", [total, number(g, op, 1 / order)], op.results)


def with_logits(g: Graph, op: Step) -> None:
    """x (1 − t) + (1 + (p − 1) t) softplus(−x), softplus(−x) as max(−x, 0) + log(1 + exp(−|x|))."""
    x, t, weight, positive = [
        *(g.cast(n, v, op.outputs[0].dtype) if n else "" for n, v in zip(op.names, op.inputs)),
        "",
        "",
    ][:4]
    one = number(g, op, 1)
    tail = g.node("Log", [g.node("Add", [g.node("Exp", [g.node("Neg", [g.node("Abs", [x])])]), one])])
    soft = g.node("Add", [g.node("Relu", [g.node("Neg", [x])]), tail])
    if positive:
        factor = g.node("Add", [g.node("Mul", [g.node("Sub", [positive, one]), t]), one])
        soft = g.node("Mul", [factor, soft])
    loss = g.node("Add", [g.node("Mul", [x, g.node("Sub", [one, t])]), soft])
    reduced(g, op, g.node("Mul", [loss, weight]) if weight else loss)


def shrink(g: Graph, op: Step) -> None:
    lambd = op.static.get("lambd", 0.5)
    bias = lambd if op.name == "softshrink" else 0.0
    g.node("Shrink", [op.names[0]], op.results, lambd=float(lambd), bias=float(bias))


def tanhshrink(g: Graph, op: Step) -> None:
    g.node("Sub", [op.names[0], g.node("Tanh", [op.names[0]])], op.results)


def setitem(g: Graph, op: Step) -> None:
    """A block inside a constant of one number is padding; all else is written place by place."""
    key, again = (k if isinstance(k, tuple) else (k,) for k in (op.static["key"], op.again.static["key"]))
    shapes = [run.inputs[0].shape for run in (op, op.again)]
    blocks: list[Any] = [getattr(run.inputs[1], "shape", None) for run in (op, op.again)]
    plain = all(isinstance(k, slice) and k.step in (None, 1) for k in (*key, *again))
    if op.names[0] not in g.uniform or not plain or len(key) != len(shapes[0]) or None in blocks:
        scattered(g, op, key, again)
        return
    ends = []
    for slices, shape, block in zip((key, again), shapes, blocks):
        spans = [k.indices(n)[:2] for k, n in zip(slices, shape)]
        if tuple(b - a for a, b in spans) != tuple(block):
            scattered(g, op, key, again)
            return
        ends.append([a for a, _ in spans] + [n - b for (_, b), n in zip(spans, shape)])
    value = g.cast(op.names[1], op.inputs[1], op.outputs[0].dtype)
    g.node("Pad", [value, g.shape(ends[0], ends[1], op.where), number(g, op, g.uniform[op.names[0]])], op.results)


def rotary(g: Graph, op: Step) -> None:
    """(a cos − b sin, b cos + a sin) of pairs: halves or neighbours."""
    n, d, x = op.inputs[1].shape[-1], op.inputs[0].shape[-1], op.names[0]
    cos, sin = (g.cast(name, t, op.inputs[0].dtype) for name, t in zip(op.names[1:], op.inputs[1:]))
    last, near = g.constant([-1]), op.static.get("interleaved", False)

    def part(start: int, stop: int, step: int = 1) -> str:
        return g.node("Slice", [x, g.constant([start]), g.constant([stop]), last, g.constant([step])])

    a, b = (part(0, 2 * n, 2), part(1, 2 * n, 2)) if near else (part(0, n), part(n, 2 * n))
    found = [
        g.node("Sub", [g.node("Mul", [a, cos]), g.node("Mul", [b, sin])]),
        g.node("Add", [g.node("Mul", [b, cos]), g.node("Mul", [a, sin])]),
    ]
    if near:
        pairs = g.node("Concat", [g.node("Unsqueeze", [y, last]) for y in found], axis=-1)
        found = [g.node("Reshape", [pairs, g.constant([0] * (op.inputs[0].ndim - 1) + [2 * n])])]
    g.node("Concat", [*found, *([part(2 * n, d)] if d > 2 * n else [])], op.results, axis=-1)


def resample(g: Graph, op: Step) -> None:
    s, shape = op.static, op.outputs[0].shape
    mode, size = s.get("mode", "nearest"), s["size"]
    scales = s.get("scales", (None,))[: len(size)]
    if mode == "area" or s.get("antialias") or (any(scales) and not all(scales)):
        raise ExportError(f"{op.where} needs antialias=False and scales for all axes or none, got {s}")
    if mode.startswith("nearest"):
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        if mode == "nearest-exact":
            options = {
                "mode": "nearest",
                "coordinate_transformation_mode": "half_pixel",
                "nearest_mode": "round_prefer_ceil",
            }
    else:
        places = "align_corners" if s.get("align_corners") else "half_pixel"
        options = {"mode": "cubic" if "cubic" in mode else "linear", "coordinate_transformation_mode": places}
    if all(scales):
        factors = g.constant([1.0] * (len(shape) - len(size)) + list(scales), np.float32)
        g.node("Resize", [op.names[0], "", factors], op.results, cubic_coeff_a=-0.75, **options)
        return
    sizes = g.shape(shape, op.again.outputs[0].shape, op.where)
    g.node("Resize", [op.names[0], "", "", sizes], op.results, cubic_coeff_a=-0.75, **options)


def softplus(g: Graph, op: Step) -> None:
    """log(1 + exp(βx)) / β, x itself where βx > threshold."""
    beta = number(g, op, op.static.get("beta", 1.0))
    z = g.node("Mul", [op.names[0], beta])
    y = g.node("Div", [g.node("Softplus", [z]), beta])
    g.node(
        "Where", [g.node("Greater", [z, number(g, op, op.static.get("threshold", 20.0))]), op.names[0], y], op.results
    )


def threshold(g: Graph, op: Step) -> None:
    above = g.node("Greater", [op.names[0], number(g, op, op.static["threshold"])])
    g.node("Where", [above, op.names[0], number(g, op, op.static["value"])], op.results)


OTHERS: dict[str, Handler] = {
    **CRITERIA,
    "mse_loss": difference,
    "l1_loss": difference,
    "nll_loss": cross_entropy,
    "linear_cross_entropy": cross_entropy,
    "softmax_cross_entropy": cross_entropy,
    "vector_norm": vector_norm,
    "setitem": setitem,
    "rotary_embedding": rotary,
    "resample": resample,
    "binary_cross_entropy_with_logits": with_logits,
    "hardshrink": shrink,
    "softshrink": shrink,
    "tanhshrink": tanhshrink,
    "softplus": softplus,
    "threshold": threshold,
}
