"""Embedding: rows of a table, looked up by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array.sums import is_half
from ..tape.autograd import primitive
from ..tape.recording import as_one
from .loss import note_outside, read

__all__ = ["check_indices", "embedding"]


@as_one()
def check_indices(indices: Any, count: int, what: str = "the rows of the table") -> None:
    """Raise IndexError unless the integers lie in [0, count), if they can be `read`; a GPU is not made to wait, and remembers."""
    if type(indices) is not np.ndarray:
        seen = read(indices)
        if seen is None:
            note_outside("indices", indices, count)
            return
        indices = seen
    if not indices.size:
        return
    # as unsigned numbers the negative ones are the largest; `argmax` finds them faster than `max` does
    worst = indices.flat[indices.view(f"u{indices.itemsize}").argmax()]
    if not 0 <= worst < count:
        first = np.flatnonzero((indices < 0) | (indices >= count))[0]
        raise IndexError(f"`indices` must be in [0, {count}), {what}; at position {first}, got {indices.flat[first]}")


@primitive(moves=True)
def embedding(
    xp: Any, indices: Any, weight: Any, /, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> Any:
    """y[…, :] = weight[indices[…], :] for weight (V, D); the row `padding_idx` receives no gradient.

    grad_weight[v] = Σ of the g[…, :] whose index is v, added in their order: the result is the same every time. With
    `scale_grad_by_freq` their mean, rounded once.

    >>> table = weft.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> weft.backend.nn.embedding.embedding(weft.tensor([1, 1, 0]), table)
    tensor([[3., 4.],
            [3., 4.],
            [1., 2.]])
    """
    flat = xp.astype(xp.reshape(indices, (-1,)), xp.int64)
    rows, width = weight.shape

    def grad_weight(g: Any) -> Any:
        table = xp.reshape(xp.arange(rows, dtype=xp.int64, device=weight.device), (rows, 1))
        hot = table == flat
        if padding_idx is not None:
            hot = hot & (flat != padding_idx)
        wide = xp.float32 if is_half(g.dtype) else g.dtype
        rows_of_g = xp.astype(xp.reshape(g, (flat.shape[0], width)), wide)
        sums = xp.matmul(xp.astype(hot, wide), rows_of_g)
        if scale_grad_by_freq:
            counts = xp.sum(xp.astype(hot, wide), axis=1, keepdims=True)
            sums = sums / xp.where(counts > 0, counts, xp.ones_like(counts))
        return xp.astype(sums, g.dtype)

    return xp.reshape(xp.take(weight, flat, axis=0), (*indices.shape, width)), (None, grad_weight)
