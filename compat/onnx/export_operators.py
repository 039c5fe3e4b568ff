"""Each primitive of arrays as ONNX nodes: elementwise, reductions, shapes, products, selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor
from .export_graph import ExportError, Graph, Step

__all__ = ["ARRAYS", "Handler"]

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
        found = g.node(kind, [bits, g.constant(axes_of(op))], keepdims=int(op.static.get("keepdims", False)))
        g.node("Cast", [found], op.results, to=9)

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
    if op.static.get("include_initial"):
        raise ExportError(f"{op.where} needs include_initial=False, got True")
    axis = op.static.get("axis")
    g.node("CumSum", [g.cast(op.names[0], op.inputs[0], op.outputs[0].dtype), g.constant(axis or 0)], op.results)


def reshape(g: Graph, op: Step) -> None:
    first, second = op.outputs[0].shape, op.again.outputs[0].shape
    moving = [i for i, (n, m) in enumerate(zip(first, second)) if n != m]
    shapes = list(zip(op.inputs[0].shape, op.again.inputs[0].shape))
    kept = [i for i in moving if i < len(shapes) and shapes[i] == (first[i], second[i])]
    others = [i for i in moving if i not in kept]
    if 0 in first or len(others) > 1:
        g.node("Reshape", [op.names[0], g.shape(first, second, op.where)], op.results, allowzero=1)
        return
    sizes = [0 if i in kept else -1 if i in others else n for i, n in enumerate(first)]
    g.node("Reshape", [op.names[0], g.constant(sizes)], op.results)


def permute(g: Graph, op: Step) -> None:
    """Any order of the axes, read off what the operation does to their numbers."""
    n = op.inputs[0].ndim
    if op.name == "permute_dims":
        order = [int(a) % n for a in (op.inputs[1] if len(op.inputs) > 1 else op.static["axes"])]
    elif op.name == "matrix_transpose":
        order = [*range(n - 2), n - 1, n - 2]
    else:
        source, target = (a if isinstance(a, tuple | list) else (a,) for a in op.inputs[1:])
        order = [a for a in range(n) if a not in {s % n for s in source}]
        for t, s in sorted((t % n, s % n) for s, t in zip(source, target)):
            order.insert(t, s)
    g.node("Transpose", [op.names[0]], op.results, perm=order)


def expand_dims(g: Graph, op: Step) -> None:
    axis = op.inputs[1] if len(op.inputs) > 1 else op.static.get("axis", 0)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    g.node("Unsqueeze", [op.names[0], g.constant([int(a) for a in axes])], op.results)


def squeeze(g: Graph, op: Step) -> None:
    axis = op.inputs[1] if len(op.inputs) > 1 else op.static["axis"]
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    if not axes:
        g.node("Identity", [op.names[0]], op.results)
        return
    g.node("Squeeze", [op.names[0], g.constant([int(a) for a in axes])], op.results)


def broadcast_to(g: Graph, op: Step) -> None:
    g.node("Expand", [op.names[0], g.shape(op.outputs[0].shape, op.again.outputs[0].shape, op.where)], op.results)


def concat(g: Graph, op: Step) -> None:
    dtype = op.outputs[0].dtype
    g.node("Concat", [g.cast(n, x, dtype) for n, x in zip(op.names, op.inputs)], op.results, axis=op.static["axis"])


def stack(g: Graph, op: Step) -> None:
    axis, dtype = g.constant([op.static["axis"]]), op.outputs[0].dtype
    parts = [g.node("Unsqueeze", [g.cast(n, x, dtype), axis]) for n, x in zip(op.names, op.inputs)]
    g.node("Concat", parts, op.results, axis=op.static["axis"])


def flip(g: Graph, op: Step) -> None:
    axes, low = axes_of(op), np.iinfo(np.int64).min
    counts = [g.constant([x] * len(axes)) for x in (-1, low)]
    g.node("Slice", [op.names[0], *counts, g.constant(axes), g.constant([-1] * len(axes))], op.results)


def tile(g: Graph, op: Step) -> None:
    repeats = tuple(op.inputs[1] if len(op.inputs) > 1 else op.static["repetitions"])
    twice = tuple(op.again.inputs[1] if len(op.inputs) > 1 else op.again.static["repetitions"])
    n, x = op.inputs[0].ndim, op.names[0]
    if len(repeats) > n:
        x = g.node("Unsqueeze", [x, g.constant(list(range(len(repeats) - n)))])
    ones = (1,) * (n - len(repeats))
    g.node("Tile", [x, g.shape(ones + repeats, ones + twice, op.where)], op.results)


def astype(g: Graph, op: Step) -> None:
    value = g.cast(op.names[0], op.inputs[0], op.outputs[0].dtype)
    g.node("Identity", [value], op.results)


def where(g: Graph, op: Step) -> None:
    condition, *values = zip(op.names, op.inputs)
    dtype = op.outputs[0].dtype
    g.node("Where", [g.cast(*condition, np.bool_), *(g.cast(*v, dtype) for v in values)], op.results)


def take(g: Graph, op: Step) -> None:
    axis = op.static.get("axis")
    g.node("Gather", list(op.names), op.results, axis=0 if axis is None else axis)


def take_along_axis(g: Graph, op: Step) -> None:
    if op.inputs[0].ndim != op.inputs[1].ndim:
        raise ExportError(f"{op.where} needs indices with as many axes as x, got {op.inputs[1].shape}")
    g.node("GatherElements", list(op.names), op.results, axis=op.static.get("axis", -1))


def getitem(g: Graph, op: Step) -> None:
    """Slices, numbers, None and at most one Tensor of integers."""
    key, again = (k if isinstance(k, tuple) else (k,) for k in (op.static["key"], op.again.static["key"]))
    x, sizes = op.names[0], op.inputs[0].shape
    given = sum(k is not None and k is not Ellipsis for k in key)
    full = (slice(None),) * (len(sizes) - given)
    if any(k is Ellipsis for k in key):
        at = next(i for i, k in enumerate(key) if k is Ellipsis)
        key, again = (*key[:at], *full, *key[at + 1 :]), (*again[:at], *full, *again[at + 1 :])
    slices, numbers, news, axis = [], [], [], 0
    kept = 0
    for k, m in zip(key, again, strict=True):
        if k is None:
            news.append(kept)
            kept += 1
            continue
        if isinstance(k, slice):
            if k != slice(None):
                slices.append((axis, k, m))
            kept += 1
        elif isinstance(k, int | np.integer) and not isinstance(k, bool):
            numbers.append(axis)
            slices.append((axis, slice(k, k + 1 or None), slice(m, m + 1 or None)))
        else:
            raise ExportError(
                f"{op.where} needs a key of slices, integers and None, got {type(k).__name__}; use weft.take"
            )
        axis += 1
    high = np.iinfo(np.int64).max
    if slices:
        ends = []
        for name in ("start", "stop", "step"):
            pairs = [(getattr(k, name), getattr(m, name)) for _, k, m in slices]
            empty = [1 if name == "step" or (k.step or 1) > 0 else -1 for _, k, _ in slices]
            default = [
                (1 if name == "step" else 0 if name == "start" else high)
                if e > 0
                else (high if name == "start" else -high)
                for e in empty
            ]
            pairs = [(d if p is None else p, d if q is None else q) for (p, q), d in zip(pairs, default)]
            ends.append(g.shape([p for p, _ in pairs], [q for _, q in pairs], op.where))
        x = g.node("Slice", [x, *ends[:2], g.constant([a for a, _, _ in slices]), ends[2]])
    if numbers:
        x = g.node("Squeeze", [x, g.constant(numbers)])
    if news:
        x = g.node("Unsqueeze", [x, g.constant(news)])
    g.node("Identity", [x], op.results)


def triangle(upper: int) -> Handler:
    """`tril` and `triu`."""

    def handler(g: Graph, op: Step) -> None:
        g.node("Trilu", [op.names[0], g.constant(op.static.get("k", 0))], op.results, upper=upper)

    return handler


def floor_divide(g: Graph, op: Step) -> None:
    """⌊x / y⌋; of integers (x − x mod y) / y: ONNX divides them towards 0."""
    dtype = op.outputs[0].dtype
    x, y = (g.cast(n, v, dtype) for n, v in zip(op.names, op.inputs))
    if np.dtype(dtype).kind == "f":
        g.node("Floor", [g.node("Div", [x, y])], op.results)
    else:
        g.node("Div", [g.node("Sub", [x, g.node("Mod", [x, y])]), y], op.results)


ARRAYS: dict[str, Handler] = {
    **{
        name: unary(name.capitalize())
        for name in (
            "abs",
            "acos",
            "acosh",
            "asin",
            "asinh",
            "atan",
            "atanh",
            "ceil",
            "cos",
            "cosh",
            "exp",
            "floor",
            "log",
            "sign",
            "sin",
            "sinh",
            "sqrt",
            "tan",
            "tanh",
            "round",
            "reciprocal",
        )
    },
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
    "where": where,
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
    "reshape": reshape,
    "permute_dims": permute,
    "matrix_transpose": permute,
    "moveaxis": permute,
    "expand_dims": expand_dims,
    "squeeze": squeeze,
    "broadcast_to": broadcast_to,
    "concat": concat,
    "stack": stack,
    "flip": flip,
    "tile": tile,
    "astype": astype,
    "take": take,
    "take_along_axis": take_along_axis,
    "getitem": getitem,
    "tril": triangle(0),
    "triu": triangle(1),
}
