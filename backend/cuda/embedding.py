"""Embedding: a gather, and a gradient that needs no one-hot matrix, as the generic form does, and no atomics by default."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kernels import embedding as kernels
from ...kernels.toolchain.launch import FLOATS, library_of
from ..array import indexing
from ..nn import embedding as primitives
from . import replaces


@replaces(primitives.embedding)
def embedding(indices: Any, weight: Any, /, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> Any:
    if weight.dtype not in FLOATS or indices.dtype.kind not in "iu":
        return NotImplemented
    rows = weight.shape[0]

    def mean(g: Any, out: Any) -> Any:
        xp = library_of(g)
        sums = kernels.backward(g.astype(np.float32), indices, rows, padding_idx=padding_idx)
        counts = kernels.backward(xp.ones((*indices.shape, 1), dtype=np.float32), indices, rows)
        sums /= xp.maximum(counts, xp.ones_like(counts))
        if out is None:
            return sums.astype(g.dtype)
        out[...] = sums.astype(out.dtype)
        return out

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        if scale_grad_by_freq:
            return None, mean(g, into[1]) if need[1] else None
        return None, kernels.backward(g, indices, rows, padding_idx=padding_idx, out=into[1]) if need[1] else None

    return kernels.forward(indices, weight), vjp


@replaces(indexing._scatter_add)
def scatter_add(values: Any, indices: Any, /, *, size: int, axis: int) -> Any:
    """What `take` and its kin gather is added up as the rows of a table are."""
    if values.dtype not in FLOATS or not indices.size:
        return NotImplemented
    xp = library_of(values)
    rows = xp.moveaxis(values, axis, 0)
    sums = kernels.backward(rows.reshape(len(rows), math.prod(rows.shape[1:])), indices, size)
    out = xp.moveaxis(sums.reshape(size, *rows.shape[1:]), 0, axis)
    return out, (lambda g: xp.take(g, indices, axis=axis), None)
