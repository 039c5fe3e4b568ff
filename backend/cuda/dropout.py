"""Dropout without masks in memory."""

from __future__ import annotations

import math
from typing import Any

from ...kernels import dropout as kernels
from ...kernels.toolchain.launch import FLOATS
from ..array.random import BlockRange, threshold
from ..nn import dropout as primitives
from . import replaces


@replaces(primitives.dropout)
def dropout(x: Any, residual: Any = None, /, *, p: float = 0.5, shape: tuple[int, ...], blocks: BlockRange) -> Any:
    shared = _shared(x.shape, shape)
    if x.dtype not in FLOATS or shared is None or blocks.counter + x.size >= 1 << 64 or blocks.skip:
        return NotImplemented
    if residual is not None and (residual.shape != x.shape or residual.dtype != x.dtype):
        return NotImplemented

    def drop(x: Any, residual: Any = None) -> Any:
        scale = primitives.rescale(p)
        return kernels.dropout(
            x, residual, threshold=threshold(1 - p), scale=scale, shared=shared, stream=blocks.stream
        )

    return drop(x, residual), (drop, lambda g: g)


def _shared(shape: tuple[int, ...], mask: tuple[int, ...]) -> int | None:
    """How many neighbours in memory have one entry of the mask, if every entry has as many."""
    axes = len(mask)
    while axes and mask[axes - 1] == 1:
        axes -= 1
    if len(mask) != len(shape) or mask[:axes] != shape[:axes]:
        return None
    return math.prod(shape[axes:])
