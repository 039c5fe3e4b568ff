"""Launchers of `embedding.cu`: rows of a table by index, and the table's gradient, summed in a fixed order or as it comes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, access_width, contiguous, empty, is_access_width, library_of
from .toolchain.settings import settings

__all__ = ["backward", "forward"]


embedding_forward = Kernel("embedding.cu", "embedding_forward", FLOATS, (1, 4, 8), only=is_access_width)
embedding_chunks = Kernel("embedding.cu", "embedding_chunks", FLOATS, (1, 4, 8), only=is_access_width)
embedding_join = Kernel("embedding.cu", "embedding_join", FLOATS, (1, 4, 8), only=is_access_width)
embedding_scatter = Kernel("embedding.cu", "embedding_scatter", FLOATS)

CHUNK, WARPS = 32, 8  # positions for a warp, warps in a block
THREADS = 32 * WARPS


def forward(indices: Any, weight: Any) -> Any:
    """weight[indices] for integer indices (…) and weight (rows, width): (…, width), NaN where there is no such row."""
    xp = library_of(weight)
    flat, weight = _flat(xp, indices), contiguous(weight)
    rows, width = weight.shape
    y = empty((*indices.shape, width), weight.dtype, like=weight)
    n = access_width(width, weight, y)
    blocks = math.ceil(y.size / (THREADS * n))
    sizes = (np.int64(flat.size), np.int32(width), np.int64(rows))
    embedding_forward[weight.dtype, n](blocks, THREADS, flat, weight, y, *sizes)
    return y


def backward(g: Any, indices: Any, rows: int, *, padding_idx: int | None = None, out: Any = None) -> Any:
    """grad_weight (rows, width): for each row the sum of the g (…, width) whose index it is, 0 for the row `padding_idx`.

    Written to `out`, contiguous, if given. The sums are formed in a fixed order, or, with `settings.deterministic` off,
    as they come.
    """
    xp = library_of(g)
    flat, g = _flat(xp, indices), contiguous(g)
    grad_weight = empty((rows, g.shape[-1]), g.dtype, like=g) if out is None else out
    if not g.size:
        grad_weight.fill(0)
        return grad_weight
    padding = -1 if padding_idx is None else padding_idx
    numbers = (np.int64(flat.size), np.int32(g.shape[-1]), np.int64(rows), np.int64(padding))
    (_in_order if settings.deterministic else _as_they_come)(g, flat, grad_weight, numbers)
    return grad_weight


def _in_order(g: Any, indices: Any, grad_weight: Any, numbers: tuple) -> None:
    xp, (count, width) = library_of(g), (indices.size, g.shape[-1])
    grad_weight.fill(0)
    # a radix sort on the GPU, which takes half the time for half as many bits
    narrow = indices.astype(np.int32) if len(grad_weight) < 1 << 31 else indices
    order = xp.argsort(narrow, kind="stable").astype(np.int64, copy=False)
    chunks, n = math.ceil(count / CHUNK), access_width(width, g, grad_weight)
    heads, tails = (empty((chunks, width), np.float32, like=g) for _ in range(2))
    columns = math.ceil(width / (32 * n))
    embedding_chunks[g.dtype, n](
        (math.ceil(chunks / WARPS), columns), THREADS, g, indices, order, grad_weight, heads, tails, *numbers
    )
    embedding_join[g.dtype, n]((chunks, columns), THREADS, indices, order, grad_weight, heads, tails, *numbers)


def _as_they_come(g: Any, indices: Any, grad_weight: Any, numbers: tuple) -> None:
    is_half = g.dtype != np.float32
    sums = empty(grad_weight.shape, np.float32, like=g) if is_half else grad_weight
    sums.fill(0)
    embedding_scatter[g.dtype](math.ceil(indices.size / WARPS), THREADS, g, indices, sums, *numbers)
    if is_half:
        grad_weight[...] = sums


def _flat(xp: Any, indices: Any) -> Any:
    return xp.ascontiguousarray(indices, dtype=np.int64).reshape(-1)
