"""Dropout without masks in memory."""

from __future__ import annotations

import math
from typing import Any

from ...kernels import dropout as kernels
from ...kernels.toolchain.launch import FLOATS
from ..array.random import Stretch, threshold
from ..nn import dropout
from . import replaces


@replaces(dropout.dropout)
def _(x: Any, residual: Any = None, /, *, p: float = 0.5, shape: tuple[int, ...], stretch: Stretch) -> Any:
    shared = _shared(x.shape, shape)
    if x.dtype not in FLOATS or shared is None or stretch.counter + x.size >= 1 << 64:
        return NotImplemented
    if residual is not None and (residual.shape != x.shape or residual.dtype != x.dtype):
        return NotImplemented

    def drop(x: Any, residual: Any = None) -> Any:
        scale = 1 / (1 - p) if p < 1 else 0.0
        return kernels.dropout(x, residual, threshold=threshold(1 - p), scale=scale, shared=shared, stream=stretch[1:])

    return drop(x, residual), (drop, lambda g: g)


def _shared(shape: tuple[int, ...], mask: tuple[int, ...]) -> int | None:
    """How many neighbours in memory have one entry of the mask, if every entry has as many."""
    axes = len(mask)
    while axes and mask[axes - 1] == 1:
        axes -= 1
    if len(mask) != len(shape) or mask[:axes] != shape[:axes]:
        return None
    return math.prod(shape[axes:])
