"""The gradient of an embedding table on NumPy: deterministic, without the one-hot matrix of the generic form."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import embedding as primitives

RUN = 32  # an index used more often than this has a `sum` of its own; the others are added round by round, all at once


@primitives.embedding.on("cpu")
def embedding(indices: Any, weight: Any, /, *, padding_idx: int | None = None) -> Any:
    def vjp(g: Any, need: Any, into: Any) -> tuple:
        out = np.empty_like(weight) if into[1] is None else into[1]
        _scatter_sum(out, indices.reshape(-1), g.reshape(indices.size, weight.shape[1]))
        if padding_idx is not None:
            out[padding_idx] = 0
        return None, out

    return weight.take(indices, axis=0), vjp


def _scatter_sum(out: Any, indices: Any, g: Any) -> None:
    """out[v] = Σ g[i] over the i where indices[i] = v, in the order of i. `np.add.at` takes three times as long."""
    out[...] = 0
    order = np.argsort(indices, stable=True)
    ordered = indices[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    lengths, rows = np.diff(starts, append=len(order)), ordered[starts]
    for i in np.flatnonzero(lengths > RUN).tolist():
        np.add.reduce(g[order[starts[i] : starts[i] + lengths[i]]], axis=0, out=out[rows[i]])
    short = lengths <= RUN
    starts, lengths, rows = starts[short], lengths[short], rows[short]
    for k in range(RUN):
        if not len(starts):
            break
        out[rows] += g[order[starts + k]]
        left = lengths > k + 1
        starts, lengths, rows = starts[left], lengths[left], rows[left]
