"""How `vmap` runs what is looked up by index, and written there: rules beside those of `batching_rules.py`.

Where the indices differ from lane to lane, they are led apart: lane k has the places k n … (k + 1) n − 1 of one long axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array.creation import arange
from ..array.elementwise import add, less
from ..array.indexing import _scatter_add, take, where
from ..array.manipulation import moveaxis, reshape
from ..tape.tensor import Tensor
from .batching_rules import RULES, Call, from_right, rule

__all__ = ["RULES"]


@rule("indexing", "take")
def taken(call: Call) -> Any:
    """Where the indices differ, those of each lane are led to its part of one long axis."""
    x, indices = call.args
    axis = from_right(-1 if call.options.get("axis") is None else call.options["axis"], call.ndim())
    if (call.options.get("axis") is None and call.ndim() != 1) or indices.ndim - call.is_mapped[1] != 1:
        return NotImplemented
    if call.only_first():
        return call(x, indices, axis=axis)
    if not call.is_mapped[0]:
        found = moveaxis(take(x, reshape(indices, (-1,)), axis=axis), axis, 0)
        return moveaxis(reshape(found, (*indices.shape, *found.shape[1:])), 1, axis)
    rows = moveaxis(x, axis, 1)
    flat = reshape(rows, (rows.shape[0] * rows.shape[1], *rows.shape[2:]))
    found = take(flat, reshape(_led_apart(indices, rows.shape[1], call.n), (-1,)), axis=0)
    return moveaxis(reshape(found, (*indices.shape, *rows.shape[2:])), 1, axis)


@rule("indexing", "_scatter_add")
def scattered(call: Call) -> Any:
    """The same for what is added up there."""
    values, indices = call.args
    axis, size = from_right(call.options["axis"], call.ndim()), call.options["size"]
    if call.only_first():
        return call(values, indices, axis=axis)
    rows = moveaxis(call.spread(0), axis, 1)
    led = reshape(_led_apart(indices, size, call.n), (-1,))
    flat = reshape(rows, (rows.shape[0] * rows.shape[1], *rows.shape[2:]))
    found = _scatter_add(flat, led, size=call.n * size, axis=0)
    return moveaxis(reshape(found, (call.n, size, *rows.shape[2:])), 1, axis)


@rule("indexing", "take_along_axis")
def taken_along(call: Call) -> Any:
    """Both with the lanes in front."""
    axis = from_right(call.options.get("axis", -1), call.ndim())
    return call(call.spread(0), call.spread(1), axis=axis)


def _led_apart(indices: Tensor, size: int, n: int) -> Tensor:
    """Indices into `size` places in each of n lanes, as indices into n · size places."""
    first = arange(n, dtype=indices.dtype, device=indices.device) * size
    return add(where(less(indices, 0), add(indices, size), indices), reshape(first, (n, *(1,) * (indices.ndim - 1))))


@rule("indexing", "_getitem")
def item(call: Call) -> Any:
    """Slices, and indices that are the same in all lanes."""
    key = call.options["key"]
    key = key if isinstance(key, tuple) else (key,)
    found = call(call.args[0], key=(slice(None), *key))
    lists = [i for i, k in enumerate(key) if getattr(k, "ndim", 0) or isinstance(k, list)]
    gathered = [i for i, k in enumerate(key) if i in lists or isinstance(k, int | np.integer) or hasattr(k, "ndim")]
    if not lists or gathered == list(range(gathered[0], gathered[-1] + 1)):
        return found
    return moveaxis(found, _gathered_axes(key), 0)  # NumPy puts what was gathered in front of all, the lanes too


@rule("indexing", "_setitem")
def changed_item(call: Call) -> Any:
    """x[key] = value for slices, and numbers that are the same in all lanes."""
    (x, value), key = call.args, call.options["key"]
    key = key if isinstance(key, tuple) else (key,)
    if not all(k is None or k is Ellipsis or isinstance(k, int | slice | np.integer) for k in key):
        return NotImplemented
    axes = np.broadcast_to(np.False_, x.shape[call.is_mapped[0] :])[key].ndim
    if call.is_mapped[1]:
        if call.ndim(1) > axes:
            return NotImplemented
        value = reshape(value, (call.n, *(1,) * (axes - call.ndim(1)), *value.shape[1:]))
    return call(call.spread(0), value, key=(slice(None), *key))


def _gathered_axes(key: tuple) -> int:
    """How many axes indices that are broadcast against each other give; a mask is one of each of its axes."""
    shapes = [(1,) if getattr(k, "dtype", None) == np.bool_ else np.shape(k) for k in key if hasattr(k, "ndim")]
    return len(np.broadcast_shapes(*shapes))


@rule("indexing", "isin")
def among(call: Call) -> Any:
    """Elements of lanes among those that all have."""
    return call(*call.args) if call.only_first() else NotImplemented
