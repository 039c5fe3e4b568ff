"""The gradient of an embedding table on NumPy: deterministic, without the one-hot matrix of the generic form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import indexing
from ..array.sums import is_half, paired
from ..nn import embedding as primitives
from ..tape.recording import as_one

NARROW = 8  # numbers of a row, up to which each finds its own place: sorting takes ten times as long for rows of 3
RUN = 32  # an index used more often than this has a `sum` of its own; the others are added round by round, all at once


@primitives.embedding.on("cpu")
def embedding(indices: Any, weight: Any, /, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> Any:
    def vjp(g: Any, need: Any, into: Any) -> tuple:
        out = np.empty_like(weight) if into[1] is None else into[1]
        _scatter_sum(out, indices.reshape(-1), g.reshape(indices.size, weight.shape[1]), means=scale_grad_by_freq)
        if padding_idx is not None:
            out[padding_idx] = 0
        return None, out

    return weight.take(indices, axis=0), vjp


@indexing._scatter_add.on("cpu")
def scatter_add(values: Any, indices: Any, /, *, size: int, axis: int) -> Any:
    if values.dtype.kind not in "fV" or not values.size:
        return NotImplemented
    rows = np.moveaxis(values, axis, 0)
    width = rows.size // len(rows)
    if width <= NARROW:
        places = indices if width == 1 else (indices[:, None] * width + np.arange(width)).reshape(-1)
        sums = np.bincount(places, rows.reshape(-1).astype(np.float64, copy=False), size * width).astype(values.dtype)
    else:
        sums = np.empty((size, width), values.dtype)
        _scatter_sum(sums, indices, rows.reshape(len(rows), -1))
    out = np.moveaxis(sums.reshape(size, *rows.shape[1:]), 0, axis)
    return out, (lambda g: g.take(indices, axis), None)


@as_one(writes=True)
def _scatter_sum(out: Any, indices: Any, g: Any, means: bool = False) -> None:
    """out[v] = Σ g[i], or the mean, over the i where indices[i] = v, in the order of i.

    `np.add.at` takes three times as long.
    """
    if is_half(g.dtype) or means:
        wide = np.empty(out.shape, np.float32 if is_half(g.dtype) else g.dtype)
        _scatter_sum(wide, indices, g.astype(wide.dtype))
        if means:
            wide /= np.maximum(np.bincount(indices, minlength=len(out)), 1)[:, None].astype(wide.dtype)
        out[...] = wide
        return
    out[...] = 0
    order = np.argsort(indices, stable=True)
    ordered = indices[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    lengths, rows = np.diff(starts, append=len(order)), ordered[starts]
    for i in np.flatnonzero(lengths > RUN).tolist():
        out[rows[i]] = paired(g[order[starts[i] : starts[i] + lengths[i]]], 0)
    short = lengths <= RUN
    starts, lengths, rows = starts[short], lengths[short], rows[short]
    for k in range(RUN):
        if not len(starts):
            break
        out[rows] += g[order[starts + k]]
        left = lengths > k + 1
        starts, lengths, rows = starts[left], lengths[left], rows[left]
