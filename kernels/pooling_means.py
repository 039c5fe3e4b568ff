"""Launchers of `pooling_means.cu` and `pooling_means_backward.cu`: means of windows, as `pooling.py` uses them for short ones."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from .toolchain.launch import FLOATS, Kernel, on_16_bytes
from .toolchain.settings import settings
from .windows import Ranges, ranges, reciprocal, windows_of

__all__ = ["geometry", "geometry_backward", "means", "means_gradient", "plan", "plan_backward"]

THREADS = 128
LINES = 256  # rows of windows, or of pixels, that a block has at a time
EACH = 8  # of which a thread does so many together
V = 4  # neighbours in an access, where rows are whole accesses of so many
ROOM = 6144  # floats of shared memory: with eight blocks a multiprocessor is busy
LONG = 64  # columns of a window that are too many for one thread
BUSY = 4  # blocks of a multiprocessor, fewer than that do as much at a time as they can
FAR = 1 << 30  # what is counted in 32 bits is less
WIDEST = 1 << 27  # rows, of which EACH are reached with offsets of 32 bits
TURNS = 16  # blocks that are so many do more, one piece after the other

_forward = Kernel("pooling_means.cu", "window_means", FLOATS, (1, V), (False, True))
_backward = Kernel("pooling_means_backward.cu", "window_means_gradient", FLOATS, (1, V), (False, True))


class Forward(NamedTuple):
    """What a block does: `group` rows of windows at a time, `turns` times, of each `tile` windows, of `chunks` accesses."""

    group: int
    turns: int
    chunks: int
    tile: int
    tiles: int
    flat: bool


class Backward(NamedTuple):
    """What a block does: `rows` rows of each of `together` planes at a time, `turns` times, of each `tile` columns."""

    together: int
    turns: int
    parts: int  # of the rows of a plane, for a thread each
    part_rows: int
    rows: int
    bands: int
    chunks: int
    tile: int
    tiles: int
    reach: int
    flat: bool
    lines: int  # rows of windows


def _access(image: Any) -> int:
    """How many neighbours of a row of the image (N, C, H, W) one access moves."""
    return V if image.shape[3] % V == 0 and on_16_bytes(image) else 1


def plan(x: Any, down: Any, across: Any) -> Forward | None:
    """How to do such windows of an image (N, C, H, W); None: not by these kernels."""
    if not x.size:
        return None
    return _plan(math.prod(x.shape[:2]), down, across, _access(x), settings.multiprocessors)


@functools.lru_cache(maxsize=1024)
def _plan(planes: int, down: Any, across: Any, v: int, multiprocessors: int) -> Forward | None:
    columns, lines, flat = ranges(across), planes * down.output, ranges(down).is_identity
    wide = _wide(v, flat)
    most = min(across.output, THREADS, columns.fitting(min(THREADS * wide, ROOM // EACH) - v - wide + 2))
    if not 0 < lines < FAR or not across.output or across.output > WIDEST or across.kernel > LONG or most < 1:
        return None
    tiles = math.ceil(across.output / most)
    tile = math.ceil(across.output / tiles)
    chunks = math.ceil(min(across.size, columns.most(tile) + v - 1) / wide)
    group = min(LINES, ROOM // (chunks * wide) // EACH * EACH)
    if (group // down.output + 2) * down.size * across.size >= 1 << 32:
        return None
    group = max(EACH, min(group, lines * tiles // (BUSY * multiprocessors) // EACH * EACH))
    blocks = math.ceil(lines / group) * tiles
    return Forward(group, max(1, blocks // (TURNS * multiprocessors)), chunks, tile, tiles, flat)


def means(x: Any, y: Any, how: Forward, down: Any, across: Any, padded: bool = True, divisor: int = 0) -> None:
    """Means y of contiguous x: sums over the divisor, or (0) over how many elements count."""
    v, lines = _access(x), math.prod(y.shape[:3])
    _forward[x.dtype, v, how.flat](
        math.ceil(math.ceil(lines / how.group) / how.turns) * how.tiles,
        THREADS,
        x,
        y,
        *map(np.int32, (lines, *how[:-1])),
        *geometry(down, across, padded, divisor),
        *map(_share, (how.chunks, how.tile)),
        *map(reciprocal, (down.output, how.tiles)),
        shared=how.group * how.chunks * _wide(v, how.flat) * (x.itemsize if how.flat else 4),
    )


def plan_backward(x: Any, down: Any, across: Any) -> Backward | None:
    """How to do the gradient of such windows, for an image (N, C, H, W); None: not by these kernels."""
    if not x.size or not down.output * across.output:
        return None
    return _plan_backward(math.prod(x.shape[:2]), down, across, _access(x), settings.multiprocessors)


@functools.lru_cache(maxsize=1024)
def _plan_backward(planes: int, down: Any, across: Any, v: int, multiprocessors: int) -> Backward | None:
    of_rows, of_columns = windows_of(down), windows_of(across)
    flat = of_rows.is_identity
    unit = max(v, _columns(flat))
    tile = min(math.ceil(across.size / unit) * unit, THREADS * (min(8, _wide(v, flat)) if flat else 1))
    tile = min(tile, of_columns.fitting(THREADS) // unit * unit)
    while tile > 32 and _room(tile, of_columns, flat) * of_rows.most(min(down.size, 16)) > ROOM:
        tile = tile // unit // 2 * unit
    if tile < 1 or planes * down.output >= FAR or max(across.size, across.output) > WIDEST:
        return None
    tiles = math.ceil(across.size / tile)
    tile = math.ceil(across.size / tiles / unit) * unit
    reach, room = of_columns.most(tile), _room(tile, of_columns, flat)
    most = min(LINES, ROOM // room // EACH * EACH)  # rows of windows
    if of_rows.has_all(down.size, down.output) and down.output <= most and down.size <= LINES:
        rows, lines = down.size, down.output
        together = max(1, min(most // lines, planes * tiles // (BUSY * multiprocessors)))
    else:
        rows, together = min(down.size, LINES, of_rows.fitting(most)), 1
        if rows < 1:
            return None
        rows = math.ceil(down.size / math.ceil(down.size / rows))
        lines = of_rows.most(rows)
    bands = math.ceil(down.size / rows)
    blocks = math.ceil(planes / together) * bands * tiles
    turns = max(1, blocks // (TURNS * multiprocessors))
    chunks = math.ceil(tile / _wide(v, flat))
    parts = max(1, THREADS // chunks // together)
    how = Backward(
        together, turns, parts, math.ceil(rows / parts), rows, bands, chunks, tile, tiles, reach, flat, lines
    )
    return how if blocks < FAR else None


def _wide(v: int, flat: bool) -> int:
    """How many numbers of a row a thread has, in accesses of v."""
    return 4 * v if flat or v == 1 else 2 * v


def _columns(flat: bool) -> int:
    """How many neighbouring columns a thread adds up at a time, backward."""
    return 2 if flat else 1


def _share(width: int) -> np.int32:
    """What the number of a thread is multiplied by, and then shifted, to be divided by such a width of up to THREADS."""
    return np.int32(-(-(1 << 16) // width))


def _room(tile: int, columns: Ranges, flat: bool) -> int:
    """Floats for a row of windows."""
    return columns.most(tile) + tile * (not flat)


def means_gradient(
    g: Any, grad_x: Any, how: Backward, down: Any, across: Any, padded: bool = True, divisor: int = 0
) -> None:
    """Gradient of `means`."""
    v, planes = _access(grad_x), math.prod(g.shape[:2])
    _backward[g.dtype, v, how.flat](
        math.ceil(math.ceil(planes / how.together) / how.turns) * how.bands * how.tiles,
        THREADS,
        g,
        grad_x,
        *map(np.int32, (planes, *how[:10])),
        *geometry_backward(down, across, padded, divisor),
        *map(_share, (min(how.tile // _columns(how.flat), THREADS), how.chunks, how.reach)),
        _share(how.lines) if how.together > 1 else np.int32(0),
        _share(how.together),
        *map(reciprocal, (how.tiles, how.bands)),
        shared=-(-how.together * how.lines // EACH) * EACH * _room(how.tile, windows_of(across), how.flat) * 4,
    )


def geometry(down: Any, across: Any, padded: bool, divisor: int) -> tuple[np.generic, ...]:
    """What kernels are told of windows, whoever launches them."""
    axes = ranges(down), ranges(across)
    return (
        *_sizes(down, across),
        *_numbers(axes, "step", "last", "shift"),
        np.bool_(padded),
        np.float32(divisor),
        *(reciprocal(a.over) for a in axes),
    )


def geometry_backward(down: Any, across: Any, padded: bool, divisor: int) -> tuple[np.generic, ...]:
    """What kernels are told of windows and of those that have a pixel."""
    axes, windows = (windows_of(down), windows_of(across)), (ranges(down), ranges(across))
    return (
        *_sizes(down, across),
        *_numbers(axes, "step", "first", "last"),
        *_numbers(windows, "step", "last", "shift"),
        np.bool_(padded),
        np.float32(divisor),
        *(reciprocal(a.over) for a in (*axes, *windows)),
    )


def _sizes(down: Any, across: Any) -> tuple[np.int32, ...]:
    return tuple(map(np.int32, (down.size, across.size, down.output, across.output)))


def _numbers(axes: tuple[Ranges, ...], *names: str) -> tuple[np.int32, ...]:
    return tuple([np.int32(getattr(axis, name)) for name in names for axis in axes])
