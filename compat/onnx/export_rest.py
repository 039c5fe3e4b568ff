"""Bits, signs, triangles and small matrices of arrays as ONNX nodes."""

from __future__ import annotations

import numpy as np

from .export_graph import ExportError, Graph, Step
from .export_operators import Handler, number, operands

__all__ = ["REST"]


def below_zero(g: Graph, op: Step, x: str) -> str:
    """Whether the sign is −, that of −0 included."""
    zero = number(g, op, 0)
    return g.node("Or", [g.node("Less", [v, zero]) for v in (x, g.node("Reciprocal", [x]))])


def signbit(g: Graph, op: Step) -> None:
    zero = g.constant(0, op.inputs[0].dtype)
    g.node("Or", [g.node("Less", [v, zero]) for v in (op.names[0], g.node("Reciprocal", [op.names[0]]))], op.results)


def copysign(g: Graph, op: Step) -> None:
    x, y = operands(g, op)
    size = g.node("Abs", [x])
    g.node("Where", [below_zero(g, op, y), g.node("Neg", [size]), size], op.results)


def shift(g: Graph, op: Step) -> None:
    """x · 2ᵏ, or ⌊x / 2ᵏ⌋: ONNX shifts unsigned integers alone."""
    x, k = operands(g, op)
    power = g.node("Pow", [number(g, op, 2), k])
    if op.name == "bitwise_left_shift":
        g.node("Mul", [x, power], op.results)
    else:
        g.node("Div", [g.node("Sub", [x, g.node("Mod", [x, power])]), power], op.results)


def isin(g: Graph, op: Step) -> None:
    """Whether the sum over x₂ of x₁ = x₂ is above 0."""
    x, y = op.names
    pairs = g.node("Equal", [g.node("Unsqueeze", [x, g.constant([-1])]), g.node("Reshape", [y, g.constant([-1])])])
    found = g.node("ReduceSum", [g.node("Cast", [pairs], to=7), g.constant([-1])], keepdims=0)
    kind = "Equal" if op.static.get("invert") else "Greater"
    g.node(kind, [found, g.constant(0)], op.results)


def searchsorted(g: Graph, op: Step) -> None:
    """How many of the sorted are below (or, on the right, not above) each value."""
    if op.static.get("sorter") is not None:
        raise ExportError(f"{op.where} needs sorter=None, got one; take x1 in order first")
    kind = "Greater" if op.static.get("side", "left") == "left" else "GreaterOrEqual"
    above = g.node(kind, [g.node("Unsqueeze", [op.names[1], g.constant([-1])]), op.names[0]])
    found = g.node("ReduceSum", [g.node("Cast", [above], to=7), g.constant([-1])], keepdims=0)
    g.node("Identity", [g.cast(found, op.outputs[0], op.outputs[0].dtype)], op.results)


def cross(g: Graph, op: Step) -> None:
    """a₂b₃ − a₃b₂ and so on, by both turned once and twice."""
    axis = op.static.get("axis", -1)
    axis = axis if axis < 0 else axis - max(x.ndim for x in op.inputs)
    once, twice = g.constant([1, 2, 0]), g.constant([2, 0, 1])
    a, b = operands(g, op)
    turned = [[g.node("Gather", [v, by], axis=axis) for by in (once, twice)] for v in (a, b)]
    parts = [g.node("Mul", [turned[0][i], turned[1][1 - i]]) for i in (0, 1)]
    g.node("Sub", parts, op.results)


def diagonal(g: Graph, op: Step) -> None:
    """Of matrices of fixed size: Gather of each row's place in the flattened matrix."""
    (*_, rows, columns), (*_, n, m), k = op.inputs[0].shape, op.again.inputs[0].shape, op.static.get("offset", 0)
    if (rows, columns) != (n, m):
        raise ExportError(f"{op.where} needs matrices of fixed size, got {(rows, columns)} and {(n, m)}")
    places = np.diagonal(np.arange(rows * columns).reshape(rows, columns), k)
    flat = g.node("Reshape", [op.names[0], g.constant([0] * (op.inputs[0].ndim - 2) + [-1])])
    g.node("Gather", [flat, g.constant(places)], op.results, axis=-1)


def slogdet(g: Graph, op: Step) -> None:
    value = g.node("Det", [op.names[0]])
    g.node("Sign", [value], op.results[0])
    g.node("Log", [g.node("Abs", [value])], op.results[1])


REST: dict[str, Handler] = {
    "signbit": signbit,
    "copysign": copysign,
    "bitwise_left_shift": shift,
    "bitwise_right_shift": shift,
    "isin": isin,
    "searchsorted": searchsorted,
    "cross": cross,
    "diagonal": diagonal,
    "det": lambda g, op: g.node("Det", op.names, op.results),
    "slogdet": slogdet,
    "move": lambda g, op: g.node("Identity", op.names[:1], op.results),
}
