"""Launchers of `convolution.cu`: columns of images and back, piece by piece, and the gradient of a bias.

`where` says where a kernel goes. It is hashable and has pairs (down, across) `image`, `output`, `kernel`, `stride`,
`before`, `dilation`, and `groups`: output o reads image o·stride + i·dilation − before, i < kernel, and 0 outside it.
Neither the image nor the output has more than 2³⁰ pixels, and windows are at most 2²⁹ apart.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, contiguous, empty, library_of, on_16_bytes, vector_width
from .toolchain.settings import settings
from .windows import reciprocal, steps

__all__ = ["col2im", "im2col", "pitch_of", "positions_of", "sum_channels"]

THREADS = 256
EACH = 4  # positions, channels or sums that a thread works on together
BLOCKS = 16  # enough to keep a multiprocessor busy: beyond that, threads share index arithmetic instead
SHARE = 1 << 13  # values that one block sums, or more
ALIGN = 8  # columns are as many as 16 bytes of the narrowest type hold, or a multiple of that: products want it

_im2col = Kernel("convolution.cu", "im2col", FLOATS)
_col2im = Kernel("convolution.cu", "col2im", FLOATS)
_channel_sums = Kernel("convolution.cu", "channel_sums", FLOATS, (False, True))
_sum_partials = Kernel("convolution.cu", "sum_partials", FLOATS)

Pair = tuple[int, int]


def pitch_of(positions: int) -> int:
    """The length of rows of columns for so many positions."""
    return -(-positions // ALIGN) * ALIGN


def im2col(image: Any, where: Any, start: int, stop: int, columns: Any = None) -> Any:
    """Columns (C·KH·KW, pitch) of image (N, C, H, W) for positions [start, stop) of N·Ho·Wo, then zeros."""
    area, channels = math.prod(where.output), image.shape[1]
    if columns is None:
        columns = empty((channels * math.prod(where.kernel), pitch_of(stop - start)), image.dtype, like=image)
    pitch = columns.shape[1]
    _im2col[image.dtype](
        _grid(math.ceil(pitch / (THREADS * EACH)), channels),
        THREADS,
        image[start // area :],
        columns,
        np.int32(channels),
        *_geometry(where),
        reciprocal(area),
        reciprocal(where.output[1]),
        np.int32(start % area),
        np.int32(stop - start),
        np.int32(pitch),
    )
    return columns


def col2im(columns: Any, where: Any, image: Any, start: int, stop: int, first: int, bias: Any = None) -> None:
    """Write pixels [start, stop), of N·H·W, of every channel of image (N, C, H, W): bias (C) plus all that read them.

    Column 0 of columns (C·KH·KW, pitch), which are float32, is that of position `first`; those in `positions_of(where, start,
    stop)` are there.
    """
    assert columns.dtype == np.float32
    area, channels, bias = math.prod(where.image), image.shape[1], contiguous(bias)
    n = start // area
    _col2im[image.dtype](
        _grid(math.ceil((stop - start) / THREADS), math.ceil(channels / EACH)),
        THREADS,
        columns,
        bias,
        image[n:],
        np.int32(channels),
        *_adjoint_geometry(where),
        np.int32(first - n * math.prod(where.output)),
        np.int32(start - n * area),
        np.int32(stop - start),
        np.int32(columns.shape[1]),
    )


def positions_of(where: Any, start: int, stop: int) -> Pair:
    """[first, last) of the positions whose windows may cover pixels [start, stop), both counted over a batch."""
    (h, w), (output_h, output_w), end = where.image, where.output, stop - 1
    same_row = start // w == end // w
    ends = []
    for pixel, find, edge in ((start, _first_window, 0), (end, _last_window, output_w - 1)):
        n, rest = divmod(pixel, h * w)
        row, column = find(where, 0, rest // w), find(where, 1, rest % w) if same_row else edge
        ends.append((n * output_h + row) * output_w + column)
    return ends[0], max(ends[0], ends[1] + 1)


def _first_window(where: Any, axis: int, at: int) -> int:
    reach = where.dilation[axis] * (where.kernel[axis] - 1)
    return max(0, -(-(at + where.before[axis] - reach) // where.stride[axis]))


def _last_window(where: Any, axis: int, at: int) -> int:
    return min((at + where.before[axis]) // where.stride[axis], where.output[axis] - 1)


def sum_channels(g: Any) -> Any:
    """Σ over images and pixels of contiguous g (N, C, H, W): (C), added in float in an order that the shape, and whether
    memory begins on 16 bytes, decide."""
    batch, channels, pixels = g.shape[0], g.shape[1], math.prod(g.shape[2:])
    if not g.size:
        return library_of(g).zeros(channels, dtype=g.dtype)
    images = max(
        batch * channels // (BLOCKS * settings.multiprocessors), math.ceil(SHARE / pixels), math.ceil(batch / 65535)
    )
    images = min(images, batch, max(1, (1 << 30) // pixels))
    parts = math.ceil(batch / images)
    partial, sums = empty((parts, channels), np.float32, like=g), empty(channels, g.dtype, like=g)
    n = vector_width(g.dtype)
    wide = pixels % n == 0 and on_16_bytes(g)
    pieces = pixels // n if wide else pixels
    _channel_sums[g.dtype, wide](
        (channels, parts),
        THREADS,
        g,
        partial,
        np.int32(batch),
        np.int32(channels),
        np.int32(pieces),
        np.int32(images),
        reciprocal(pieces),
    )
    _sum_partials[g.dtype](math.ceil(channels / THREADS), THREADS, partial, sums, np.int32(channels), np.int32(parts))
    return sums


def _grid(chunks: int, channels: int) -> Pair:
    """`chunks` blocks in a row, and as many rows as keep the device busy, each of which strides over the channels."""
    busy = BLOCKS * settings.multiprocessors
    return chunks, min(channels, max(math.ceil(channels / 16), math.ceil(busy / max(1, chunks))), 65535)


@functools.lru_cache(maxsize=1024)
def _geometry(where: Any) -> tuple[np.int32, ...]:
    pairs = (where.image, where.output, where.kernel, where.stride, where.before, where.dilation)
    return tuple(np.int32(n) for pair in pairs for n in pair)


@functools.lru_cache(maxsize=1024)
def _adjoint_geometry(where: Any) -> tuple[Any, ...]:
    apart, skip = zip(*map(steps, where.stride, where.dilation))
    reciprocals = (math.prod(where.image), where.image[1], *where.stride)
    return *_geometry(where), *map(np.int32, (*apart, *skip)), *map(reciprocal, reciprocals)
