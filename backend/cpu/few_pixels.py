"""Convolutions of few pixels with large weights, as at a network's end: im2col, and products with the weight as it is.

To bring 512·512·9 numbers into the order that `lowering` wants takes as long as to multiply them with 200 pixels. Here they
are a matrix (O, C·K), K taps, and the columns (C·K, pixels) are made of a few channels at a time, so that they stay in cache.
These pieces go to threads, and do not depend on how many there are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..device.parallel import alone, parallel_for
from ..nn.convolution import Geometry, extent, inside, taps_of
from . import aligned

__all__ = ["FewPixels"]

LEAST = 1 << 16  # numbers of a weight: fewer are not worth several threads
PIECE = 1 << 20  # bytes of columns
FEWEST, WORK = 4, 1 << 23  # pieces, for threads to share, if each has so many multiply-adds


class FewPixels:
    """The three maps of `backend.nn.convolution`, as `Host` has them."""

    @staticmethod
    def suits(images: int, channels: int, features: int, where: Geometry) -> bool:
        """Whether that is faster: as measured, where pixels are at most 0.7 √(C O)."""
        pixels, pairs = images * math.prod(where.output), channels * features
        is_small = 0 < 2 * pixels**2 <= pairs and pairs * math.prod(where.kernel) >= LEAST
        return is_small and where.groups == 1 and min(where.before) >= 0

    @staticmethod
    def correlate(x: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        n, o, rows = len(x), len(weight), weight.reshape(len(weight), -1)
        pieces = _pieces(x.shape[1], o, n, where, x.itemsize)
        parts = aligned.empty((len(pieces), n * math.prod(where.output), o), x.dtype)

        def run(start: int, stop: int) -> None:
            for part, (channels, columns) in zip(parts[start:stop], pieces[start:stop]):
                np.matmul(_columns(x[:, channels], where).T, rows[:, columns].T, out=part)

        _share_out(run, len(pieces))
        y = np.add.reduce(parts, 0, out=parts[0]) if len(parts) > 1 else parts[0]
        if bias is not None:
            y += bias
        return np.moveaxis(y.reshape(n, *where.output, o), -1, 1)

    @staticmethod
    def weight_gradient(x: np.ndarray, g: np.ndarray, where: Geometry, into: Any) -> np.ndarray:
        shape = g.shape[1], x.shape[1], *where.kernel
        grad = np.empty(shape, x.dtype) if into is None else into
        pieces, rows = (
            _pieces(x.shape[1], g.shape[1], len(x), where, x.itemsize),
            grad.reshape(len(grad), -1, copy=False),
        )
        above = _pixels(g)

        def run(start: int, stop: int) -> None:
            for channels, columns in pieces[start:stop]:
                np.matmul(above.T, _columns(x[:, channels], where).T, out=rows[:, columns])

        _share_out(run, len(pieces))
        return grad

    @staticmethod
    def input_gradient(g: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        n, c, rows, above = len(g), weight.shape[1], weight.reshape(len(weight), -1), _pixels(g)
        image = np.moveaxis(aligned.empty((n, *where.image, c), g.dtype), -1, 1)
        pieces, reads = _pieces(c, g.shape[1], n, where, g.itemsize), taps_of(where)

        def run(start: int, stop: int) -> None:
            for channels, columns in pieces[start:stop]:
                found = np.matmul(rows[:, columns].T, above.T).reshape(-1, len(reads), n, *where.output)
                padded = aligned.zeros((len(found), n, *extent(where)), g.dtype)
                for i, tap in enumerate(reads):
                    padded[tap] += found[:, i]
                part = padded[inside(where)]
                if bias is not None:
                    part += bias[channels].reshape(-1, *(1,) * (part.ndim - 1))
                image[:, channels] = part.swapaxes(0, 1)

        _share_out(run, len(pieces))
        return image


def _share_out(run: Callable[[int, int], None], pieces: int) -> None:
    """To threads of weft's, or to this one alone: products that BLAS spreads have other bits, on CPUs with AVX2 and no more."""
    (alone(run) if pieces == 1 else parallel_for(run, pieces))


def _pieces(channels: int, features: int, images: int, where: Geometry, itemsize: int) -> list[tuple[slice, slice]]:
    """Some channels, and the columns of a weight (O, C·K) that multiply them."""
    area = math.prod(where.kernel)
    per_channel = area * images * math.prod(where.output) * itemsize
    work = channels * per_channel // itemsize * features
    count = min(channels, max(min(FEWEST, work // WORK), -(-channels * per_channel // PIECE)))
    ends = [channels * i // count for i in range(count + 1)]
    return [(slice(i, j), slice(i * area, j * area)) for i, j in itertools.pairwise(ends)]


def _columns(x: np.ndarray, where: Geometry) -> np.ndarray:
    """im2col: (N, C, …) → (C·K, N·Ho·Wo)"""
    (n, c), reads = x.shape[:2], taps_of(where)
    padded = aligned.zeros((c, n, *extent(where)), x.dtype)
    columns = aligned.empty((c, len(reads), n, *where.output), x.dtype)
    padded[inside(where)] = x.swapaxes(0, 1)
    for i, tap in enumerate(reads):
        columns[:, i] = padded[tap]
    return columns.reshape(c * len(reads), -1)


def _pixels(g: np.ndarray) -> np.ndarray:
    """(N, O, …) → (N·Ho·Wo, O)"""
    return np.moveaxis(g, 1, -1).reshape(-1, g.shape[1])
