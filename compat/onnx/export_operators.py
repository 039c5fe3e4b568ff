"""Primitives of arrays as ONNX nodes, element by element or reduced; their shapes are in `export_shapes.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor
from .export_graph import ExportError, Graph, Step

__all__ = ["ARRAYS", "Handler", "axes_of", "number", "operands", "unary"]

Handler = Callable[[Graph, Step], Any]


def unary(kind: str, **attributes: Any) -> Handler:
    """One node of one input, in the output's dtype."""

    def handler(g: Graph, op: Step) -> None:
        g.node(kind, [g.cast(op.names[0], op.inputs[0], op.outputs[0].dtype)], op.results, **attributes)

    return handler


def binary(kind: str) -> Handler:
    """One node of two inputs, both in the output's dtype."""

    def handler(g: Graph, op: Step) -> None:
        dtype = op.outputs[0].dtype
        g.node(kind, [g.cast(n, x, dtype) for n, x in zip(op.names, op.inputs)], op.results)

    return handler


def comparison(kind: str, negated: bool = False) -> Handler:
    """Two inputs in the dtype that both have room in, to bool."""

    def handler(g: Graph, op: Step) -> None:
        kinds = [x.dtype if isinstance(x, Tensor) else x for x in op.inputs]
        dtype = np.result_type(*kinds)
        found = g.node(kind, [g.cast(n, x, dtype) for n, x in zip(op.names, op.inputs)], "" if negated else op.results)
        if negated:
            g.node("Not", [found], op.results)

    return handler


def logical(kind: str) -> Handler:
    """Inputs as bools."""

    def handler(g: Graph, op: Step) -> None:
        g.node(kind, [g.cast(n, x, np.bool_) for n, x in zip(op.names, op.inputs)], op.results)

    return handler


def chain(*kinds: str) -> Handler:
    """Nodes of one input, one after another."""

    def handler(g: Graph, op: Step) -> None:
        value = g.cast(op.names[0], op.inputs[0], op.outputs[0].dtype)
        for kind in kinds[:-1]:
            value = g.node(kind, [value])
        g.node(kinds[-1], [value], op.results)

    return handler


def operands(g: Graph, op: Step) -> list[str]:
    """All inputs in the output's dtype."""
    return [g.cast(n, x, op.outputs[0].dtype) for n, x in zip(op.names, op.inputs)]


def number(g: Graph, op: Step, value: float) -> str:
    """A constant in the output's dtype."""
    return g.constant(value, op.outputs[0].dtype)


def after(kind: str, then: str, value: float) -> Handler:
    """then(kind(x), value); without `kind` of x itself."""

    def handler(g: Graph, op: Step) -> None:
        x = g.cast(op.names[0], op.inputs[0], op.outputs[0].dtype)
        g.node(then, [g.node(kind, [x]) if kind else x, number(g, op, value)], op.results)

    return handler


def log1p(g: Graph, op: Step) -> None:
    g.node("Log", [g.node("Add", [op.names[0], number(g, op, 1)])], op.results)


def square(g: Graph, op: Step) -> None:
    g.node("Mul", [op.names[0], op.names[0]], op.results)


def clip(g: Graph, op: Step) -> None:
    dtype = op.outputs[0].dtype
    bounds = [*zip(op.names, op.inputs), ("", op.static.get("min")), ("", op.static.get("max"))]
    low = bounds[1] if len(op.inputs) > 1 else bounds[-2]
    high = bounds[2] if len(op.inputs) > 2 else bounds[-1]
    steps = [(kind, b) for kind, b in (("Max", low), ("Min", high)) if b[1] is not None]
    value = g.cast(op.names[0], op.inputs[0], dtype)
    for i, (kind, (name, x)) in enumerate(steps):
        value = g.node(kind, [value, g.cast(name, x, dtype)], op.results if i + 1 == len(steps) else "")
    if not steps:
        g.node("Identity", [value], op.results)


def axes_of(op: Step) -> list[int]:
    axis, n = op.static.get("axis"), op.inputs[0].ndim
    found = range(n) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    return [int(a) % n for a in found]


def reduction(kind: str) -> Handler:
    """Over axes, which are an input of the node; computed in the output's dtype."""

    def handler(g: Graph, op: Step) -> None:
        x, keep = g.cast(op.names[0], op.inputs[0], op.outputs[0].dtype), int(op.static.get("keepdims", False))
        axes = g.constant(axes_of(op))
        g.node(kind, [x, axes], op.results, keepdims=keep, noop_with_empty_axes=1)

    return handler


def truth(kind: str) -> Handler:
    """`any` and `all`: the maximum and minimum of 0 and 1."""

    def handler(g: Graph, op: Step) -> None:
        bits = g.node("Cast", [g.cast(op.names[0], op.inputs[0], np.bool_)], to=6)
        axes, keep = g.constant(axes_of(op)), int(op.static.get("keepdims", False))
        found = g.node(kind, [bits, axes], keepdims=keep, noop_with_empty_axes=1)
        g.node("Greater", [found, g.constant(0, np.int32)], op.results)  # the maximum of none is below 0

    return handler


