"""Launcher of `channel_last.cu`: images with their channels last, as tensor cores want them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.launch import HALVES, Kernel, contiguous, empty, on_16_bytes
from .windows import reciprocal

__all__ = ["channel_last", "padded", "pixel_pairs"]

THREADS = 128
FEW, ROWS = 32, 256  # pixels up to which a block has all those of so many channels

_channel_last = Kernel("channel_last.cu", "channel_last", HALVES)
_few_channels_last = Kernel("channel_last.cu", "few_channels_last", HALVES)
_pixel_pairs = Kernel("channel_last.cu", "pixel_pairs", HALVES)
_few_pixels_last = Kernel("channel_last.cu", "few_pixels_last", HALVES)


def padded(channels: int) -> int:
    """The number of channels with those that are filled up, a multiple of 8: 16 bytes."""
    return -(-channels // 8) * 8


def channel_last(x: Any) -> Any:
    """(N, H, W, C filled up with zeros to a multiple of 8) of x (N, C, H, W); x itself if that is how it lies."""
    n, channels, *size = x.shape
    width, pixels, turned = padded(channels), math.prod(size), x.transpose(0, 2, 3, 1)
    if width == channels and turned.flags.c_contiguous and on_16_bytes(turned):
        return turned
    x, to = contiguous(x), empty((n, *size, width), x.dtype, like=x)
    if width == 8:
        grid = math.ceil(n * pixels / THREADS)
        _few_channels_last[x.dtype](grid, THREADS, x, to, np.int32(channels), np.int64(pixels), np.int64(n * pixels))
    elif pixels <= FEW and width == channels and on_16_bytes(x):
        chunks = n * channels // 8
        _few_pixels_last[x.dtype](
            math.ceil(8 * chunks / ROWS),
            THREADS,
            x,
            to,
            np.int32(channels),
            np.int32(pixels),
            np.int64(chunks),
            shared=ROWS // 8 * 4 * (4 * pixels + 1),
        )
    else:
        grid, whole = n * math.ceil(width / 64) * math.ceil(pixels / 64), pixels % 8 == 0 and on_16_bytes(x)
        _channel_last[x.dtype](
            grid, THREADS, x, to, np.int32(channels), np.int32(width), np.int32(pixels), np.bool_(whole)
        )
    return to


def pixel_pairs(x: Any, front: int = 0) -> Any:
    """(N, H, pairs, 8) of x (N, C, H, W) with 4 channels at most: two neighbours, each with its channels filled up to 4.

    The first pair begins `front` pixels before the image, 0 or 1; there, and behind its end, are zeros.
    """
    n, channels, height, width = x.shape
    pairs, x = (width + front + 1) // 2, contiguous(x)
    to = empty((n, height, pairs, 8), x.dtype, like=x)
    whole, count = front == 0 and width % 2 == 0 and on_16_bytes(x), n * height * pairs
    sizes = map(np.int32, (channels, height, width, pairs, front))
    _pixel_pairs[x.dtype](
        math.ceil(count / THREADS),
        THREADS,
        x,
        to,
        *sizes,
        reciprocal(height * pairs),
        reciprocal(pairs),
        np.int32(count),
        np.bool_(whole),
    )
    return to
