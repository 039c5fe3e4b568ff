"""Launchers of `random.cu`: random numbers, bit for bit those that NumPy's Philox gives on a CPU.

A stream is given as `(seed, counter, advance)`: an integer below 2¹²⁸, the block of four 64-bit words to begin at, and
None or one uint64 in device memory that is added to `counter` (see `philox.cuh`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel

__all__ = ["draw", "per_block", "stream_arguments"]

THREADS = 256

_DTYPES = {
    "Words": (np.dtype(np.uint64),),
    "Integers": (np.dtype(np.int64),),
    "Bernoulli": (np.dtype(np.bool_),),
    "Uniform": (*FLOATS, np.dtype(np.float64)),
    "Normal": (*FLOATS, np.dtype(np.float64)),
}

BATCH = {"Words": 4, "Integers": 1, "Bernoulli": 4, "Uniform": 4, "Normal": 1}  # Philox blocks of a thread

_draw = Kernel(
    "random.cu",
    "draw",
    sorted({dtype for dtypes in _DTYPES.values() for dtype in dtypes}, key=str),
    _DTYPES,
    only=lambda dtype, what: dtype in _DTYPES[what],
    options=("-fmad=false",),
)


def draw(what: str, y: Any, stream: tuple[int, int, Any], bound: int = 0, low: int = 0) -> Any:
    """Fill the array y, which is contiguous, with the stream's first numbers of a kind; returns it.

    `what`: "Words" (uint64); "Integers" (int64) in [low, low + bound); "Bernoulli" (bool), true with probability
    bound/2³²; "Uniform" on [0, 1) and "Normal", standard (float16, bfloat16, float32, float64).
    """
    blocks = math.ceil(y.size / per_block(y.dtype))
    _draw[y.dtype, what](
        math.ceil(blocks / (BATCH[what] * THREADS)),
        THREADS,
        y,
        np.int64(y.size),
        *stream_arguments(stream, blocks),
        np.uint64(bound),
        np.int64(low),
    )
    return y


def per_block(dtype: np.dtype) -> int:
    """How many numbers one Philox block makes: PER_BLOCK<T> in the source."""
    return 4 if dtype.itemsize == 8 else 8


def stream_arguments(stream: tuple[int, int, Any], blocks: int = 0) -> tuple[np.uint64, np.uint64, np.uint64, Any]:
    """(key0, key1, counter, advance), as kernels take them, for a draw of so many blocks.

    Raises ValueError where they reach beyond block 2⁶⁴ − 2: kernels count in one word.
    """
    seed, counter, advance = stream
    if counter + blocks >= 1 << 64:
        raise ValueError(f"kernels draw blocks before {(1 << 64) - 1}, got {blocks} from {counter} on; draw on the CPU")
    return np.uint64(seed & 0xFFFFFFFFFFFFFFFF), np.uint64(seed >> 64), np.uint64(counter), advance
