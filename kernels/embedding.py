"""Launchers of `embedding.cu`: rows of a table by index, and the table's gradient, summed in a fixed order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .launch import FLOATS, Kernel, aligned, empty, namespace

__all__ = ["backward", "forward"]


def _widths(dtype: np.dtype, n: int) -> bool:
    return n in (1, 16 // dtype.itemsize)


embedding_forward = Kernel("embedding.cu", "embedding_forward", FLOATS, (1, 4, 8), only=_widths)
embedding_chunks = Kernel("embedding.cu", "embedding_chunks", FLOATS, (1, 4, 8), only=_widths)
embedding_join = Kernel("embedding.cu", "embedding_join", FLOATS, (1, 4, 8), only=_widths)

CHUNK, WARPS = 32, 8  # positions for a warp, warps in a block


def forward(indices: Any, weight: Any) -> Any:
    """weight[indices] for integer indices (…) and weight (rows, width): (…, width), NaN where there is no such row."""
    xp = namespace(weight)
    flat, weight = _flat(xp, indices), xp.ascontiguousarray(weight)
    rows, width = weight.shape
    y = empty((*indices.shape, width), weight.dtype, like=weight)
    n = _neighbours(weight, y)
    blocks = math.ceil(y.size / (256 * n))
    sizes = (np.int64(flat.size), np.int32(width), np.int64(rows))
    embedding_forward[weight.dtype, n](blocks, 256, flat, weight, y, *sizes)
    return y


def backward(g: Any, indices: Any, rows: int, *, padding_idx: int | None = None, out: Any = None) -> Any:
    """grad_weight (rows, width): for each row the sum of the g (…, width) whose index it is, 0 for the row `padding_idx`.

    Written to `out`, contiguous, if given.
    """
    xp = namespace(g)
    flat, g = _flat(xp, indices), xp.ascontiguousarray(g)
    count, width = flat.size, g.shape[-1]
    grad_weight = empty((rows, width), g.dtype, like=g) if out is None else out
    grad_weight.fill(0)
    if not g.size:
        return grad_weight
    # a radix sort on the GPU, which takes half the time for half as many bits
    order = xp.argsort(flat.astype(np.int32) if rows < 1 << 31 else flat, kind="stable").astype(np.int64, copy=False)
    chunks, n = math.ceil(count / CHUNK), _neighbours(g, grad_weight)
    heads, tails = (empty((chunks, width), np.dtype(np.float32), like=g) for _ in range(2))
    columns = math.ceil(width / (32 * n))
    numbers = (np.int64(count), np.int32(width), np.int64(rows), np.int64(-1 if padding_idx is None else padding_idx))
    embedding_chunks[g.dtype, n](
        (math.ceil(chunks / WARPS), columns), 32 * WARPS, g, flat, order, grad_weight, heads, tails, *numbers
    )
    embedding_join[g.dtype, n]((chunks, columns), 32 * WARPS, flat, order, grad_weight, heads, tails, *numbers)
    return grad_weight


def _flat(xp: Any, indices: Any) -> Any:
    return xp.ascontiguousarray(indices, dtype=np.int64).reshape(-1)


def _neighbours(*arrays: Any) -> int:
    """How many elements of a row move in one access."""
    n = 16 // arrays[0].itemsize
    return n if aligned(*arrays) and arrays[0].shape[-1] % n == 0 else 1
