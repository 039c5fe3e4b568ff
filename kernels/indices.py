"""Launcher of `indices.cu`: the first index out of range, kept on the device until somebody asks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import Kernel, contiguous

__all__ = ["note", "take"]

THREADS, BLOCKS = 256, 1024
DTYPES = tuple(np.dtype(name) for name in ("int64", "int32", "int16", "int8", "uint8"))
NONE = np.uint64(2**64 - 1)
KINDS = ("target", "indices")  # what each word is for

first_outside = Kernel("indices.cu", "first_outside", DTYPES)

_words: dict[int | None, Any] = {}  # by GPU, or None for the emulator: one for each kind


def note(kind: str, indices: Any, count: int, ignored: int | None = None) -> None:
    """Have the device remember the first of the integers (…) that is neither in [0, count) nor `ignored`.

    Nothing waits. The memory is made by the first call, which a recording must not be: its warm-up is.
    """
    if not indices.size or indices.dtype.kind not in "iu":
        return
    x = contiguous(indices if indices.dtype in DTYPES else indices.astype(np.int64))
    words = _words_beside(x)
    sizes = (np.int64(x.size), np.int64(count), np.int64(-(2**63) if ignored is None else ignored))
    at = KINDS.index(kind)
    first_outside[x.dtype](min(BLOCKS, math.ceil(x.size / THREADS)), THREADS, x, words[at : at + 1], *sizes)


def take(gpu: int | None) -> list[tuple[str, int, int]]:
    """(kind, value, position) of what was noted on that GPU (None: the emulator) since the last time. The host waits."""
    words = _words.get(gpu)
    if words is None:
        return []
    seen = words if isinstance(words, np.ndarray) else words.get()
    found = []
    for kind, word in zip(KINDS, seen.tolist()):
        if word != NONE:
            value = word & 0xFFFFFFFF
            found.append((kind, value - (1 << 32) if value >> 31 else value, word >> 32))
    if found:
        words[...] = NONE
    return found


def _words_beside(x: Any) -> Any:
    """On a GPU they are CuPy's; in the emulator NumPy's own, which no recording takes part in."""
    gpu = None if isinstance(x, np.ndarray) else x.device.id
    if gpu not in _words:
        words = np.full(len(KINDS), NONE)
        if gpu is not None:
            import cupy

            words = cupy.asarray(words)
        _words[gpu] = words
    return _words[gpu]
