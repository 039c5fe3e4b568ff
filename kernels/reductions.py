"""Launchers of `reductions.cu`: norms of many vectors, and scaling by a number in device memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, contiguous, empty, vector_width
from .toolchain.settings import settings

__all__ = ["clip", "norm", "scale"]

THREADS = 256
BLOCK = 8192  # elements per partial sum
BUSY = 16  # blocks that a multiprocessor has to do: twice those that it has room for at a time

_power_sum = Kernel("reductions.cu", "power_sum", FLOATS, ("Square", "Absolute", "Power", "Largest"))
_finish_norm = Kernel("reductions.cu", "finish_norm")
_scale = Kernel("reductions.cu", "scale", FLOATS)
_clip = Kernel("reductions.cu", "clip", FLOATS)

_SUMS = {2.0: "Square", 1.0: "Absolute", math.inf: "Largest"}


def norm(arrays: Sequence[Any], p: float = 2.0) -> Any:
    """(Σ |x|ᵖ)^(1/p) over all elements of all arrays (at least one), or max |x| for p = ∞: a 0-d float32 array.

    The order of summation is fixed by the sizes alone.
    """
    blocks = [math.ceil(x.size / BLOCK) for x in arrays]
    partial = empty((sum(blocks),), np.float32, like=arrays[0])
    done = 0
    for x, n in zip(arrays, blocks):
        x = contiguous(x)
        _power_sum[x.dtype, _SUMS.get(p, "Power")](n, THREADS, x, np.int64(x.size), np.float32(p), partial[done:])
        done += n
    result = empty((), np.float32, like=arrays[0])
    _finish_norm(1, THREADS, partial, np.int64(done), np.float32(p), result)
    return result


def scale(x: Any, factor: Any) -> None:
    """x ← factor · x in place, x contiguous; `factor` is one float32 in device memory. Nothing is moved if it is 1."""
    _scale[x.dtype](_grid(x), THREADS, x, np.int64(x.size), factor)


def clip(x: Any, norm: Any, max_norm: float) -> None:
    """x ← min(1, max_norm / (norm + 10⁻⁶)) · x in place, x contiguous; `norm` is one float32, and changes nothing if NaN."""
    _clip[x.dtype](_grid(x), THREADS, x, np.int64(x.size), norm, np.float32(max_norm))


def _grid(x: Any) -> int:
    """No more blocks than keep the device busy: often the factor is 1, and all that they do is to read it."""
    return min(math.ceil(x.size / (THREADS * vector_width(x.dtype))), BUSY * settings.multiprocessors)
