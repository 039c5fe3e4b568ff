"""Launchers of `pooling_maxima.cu`, its gradient and that of narrow windows: windows 1 apart, as `pooling.py` uses them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import pooling_narrow
from .toolchain.launch import FLOATS, Kernel, on_16_bytes
from .windows import reciprocal

__all__ = ["fits", "fits_backward", "max_pool", "max_pool_gradient"]

THREADS = 256
PITCH, LINE = 292, 289  # words between the rows of a block's tiles: forward, and backward
WORDS = 288  # of a row that tiles may fill
ROWS, COLUMNS = 48, 72  # pixels that a tile has at most
MOST = 80  # rows, those of neighbours included
LONGEST = 32  # side of a window
BUSY = 64  # threads that go along a row each: a block has as many, or takes too long

_forward = Kernel("pooling_maxima.cu", "window_maxima", FLOATS, (1, 2))
_backward = Kernel("pooling_maxima_backward.cu", "window_maxima_gradient", FLOATS, (1, 2))


def fits(image: Any, down: Any, across: Any) -> bool:
    """Whether these kernels are for maxima of `image` (N, C, H, W) by such windows.

    Of 3 × 3, only where two pixels are moved at a time: else `pooling_small` has fewer instructions.
    """
    if not _fits(image, down, across) or min(down.kernel, across.kernel) < 3:
        return False
    is_even = across.size % 2 == across.before % 2 == 0
    return (is_even or down.kernel * across.kernel > 9) and _is_busy(_forward_tile(down, across), down)


def fits_backward(image: Any, down: Any, across: Any) -> bool:
    """Whether they are for the gradient with regard to `image`."""
    return _fits(image, down, across) and _is_busy(_backward_tile(down, across, 2), down)


def max_pool(x: Any, y: Any, taps: Any, down: Any, across: Any) -> None:
    """Maxima y of contiguous x, and which of its window each was."""
    rows, columns, tiles_h, tiles_w, span = _forward_tile(down, across)
    rows_in, columns_in, quads = rows + down.kernel - 1, columns + across.kernel - 1, columns // 4
    vector = 1 if across.size % 2 or across.before % 2 or not on_16_bytes(x) else 2
    chunks = min(math.ceil(columns_in / vector), across.size // vector)
    tiles = math.prod(x.shape[:2]) * tiles_h * tiles_w
    together = min(WORDS // span, tiles)
    counts = together * chunks, chunks, min(rows_in, down.size), together * quads, quads
    _forward[x.dtype, vector](
        math.ceil(tiles / together),
        THREADS,
        x,
        y,
        taps,
        *map(np.int32, (tiles, together, rows, columns, span, tiles_h, tiles_w, *_sizes(down, across), chunks)),
        np.bool_(across.output % 4 == 0 and on_16_bytes(y, taps)),
        *map(reciprocal, (tiles_h, tiles_w)),
        *map(_short_reciprocal, counts),
        shared=_bytes(rows_in * PITCH, x),
    )


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, down: Any, across: Any) -> None:
    """Gradient of `max_pool`, whose taps these are."""
    if pooling_narrow.fits(g.dtype, across) and on_16_bytes(g, taps, grad_x):
        _narrow_gradient(g, taps, grad_x, down, across)
        return
    is_even = across.size % 2 == across.output % 2 == 0 and on_16_bytes(g, taps, grad_x)
    vector = 2 if is_even else 1
    rows, columns, tiles_h, tiles_w, span = _backward_tile(down, across, vector)
    windows = min(across.output, (columns + across.kernel - 1 + 2 * (vector - 1)) // vector * vector)
    slack = down.kernel - 1 if tiles_h > 1 else 0
    tiles = math.prod(g.shape[:2]) * tiles_h * tiles_w
    together = min(WORDS // span, tiles)
    by_taps = windows, slack, -across.kernel, math.ceil(65536 / across.kernel)
    _backward[g.dtype, vector](
        math.ceil(tiles / together),
        THREADS,
        g,
        taps,
        grad_x,
        *map(np.int32, (tiles, together, rows, columns, span, tiles_h, tiles_w, *_sizes(down, across), *by_taps)),
        *map(reciprocal, (tiles_h, tiles_w)),
        *map(_short_reciprocal, (windows // vector, rows, columns // vector)),
        shared=_bytes((rows + 2 * slack) * LINE, g),
    )


def _narrow_gradient(g: Any, taps: Any, grad_x: Any, down: Any, across: Any) -> None:
    rows, columns, tiles_h, tiles_w, _ = _backward_tile(down, across, pooling_narrow.V)
    span, quads = pooling_narrow.span(columns, tiles_w), columns // pooling_narrow.V
    windows = min(across.output, (columns + across.kernel + 1) // 2 * 2)
    slack = down.kernel - 1 if tiles_h > 1 else 0
    tiles = math.prod(g.shape[:2]) * tiles_h * tiles_w
    together = min(WORDS // span, tiles)
    sizes = rows, columns, span, tiles_h, tiles_w, down.size, across.size, down.output, across.output
    pooling_narrow.gradient[g.dtype, across.kernel](
        math.ceil(tiles / together),
        THREADS,
        g,
        taps,
        grad_x,
        *map(np.int32, (tiles, together, *sizes, down.kernel, down.before, windows, slack)),
        *map(reciprocal, (tiles_h, tiles_w)),
        *map(_short_reciprocal, (windows // 2, together * quads, quads)),
        shared=4 * pooling_narrow.LINE * (rows + 2 * slack),
    )


def _fits(image: Any, down: Any, across: Any) -> bool:
    """Whether windows are 1 apart, not dilated, and each has a pixel."""
    for axis in (down, across):
        if axis.stride != 1 or axis.dilation != 1 or not 1 <= axis.kernel <= LONGEST:
            return False
        if 2 * axis.before > axis.kernel or not 0 < axis.output <= axis.size + axis.before or not axis.size:
            return False
    tiles = math.prod(image.shape[:2]) * _most_tiles(down, across)
    return down.kernel * across.kernel <= 256 and 0 < tiles < 1 << 31


def _is_busy(tile: tuple[int, int, int, int, int], down: Any) -> bool:
    rows, *_, span = tile
    return span <= WORDS and min(rows, down.size) * (WORDS // span) >= BUSY


def _forward_tile(down: Any, across: Any) -> tuple[int, int, int, int, int]:
    """Rows and columns of windows in a tile, tiles down and across, words of a row: four pixels are read where one is needed."""
    rows, columns = (
        4 * math.ceil(_part(a.output, most - a.kernel + 1) / 4) for a, most in ((down, ROWS), (across, COLUMNS))
    )
    span = columns + 4 * (across.kernel // 4 + (across.kernel % 4 > 1 or across.kernel < 4))
    return rows, columns, math.ceil(down.output / rows), math.ceil(across.output / columns), span


def _backward_tile(down: Any, across: Any, vector: int) -> tuple[int, int, int, int, int]:
    """Rows and columns of pixels in a tile, tiles down and across, words of a row."""
    rows = _part(down.size, min(ROWS, MOST - 2 * down.kernel))
    columns = vector * math.ceil(_part(across.size, COLUMNS - 8) / vector)
    tiles_w = math.ceil(across.size / columns)
    span = across.size + across.before if tiles_w == 1 else columns + 2 * (across.kernel - 1) + vector
    return rows, columns, math.ceil(down.size / rows), tiles_w, span


def _part(count: int, most: int) -> int:
    """How many of so many are in each of the fewest equal parts that have no more than `most`."""
    return math.ceil(count / math.ceil(count / most))


def _most_tiles(down: Any, across: Any) -> int:
    """No tiling has more tiles of a plane."""
    _, _, *forward, _ = _forward_tile(down, across)
    _, _, *backward, _ = _backward_tile(down, across, 2)
    return max(math.prod(forward), math.prod(backward))


def _sizes(down: Any, across: Any) -> tuple[int, ...]:
    pairs = ((a.size, a.output, a.kernel, a.before) for a in (down, across))
    return tuple(n for pair in zip(*pairs) for n in pair)


def _short_reciprocal(divisor: int) -> np.uint32:
    """What `short_quotient` multiplies by instead of dividing."""
    return np.uint32(((1 << 32) - 1) // divisor)


def _bytes(words: int, image: Any) -> int:
    """Of shared memory: of each word four, and in float one more, 16 at a time."""
    return math.ceil(words / 16) * 16 * (5 if image.itemsize == 4 else 4)