def variance(root: bool) -> Handler:
    """Σ (x − mean)² / (n − correction), of lengths that are fixed unless the correction is 0."""

    def handler(g: Graph, op: Step) -> None:
        axes, x, correction = g.constant(axes_of(op)), op.names[0], op.static.get("correction", 0.0)
        keep = int(op.static.get("keepdims", False))
        d = g.node("Sub", [x, g.node("ReduceMean", [x, axes], keepdims=1)])
        value = g.node(
            "ReduceMean", [g.node("Mul", [d, d]), axes], "" if correction or root else op.results, keepdims=keep
        )
        if correction:
            counts = [
                int(np.prod([shape[a] for a in axes_of(op)]))
                for shape in (op.inputs[0].shape, op.again.inputs[0].shape)
            ]
            if counts[0] != counts[1]:
                raise ExportError(
                    f"{op.where} with `correction` needs axes of fixed length, got {counts[0]} and {counts[1]}"
                )
            factor = number(g, op, counts[0] / (counts[0] - correction))
            value = g.node("Mul", [value, factor], "" if root else op.results)
        if root:
            g.node("Sqrt", [value], op.results)

    return handler


def arg(kind: str) -> Handler:
    """The first index of the extreme."""

    def handler(g: Graph, op: Step) -> None:
        axis, x = op.static.get("axis"), op.names[0]
        if axis is None:
            x, axis = g.node("Reshape", [x, g.constant([-1])]), 0
            if op.static.get("keepdims"):
                raise ExportError(f"{op.where} needs an `axis` where `keepdims` is True, got None")
        g.node(kind, [x], op.results, axis=axis, keepdims=int(op.static.get("keepdims", False)))

    return handler


def cumulative(g: Graph, op: Step) -> None:
    """Sums or products along an axis, behind 0 or 1 where the initial value is included."""
    is_product = op.name == "cumulative_prod"
    if is_product and g.opset < 26:
        raise ExportError(f"{op.where} needs opset 26 at least, got {g.opset}")
    axis, kind, x = op.static.get("axis") or 0, "CumProd" if is_product else "CumSum", op.inputs[0]
    value = g.cast(op.names[0], x, op.outputs[0].dtype)
    if not op.static.get("include_initial"):
        g.node(kind, [value, g.constant(axis)], op.results)
        return
    first, second = (
        [1 if a == axis % x.ndim else n for a, n in enumerate(run.inputs[0].shape)] for run in (op, op.again)
    )
    start = g.node("Expand", [number(g, op, int(is_product)), g.shape(first, second, op.where)])
    g.node("Concat", [start, g.node(kind, [value, g.constant(axis)])], op.results, axis=axis)


def floor_divide(g: Graph, op: Step) -> None:
    """⌊x / y⌋; of integers (x − x mod y) / y: ONNX divides them towards 0."""
    dtype = op.outputs[0].dtype
    x, y = (g.cast(n, v, dtype) for n, v in zip(op.names, op.inputs))
    if np.dtype(dtype).kind == "f":
        g.node("Floor", [g.node("Div", [x, y])], op.results)
    else:
        g.node("Div", [g.node("Sub", [x, g.node("Mod", [x, y])]), y], op.results)


ARRAYS: dict[str, Handler] = {
    **{name: unary(name.capitalize()) for name in (
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "exp", "floor", "log", "sign", "sin",
        "sinh", "sqrt", "tan", "tanh", "round", "reciprocal")},
    "negative": unary("Neg"),
    "positive": unary("Identity"),
    "square": square,
    "log1p": log1p,
    "expm1": after("Exp", "Sub", 1.0),
    "log2": after("Log", "Div", np.log(2)),
    "log10": after("Log", "Div", np.log(10)),
    "isnan": lambda g, op: g.node("IsNaN", op.names, op.results),
    "isinf": lambda g, op: g.node("IsInf", op.names, op.results),
    "add": binary("Add"),
    "subtract": binary("Sub"),
    "multiply": binary("Mul"),
    "divide": binary("Div"),
    "pow": binary("Pow"),
    "maximum": binary("Max"),
    "minimum": binary("Min"),
    "matmul": binary("MatMul"),
    "floor_divide": floor_divide,
    "equal": comparison("Equal"),
    "not_equal": comparison("Equal", True),
    "less": comparison("Less"),
    "less_equal": comparison("LessOrEqual"),
    "greater": comparison("Greater"),
    "greater_equal": comparison("GreaterOrEqual"),
    "logical_and": logical("And"),
    "logical_or": logical("Or"),
    "logical_xor": logical("Xor"),
    "logical_not": logical("Not"),
    "clip": clip,
    "sum": reduction("ReduceSum"),
    "mean": reduction("ReduceMean"),
    "max": reduction("ReduceMax"),
    "min": reduction("ReduceMin"),
    "prod": reduction("ReduceProd"),
    "logsumexp": reduction("ReduceLogSumExp"),
    "any": truth("ReduceMax"),
    "all": truth("ReduceMin"),
    "var": variance(False),
    "std": variance(True),
    "argmax": arg("ArgMax"),
    "argmin": arg("ArgMin"),
    "cumulative_sum": cumulative,
    "cumulative_prod": cumulative,
}  # fmt: skip
