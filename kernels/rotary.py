"""Launcher of `rotary.cu`: queries or keys turned by their positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, contiguous, empty, library_of, on_16_bytes

__all__ = ["rotary"]

THREADS = 256
HEADS, N = 4, 4  # of a thread: heads, and neighbours in one access

_rotary = Kernel("rotary.cu", "rotary", FLOATS, (False, True))


def rotary(x: Any, cos: Any, sin: Any, *, interleaved: bool = False, inverse: bool = False) -> Any:
    """x (…, L, D) turned by angles whose cosines and sines, float32, broadcast to (…, L, R/2); `inverse`: turned back.

    Raises ValueError where x is of 2³² threads or more.
    """
    *lead, length, width = x.shape
    n, shape = cos.shape[-1], x.shape
    x = _in_rows(x.reshape(math.prod(lead[:-1]), lead[-1] if lead else 1, length, width))
    whole_table = (*lead, length, n)
    angles = [library_of(x).broadcast_to(a, whole_table) if len(lead) > 2 else contiguous(a) for a in (cos, sin)]
    cos, sin = (_table(contiguous(a), x.shape[:3], n) for a in angles)
    steps = [s // x.itemsize for s in x.strides[:3]]
    units = math.ceil(n / (N // 2 if interleaved else N)) + math.ceil((width - 2 * n) / N)
    items = x.shape[0] * math.ceil(x.shape[1] / HEADS) * length * units
    if items >= 1 << 32:
        raise ValueError(f"`rotary` takes less than 2³² threads, got {items} for {shape}; split the batch")
    y = empty(x.shape, x.dtype, like=x)
    whole = on_16_bytes(x, y, cos, sin) and not any(k % N for k in (n, width, *steps))
    _rotary[x.dtype, interleaved](
        math.ceil(items / THREADS),
        THREADS,
        x,
        cos,
        sin,
        y,
        np.uint32(items),
        *(np.int32(k) for k in (x.shape[1], length, width, n)),
        *(np.int64(s) for s in steps),
        *(np.int64(s if k > 1 else 0) for s, k in zip(_steps(cos), cos.shape)),
        np.float32(-1 if inverse else 1),
        np.bool_(whole),
    )
    return y.reshape(shape)


def _in_rows(x: Any) -> Any:
    return x if x.strides[3] == x.itemsize and min(x.strides) >= 0 else contiguous(x)


def _table(a: Any, rows: tuple[int, ...], n: int) -> Any:
    """(b, h, l, n), each of the first three 1 or as long as in x."""
    return a.reshape((*rows, n) if a.size == math.prod(rows) * n else (1,) * (4 - a.ndim) + a.shape)


def _steps(a: Any) -> list[int]:
    return [s // a.itemsize for s in a.strides[:3]]
