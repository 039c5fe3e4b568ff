"""Launcher of `pooling_running.cu`: maxima of square windows 1 apart, as `pooling.py` uses it where it fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, on_16_bytes
from .toolchain.settings import settings
from .windows import reciprocal

__all__ = ["fits", "max_pool"]

THREADS = 64
SIDES = 3, 5, 7, 9, 13  # of windows
V = 4  # neighbouring pixels of a thread
TURN = 4  # rows that it reads together
BUSY = 512  # threads that keep a multiprocessor busy
MOST = 64  # rows of windows to a thread: the mark of a place has 16 bits

_maxima = Kernel("pooling_running.cu", "running_maxima", FLOATS, SIDES)


def fits(image: Any, down: Any, across: Any) -> bool:
    """Whether the kernel is for maxima of `image` (N, C, H, W) by such windows: as many in a row as it has pixels.

    Each must have a pixel.
    """
    if any(a.kernel not in SIDES or a.stride != 1 or a.dilation != 1 for a in (down, across)):
        return False
    if down.kernel != across.kernel or across.before != across.kernel // 2 or across.output != across.size:
        return False
    if across.size % V or not 0 <= down.before < down.kernel or not 0 < down.output <= down.size + down.before:
        return False
    return 0 < image.size <= V << 30 and on_16_bytes(image)


def max_pool(x: Any, y: Any, taps: Any, down: Any, across: Any) -> None:
    """Maxima y of contiguous x, and which of its window each was."""
    chunks = across.size // V
    columns = math.prod(x.shape[:2]) * chunks
    rows = _rows(columns, down)
    groups = math.ceil(down.output / rows)
    useful, beside = _lanes(chunks, math.ceil(down.kernel // 2 / V))
    sizes = columns * groups, down.size, across.size, down.output, down.before, rows, groups, _start(down, groups)
    _maxima[x.dtype, down.kernel](
        math.ceil(math.ceil(columns * groups / useful) / (THREADS // 32)),
        THREADS,
        x,
        y,
        taps,
        *map(np.int32, (*sizes, useful, beside)),
        *map(reciprocal, (chunks, groups)),
    )


def _rows(columns: int, down: Any) -> int:
    """Rows of windows to a thread: many, as it reads K − 1 more, but not so many that the device is idle."""
    busy = math.ceil(BUSY * settings.multiprocessors / columns)
    groups = max(min(busy, down.output // (2 * down.kernel)), math.ceil(down.output / MOST), 1)
    return TURN * math.ceil(down.output / groups / TURN)


def _lanes(chunks: int, beside: int) -> tuple[int, int]:
    """How many lanes of a warp have strips, and how many on either side only tell those what theirs are."""
    whole = 32 // chunks * chunks  # rows of strips, of which no lane has neighbours in another warp
    return (whole, 0) if whole >= 32 - 2 * beside else (32 - 2 * beside, beside)


def _start(down: Any, groups: int) -> int:
    """The row of windows to begin with, whole turns before the first: strips that are columns go through no turn of padding."""
    before = TURN * math.ceil((down.kernel - 1) / TURN)
    padding = before - (down.kernel - 1) + down.before if groups == 1 else 0
    return padding // TURN * TURN - before
