"""What launchers of kernels that work on strips (`strip.cuh`) share: how wide an access is, and the launch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import on_16_bytes, vector_width
from .windows import reciprocal

__all__ = ["exists", "launch", "width_of_access"]

THREADS = 256
ROWS = 4  # of windows, that a thread goes down


def exists(dtype: np.dtype, vector: int, *_: bool) -> bool:
    """Whether so many neighbours of this type fit an access."""
    return vector <= vector_width(dtype)


def width_of_access(image: Any) -> int:
    """How many neighbouring pixels of `image` (N, C, H, W) one access moves; 0 where strips do not fit."""
    widths = (v for v in (8, 4) if exists(image.dtype, v) and image.shape[3] % v == 0)
    width = next(widths, 0)
    return width if width and image.size and on_16_bytes(image) and image.size // width < 1 << 31 else 0


def launch(instance: Any, image: Any, windows: int, vector: int, *arrays: Any, divisor: int | None = None) -> None:
    """A kernel for all strips of `image`, which has so many rows of windows; `divisor`, if any, goes to it with its inverse."""
    *planes, height, width = image.shape
    chunks, groups = width // vector, math.ceil(windows / ROWS)
    items = math.prod(planes) * groups * chunks
    sizes = map(np.int32, (items, height, width, groups))
    count = () if divisor is None else (np.float32(divisor), np.float32(1) / np.float32(divisor or 1))
    blocks = math.ceil(items / THREADS)
    instance(blocks, THREADS, *arrays, *sizes, *count, reciprocal(chunks), reciprocal(groups))
