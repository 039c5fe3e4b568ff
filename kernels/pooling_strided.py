"""Launcher of `pooling_strided_backward.cu`: gradients of maxima by windows of any stride, as `pooling.py` uses it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .toolchain.launch import FLOATS, Kernel, on_16_bytes
from .windows import reciprocal

__all__ = ["fits_backward", "max_pool_gradient"]

THREADS = 256
LINE = 289  # words between the rows of a block's tiles
WORDS = 288  # of a row that tiles may fill
ROWS, COLUMNS = 48, 64  # pixels that a tile has at most
MOST = 80  # rows, those of neighbours included
LONGEST = 32  # side of a window

_gradient = Kernel("pooling_strided_backward.cu", "strided_maxima_gradient", FLOATS, (1, 2))


class Line(NamedTuple):
    """Windows along an axis: window o covers o·stride + i − before, i < kernel, of an image of `size`."""

    size: int
    output: int
    kernel: int
    stride: int
    before: int


class Tiles(NamedTuple):
    """Rows and columns of pixels in a tile, tiles down and across, words of a row, and how many tiles there are."""

    rows: int
    columns: int
    down: int
    across: int
    span: int
    number: int


def fits_backward(image: Any, down: Any, across: Any) -> bool:
    """Whether the kernel is for gradients with regard to `image` (N, C, H, W): windows are not dilated, and each has a pixel."""
    for a in (down, across):
        if a.dilation != 1 or not 1 <= a.kernel <= LONGEST or 2 * a.before > a.kernel:
            return False
        if a.output < 1 or (a.output - 1) * a.stride >= a.size + a.before:
            return False
    if down.kernel * across.kernel > 256 or not image.size:
        return False
    tiles = _tiles(*_lines(image, down, across), 2)
    return tiles.span <= WORDS and tiles.number < 1 << 31


def max_pool_gradient(g: Any, taps: Any, grad_x: Any, down: Any, across: Any) -> None:
    """Gradient of `max_pool`, whose taps these are."""
    planes, down, across = _lines(grad_x, down, across)
    is_even = across.size % 2 == across.output % 2 == 0 and on_16_bytes(g, taps, grad_x)
    vector = 2 if is_even else 1
    tiles = _tiles(planes, down, across, vector)
    together = min(WORDS // tiles.span, tiles.number)
    reach = math.ceil((tiles.columns + across.kernel - 1) / across.stride) + 1 + 2 * (vector - 1)
    windows = min(across.output, reach // vector * vector)
    slack = down.kernel - 1 if tiles.down > 1 else 0
    sizes = tiles.number, together, tiles.rows, tiles.columns, tiles.span, tiles.down, tiles.across
    pairs = tuple(n for pair in zip(down, across) for n in pair)
    words = math.ceil((tiles.rows + 2 * slack) * LINE / 16) * 16
    _gradient[g.dtype, vector](
        math.ceil(tiles.number / together),
        THREADS,
        g,
        taps,
        grad_x,
        *map(np.int32, (*sizes, *pairs, windows, slack, -across.kernel, math.ceil(65536 / across.kernel))),
        *map(reciprocal, (tiles.down, tiles.across)),
        *map(_short_reciprocal, (windows // vector, tiles.rows, tiles.columns // vector)),
        shared=words * (5 if g.itemsize == 4 else 4),  # of each sum in float, its step has a byte
    )


def _lines(image: Any, down: Any, across: Any) -> tuple[int, Line, Line]:
    """Planes, and the windows along their axes; where each window has one row, all planes are one."""
    planes = math.prod(image.shape[:2])
    down, across = (Line(a.size, a.output, a.kernel, a.stride if a.output > 1 else 1, a.before) for a in (down, across))
    if down == Line(down.size, down.size, 1, 1, 0) and image.size < 1 << 31:
        return 1, Line(planes * down.size, planes * down.size, 1, 1, 0), across
    return planes, down, across


def _tiles(planes: int, down: Line, across: Line, vector: int) -> Tiles:
    rows = _part(down.size, min(ROWS, MOST - 2 * down.kernel))
    columns = vector * math.ceil(_part(across.size, COLUMNS) / vector)
    tiles_h, tiles_w = math.ceil(down.size / rows), math.ceil(across.size / columns)
    span = across.size + across.before
    if tiles_w > 1:  # from the start of a window, of `vector` that are read together, that begins before the tile
        span = columns + 2 * (across.kernel - 1) + vector * across.stride
    return Tiles(rows, columns, tiles_h, tiles_w, span, planes * tiles_h * tiles_w)


def _part(count: int, most: int) -> int:
    """How many of so many are in each of the fewest equal parts that have no more than `most`."""
    return math.ceil(count / math.ceil(count / most))


def _short_reciprocal(divisor: int) -> np.uint32:
    """What `short_quotient` multiplies by instead of dividing."""
    return np.uint32(((1 << 32) - 1) // divisor)
