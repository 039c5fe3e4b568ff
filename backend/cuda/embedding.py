"""Embedding: a gather, and a gradient that needs no one-hot matrix, as the generic form does, and no atomics by default."""

from __future__ import annotations

from typing import Any

from ...kernels import embedding as kernels
from ...kernels.toolchain.launch import FLOATS
from ..nn import embedding as primitives
from . import replaces


@replaces(primitives.embedding)
def embedding(indices: Any, weight: Any, /, *, padding_idx: int | None = None) -> Any:
    if weight.dtype not in FLOATS or indices.dtype.kind not in "iu":
        return NotImplemented
    rows = weight.shape[0]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        return None, kernels.backward(g, indices, rows, padding_idx=padding_idx, out=into[1]) if need[1] else None

    return kernels.forward(indices, weight), vjp
