"""Normalisation as ONNX nodes."""

from __future__ import annotations

import numpy as np

from ...backend.tape.tensor import Tensor
from .export_graph import Graph, Step
from .export_operators import Handler, number

__all__ = ["NORMS"]


def affine(g: Graph, op: Step, at: int, size: int) -> list[str]:
    """Weight and bias, ones and zeros where there are none."""
    given = [*op.names[at:], "", ""][:2]
    return [name or g.constant(np.full(size, fill), op.inputs[0].dtype) for name, fill in zip(given, (1, 0))]


def batch_norm(g: Graph, op: Step) -> None:
    scale = affine(g, op, 3, op.inputs[0].shape[1])
    g.node("BatchNormalization", [op.names[0], *scale, *op.names[1:3]], op.results, epsilon=op.static.get("eps", 1e-5))


def batch_norm_of_batch(g: Graph, op: Step) -> None:
    """By the batch's own mean and variance, which come out, too: the variance as Σ d² / (n − 1)."""
    n, axes, one = op.inputs[0].ndim, [0, *range(2, op.inputs[0].ndim)], number(g, op, 1)
    x, over, shape = op.names[0], g.constant(axes), g.constant([-1] + [1] * (n - 2))
    mean = g.node("ReduceMean", [x, over])
    d = g.node("Sub", [x, mean])
    var = g.node("ReduceMean", [g.node("Mul", [d, d]), over])
    root = g.node("Sqrt", [g.node("Add", [var, number(g, op, op.static.get("eps", 1e-5))])])
    scale = [g.node("Reshape", [v, shape]) for v in affine(g, op, 1, op.inputs[0].shape[1])]
    g.node("Add", [g.node("Mul", [g.node("Div", [d, root]), scale[0]]), scale[1]], op.results[0])
    count = g.cast(
        g.node("Div", [g.node("Size", [x]), g.node("Size", [mean])]), Tensor(np.zeros(1, np.int64)), op.outputs[0].dtype
    )
    less = g.node("Max", [g.node("Sub", [count, one]), one])
    unbiased = g.node("Div", [g.node("Mul", [var, count]), less])
    for value, out in ((mean, op.results[1]), (unbiased, op.results[2])):
        g.node("Reshape", [value, g.constant([-1])], out)


def layer_norm(g: Graph, op: Step) -> None:
    n = op.static.get("normalized_ndim", 1)
    scale, bias = affine(g, op, 1, 1)
    if not [*op.names, ""][1]:
        g.initializers[scale] = np.ones(op.inputs[0].shape[-n:], op.inputs[0].dtype)
    given = [*op.names, "", ""][2] and bias
    g.node("LayerNormalization", [op.names[0], scale, given], op.results, axis=-n, epsilon=op.static.get("eps", 1e-5))


def rms_norm(g: Graph, op: Step) -> None:
    n, eps = op.static.get("normalized_ndim", 1), op.static.get("eps")
    scale = [*op.names, ""][1] or g.constant(np.ones(op.inputs[0].shape[-n:]), op.inputs[0].dtype)
    eps = float(np.finfo(op.inputs[0].dtype).eps) if eps is None else eps
    g.node("RMSNormalization", [op.names[0], scale], op.results, axis=-n, epsilon=eps)


def group_norm(g: Graph, op: Step) -> None:
    scale = affine(g, op, 1, op.inputs[0].shape[1])
    s = op.static
    g.node(
        "GroupNormalization", [op.names[0], *scale], op.results, num_groups=s["num_groups"], epsilon=s.get("eps", 1e-5)
    )


NORMS: dict[str, Handler] = {
    "batch_norm": batch_norm_of_batch,
    "batch_norm_inference": batch_norm,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
}
