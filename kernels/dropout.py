"""Launcher of `dropout.cu`: dropout whose mask is never in memory, with a residual connection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .random import stream_arguments
from .toolchain.launch import FLOATS, Kernel, contiguous, empty

__all__ = ["dropout"]

THREADS = 128
ELEMENTS = 64  # per thread

_dropout = Kernel("dropout.cu", "dropout", FLOATS, (False, True), (False, True))


def dropout(
    x: Any, residual: Any, *, threshold: int, scale: float, shared: int = 1, stream: tuple[int, int, Any]
) -> Any:
    """residual + x · (scale where kept, else 0): kept is what has a 32-bit word of the stream less than `threshold`.

    x and residual (or None) have one shape and dtype; `shared` neighbours in x stand and fall together; `stream` as for
    `random.draw`.
    """
    y = empty(x.shape, x.dtype, like=x)
    key0, key1, counter, advance = stream_arguments(stream, math.ceil(x.size / (8 * shared)))
    _dropout[x.dtype, shared != 1, residual is not None](
        math.ceil(x.size / (THREADS * ELEMENTS)),
        THREADS,
        contiguous(x),
        contiguous(residual),
        y,
        np.int64(x.size),
        np.int64(shared),
        np.uint64(threshold),
        np.float32(scale),
        key0,
        key1,
        counter,
        advance,
    )
    return y
