"""What moves numbers, as ONNX nodes: shapes, axes, joins, slices and lookups by index."""

from __future__ import annotations

import numpy as np

from .export_graph import ExportError, Graph, Step
from .export_lookups import LOOKUPS, looked_up
from .export_operators import Handler, axes_of

__all__ = ["SHAPES"]


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
    """GatherElements, which broadcasts neither x nor the indices."""
    axis, out, again = op.static.get("axis", -1), op.outputs[0].shape, op.again.outputs[0].shape
    axis %= len(out)
    if op.inputs[0].ndim != op.inputs[1].ndim:
        raise ExportError(f"{op.where} needs indices with as many axes as x, got {op.inputs[1].shape}")
    x, places = op.names
    if op.inputs[1].shape != out:
        places = g.node("Expand", [places, g.shape(out, again, op.where)])
    wanted, twice = (
        (*shape[:axis], run.inputs[0].shape[axis], *shape[axis + 1 :]) for shape, run in ((out, op), (again, op.again))
    )
    if op.inputs[0].shape != wanted:
        x = g.node("Expand", [x, g.shape(wanted, twice, op.where)])
    g.node("GatherElements", [x, places], op.results, axis=axis)


def getitem(g: Graph, op: Step) -> None:
    """Slices, numbers and None; what has arrays among them is a lookup."""
    key, again = (k if isinstance(k, tuple) else (k,) for k in (op.static["key"], op.again.static["key"]))
    if any(hasattr(k, "ndim") and not isinstance(k, np.integer) for k in key):
        looked_up(g, op, key, again)
        return
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


SHAPES: dict[str, Handler] = {
    **LOOKUPS,
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
    "where": where,
    "take": take,
    "take_along_axis": take_along_axis,
    "getitem": getitem,
    "tril": triangle(0),
    "triu": triangle(1),
}
