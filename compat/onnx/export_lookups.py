"""What is looked up by arrays of indices, and written there, as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .export_graph import ExportError, Graph, Step
from .export_operators import Handler, number

__all__ = ["LOOKUPS", "looked_up", "scattered"]


def is_array(k: Any) -> bool:
    return hasattr(k, "ndim") and not isinstance(k, np.integer)


def indices(g: Graph, op: Step, k: Any, m: Any) -> str:
    """An array in a key as a value: what an operation has given, or a constant."""
    k = np.asarray(k)
    if id(k) in g.arrays:
        return g.node("Cast", [g.arrays[id(k)]], to=7)
    if k.shape != np.shape(m) or not np.array_equal(k, m):
        raise ExportError(
            f"{op.where} needs indices that are the same in every run, got others: look them up by a Tensor"
        )
    return g.constant(k)


def looked_up(g: Graph, op: Step, key: tuple, again: tuple) -> None:
    """x[…, i, j, …] as Gather, or GatherND of the axes i, j, … brought to the front; slices beside them are whole."""
    ndim = op.inputs[0].ndim
    masks = [k for k in key if is_array(k) and k.dtype == np.bool_]
    if masks:
        raise ExportError(f"{op.where} needs indices, got a mask: how many it lets through depends on the numbers")
    if any(k is Ellipsis for k in key):
        at = next(i for i, k in enumerate(key) if k is Ellipsis)
        full = (slice(None),) * (ndim + 1 - len(key))
        key, again = (*key[:at], *full, *key[at + 1 :]), (*again[:at], *full, *again[at + 1 :])
    if any(k is None or (isinstance(k, slice) and k != slice(None)) for k in key):
        raise ExportError(
            f"{op.where} needs whole slices beside arrays of indices, got {key}; slice in a step of its own"
        )
    axes = [i for i, k in enumerate(key) if not isinstance(k, slice)]
    if len(axes) == 1:
        g.node("Gather", [op.names[0], indices(g, op, key[axes[0]], again[axes[0]])], op.results, axis=axes[0])
        return
    shape = np.broadcast_shapes(*(np.shape(key[a]) for a in axes))
    if shape != np.broadcast_shapes(*(np.shape(again[a]) for a in axes)):
        raise ExportError(f"{op.where} needs indices of fixed length where there are several, got {shape}")
    of = [g.node("Expand", [indices(g, op, key[a], again[a]), g.constant(shape)]) for a in axes]
    places = g.node("Concat", [g.node("Unsqueeze", [i, g.constant([-1])]) for i in of], axis=-1)
    rest = [a for a in range(ndim) if a not in axes]
    x = g.node("Transpose", [op.names[0]], perm=[*axes, *rest])
    found, front = g.node("GatherND", [x, places]), len(shape)
    if axes != list(range(axes[0], axes[-1] + 1)):
        g.node("Identity", [found], op.results)  # as NumPy has it, in front of all
        return
    before = [front + i for i, a in enumerate(rest) if a < axes[0]]
    after = [front + i for i, a in enumerate(rest) if a > axes[0]]
    g.node("Transpose", [found], op.results, perm=[*before, *range(front), *after])


def scattered(g: Graph, op: Step, key: tuple, again: tuple) -> None:
    """x[key] = value, number by number: ScatterElements of tensors that are flat behind the axes that are whole."""
    shape, twice = op.inputs[0].shape, op.again.inputs[0].shape
    value = g.cast(op.names[1], op.inputs[1], op.outputs[0].dtype)
    if len(key) == 1 and key[0] is Ellipsis:
        g.node("Expand", [value, g.node("Shape", [op.names[0]])], op.results)
        return
    arrays = [k for k in key if is_array(k)]
    if len(shape) == 1 and len(key) == 1 and arrays and arrays[0].dtype != np.bool_:
        places, lead = indices(g, op, key[0], again[0]), 0
        sizes: tuple = (arrays[0].shape, np.shape(again[0]))
    else:
        if any(id(k) in g.arrays for k in arrays) or repr(key) != repr(again):
            raise ExportError(f"{op.where} needs places that are the same in every run; write with weft.where instead")
        lead = next((i for i, k in enumerate(key) if k != slice(None)), len(key)) if not arrays else 0
        if shape[lead:] != twice[lead:]:
            raise ExportError(f"{op.where} needs a tensor of fixed shape to write into, got {shape} and {twice}")
        at = np.arange(int(np.prod(shape[lead:]))).reshape(shape[lead:])[key[lead:]]
        if not at.size:
            g.node("Identity", [op.names[0]], op.results)
            return
        if np.unique(at).size != at.size:
            raise ExportError(f"{op.where} needs places that differ, got some of them twice")
        places = g.constant(at)
        sizes = (shape[:lead] + at.shape, twice[:lead] + at.shape)
    flat = g.constant([0] * lead + [-1])
    updates = g.node("Reshape", [g.node("Expand", [value, g.shape(sizes[0], sizes[1], op.where)]), flat])
    places = g.node("Reshape", [places, g.constant([1] * lead + [-1])])
    given = [g.node("Reshape", [op.names[0], flat]), g.node("Expand", [places, g.node("Shape", [updates])]), updates]
    found = g.node("ScatterElements", given, axis=lead)
    g.node("Reshape", [found, g.node("Shape", [op.names[0]])], op.results)


def scatter_add(g: Graph, op: Step) -> None:
    """Zeros with the values added at the indices of one axis."""
    axis, size, n = op.static["axis"] % op.inputs[0].ndim, op.static["size"], op.inputs[0].ndim
    places = g.node("Reshape", [op.names[1], g.constant([-1 if a == axis else 1 for a in range(n)])])
    places = g.node("Expand", [g.node("Cast", [places], to=7), g.node("Shape", [op.names[0]])])
    zeros = g.node("Expand", [number(g, op, 0), g.shape(op.outputs[0].shape, op.again.outputs[0].shape, op.where)])
    if size != op.again.static["size"]:
        raise ExportError(f"{op.where} needs an axis of fixed length, got {size} and {op.again.static['size']}")
    g.node("ScatterElements", [zeros, places, op.names[0]], op.results, axis=axis, reduction="add")


LOOKUPS: dict[str, Handler] = {"scatter_add": scatter_add}
