"""Operators that gather and scatter elements by indices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from .elementwise import Attributes
from .shapes import ints

__all__ = ["HOST", "OPERATORS"]


def counted(indices: Any, length: int) -> Any:
    """Negative indices from the end."""
    return weft.where(indices < 0, indices + length, indices).astype(weft.int64)


def gather(attributes: Attributes, x: Any, indices: Any) -> Any:
    """Slices along an axis, by an array of indices of any shape."""
    axis = attributes.get("axis", 0) % x.ndim
    taken = weft.take(x, weft.reshape(counted(indices, x.shape[axis]), (-1,)), axis=axis)
    return weft.reshape(taken, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def gather_elements(attributes: Attributes, x: Any, indices: Any) -> Any:
    """x[i][index[i, j]] for each element of the index, along an axis; other axes may be shorter there."""
    axis = attributes.get("axis", 0) % x.ndim
    ahead = tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(indices.shape))
    return weft.take_along_axis(x[ahead], counted(indices, x.shape[axis]), axis=axis)


def _flat(indices: Any, lengths: tuple[int, ...]) -> Any:
    """(…, K) indices of K axes as places in these axes, one after the other."""
    places: Any = 0
    for i, n in enumerate(lengths):
        places = places * n + counted(indices[..., i], n)
    return places


def gather_nd(attributes: Attributes, x: Any, indices: Any) -> Any:
    """Slices by (…, K) indices of the first K axes, after `batch_dims` common ones."""
    b, k = attributes.get("batch_dims", 0), indices.shape[-1]
    count, inner, rest = math.prod(x.shape[:b]), x.shape[b : b + k], x.shape[b + k :]
    places = weft.reshape(_flat(indices, inner), (count, -1))
    first = weft.asarray(np.arange(count)[:, None] * math.prod(inner), device=x.device)
    rows = weft.reshape(x, (count * math.prod(inner), *rest))
    taken = weft.take(rows, weft.reshape(places + first, (-1,)), axis=0)
    return weft.reshape(taken, (*indices.shape[:-1], *rest))


def _combined(old: Any, places: Any, updates: Any, how: str) -> Any:
    """Rows of `old` at `places` replaced by, or combined with, rows of `updates`, in order."""
    if how == "none":
        return old.index_copy(0, places, updates)
    if how == "add":
        return old.index_add(0, places, updates)
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "mul": lambda a, b: a * b, "max": weft.maximum, "min": weft.minimum
    }  # fmt: skip
    function = functions[how]
    for i, place in enumerate(ints(places.numpy())):  # one after the other: places may come twice
        row = function(old[place : place + 1], updates[i : i + 1])
        old = weft.concat([old[:place], row, old[place + 1 :]], axis=0)
    return old


def scatter_nd(attributes: Attributes, x: Any, indices: Any, updates: Any) -> Any:
    """Slices at (…, K) indices replaced, or combined by `reduction`."""
    k = indices.shape[-1]
    rows = weft.reshape(x, (math.prod(x.shape[:k]), *x.shape[k:]))
    places = weft.reshape(_flat(indices, x.shape[:k]), (-1,))
    values = weft.reshape(updates, (places.shape[0], *x.shape[k:]))
    return weft.reshape(_combined(rows, places, values, attributes.get("reduction", b"none").decode()), x.shape)


def scatter_elements(attributes: Attributes, x: Any, indices: Any, updates: Any) -> Any:
    """Elements at an index along one axis, and their own along the others, replaced or combined."""
    axis = attributes.get("axis", 0) % x.ndim
    grid = [weft.asarray(g, device=x.device) for g in np.indices(indices.shape)]
    grid[axis] = counted(indices, x.shape[axis])
    places = _flat(weft.stack(grid, axis=-1), x.shape)
    how = attributes.get("reduction", b"none").decode()
    flat = _combined(weft.reshape(x, (-1,)), weft.reshape(places, (-1,)), weft.reshape(updates, (-1,)), how)
    return weft.reshape(flat, x.shape)


def one_hot(attributes: Attributes, indices: Any, depth: Any, values: Any) -> Any:
    """`values` are those of elsewhere and of the index; an index beyond the depth has none."""
    n, axis = ints(depth)[0], attributes.get("axis", -1)
    lengths = [1] * (indices.ndim + 1)
    axis %= indices.ndim + 1
    lengths[axis] = n
    classes = weft.reshape(weft.arange(n, device=indices.device), tuple(lengths))
    at = counted(weft.trunc(indices) if indices.dtype.kind == "f" else indices, n)
    return weft.where(weft.expand_dims(at, axis=axis) == classes, values[1], values[0])


def non_zero(_: Attributes, x: Any) -> Any:
    """(axes, count) places."""
    return weft.stack(list(weft.nonzero(x)), axis=0)


def compress(attributes: Attributes, x: Any, condition: Any) -> Any:
    """Slices along an axis, or elements, where the condition holds."""
    keep = np.flatnonzero(np.asarray(condition))
    places = weft.asarray(keep, device=x.device)
    if "axis" not in attributes:
        return weft.take(weft.reshape(x, (-1,)), places, axis=0)
    return weft.take(x, places, axis=attributes["axis"])


def reverse_sequence(attributes: Attributes, x: Any, lengths: Any) -> Any:
    """The first elements of each sequence backwards, as many as it is long."""
    batch, time = attributes.get("batch_axis", 1), attributes.get("time_axis", 0)
    steps = np.arange(x.shape[time])
    order = np.stack([np.where(steps < n, n - 1 - steps, steps) for n in ints(lengths)], axis=1 if batch > time else 0)
    order = order.reshape(*order.shape, *[1] * (x.ndim - 2))
    return weft.take_along_axis(x, weft.asarray(np.broadcast_to(order, x.shape).copy(), device=x.device), axis=time)


def unique(attributes: Attributes, x: Any) -> Any:
    """Values, where they first stand, which each element is, and how often they come: in order, or as they come."""
    axis, host = attributes.get("axis"), x.detach().cpu().numpy()
    _, first, inverse, counts = np.unique(host, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not attributes.get("sorted", 1):
        order = np.argsort(first)
        rank = np.argsort(order)
        first, counts, inverse = first[order], counts[order], rank[inverse]
    flat = weft.reshape(x, (-1,)) if axis is None else x
    values = weft.take(flat, weft.asarray(first, device=x.device), axis=axis or 0)
    return values, first, inverse, counts


def tensor_scatter(attributes: Attributes, past: Any, update: Any, start: Any = None) -> Any:
    """A cache with `update` written along an axis, from `start` on, in each sample; around its end if circular."""
    axis = attributes.get("axis", -2) % past.ndim
    begins = np.zeros(past.shape[0], int) if start is None else np.asarray(start)
    steps = begins[:, None] + np.arange(update.shape[axis])
    if attributes.get("mode", b"linear") == b"circular":
        steps %= past.shape[axis]
    lengths = [1] * past.ndim
    lengths[0], lengths[axis] = steps.shape
    places = np.broadcast_to(steps.reshape(lengths), update.shape).copy()
    return past.scatter(axis, weft.asarray(places, device=past.device), update)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Compress": compress, "Gather": gather, "GatherElements": gather_elements, "GatherND": gather_nd, "NonZero": non_zero,
    "OneHot": one_hot, "ReverseSequence": reverse_sequence, "Scatter": scatter_elements, "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd, "TensorScatter": tensor_scatter, "Unique": unique,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {"Compress": (1,), "OneHot": (1,), "ReverseSequence": (1,), "TensorScatter": (2,)}
