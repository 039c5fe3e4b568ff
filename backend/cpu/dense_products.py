"""Products of many rows with a weight, of pieces that OpenBLAS multiplies without packing them first.

With AVX-512 it does so for up to 10⁶ multiply-adds, and is a tenth faster then: the weight is packed once, here. Rows are
multiplied a band at a time, and a bias is added while what came out is in cache. Bands and pieces do not depend on the
number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import add

from ..device.parallel import parallel_for
from ..device.products import dot
from . import aligned
from .blocks import transpose
from .window_products import has_small_products

__all__ = ["product"]

MANY = 1 << 9  # rows that make up for packing the weight
BAND = 256  # rows of a band: those of x and of the product stay in a second-level cache
COLUMNS = 64  # of a piece
PIECES = ((256, 32), (512, 16), (768, 16))  # how deep a piece is at most, and of how many rows


def product(x: np.ndarray, weight: np.ndarray, bias: Any = None) -> np.ndarray:
    """x w + b: x (M, K), w (K, N) in any order of memory, b (N,)."""
    count = len(x)
    if count < MANY or not _fits(x, weight):
        y = dot(x, weight)
        return y if bias is None else add(y, bias, y)
    depth, width = weight.shape
    parts = -(-depth // PIECES[-1][0])
    step = -(-depth // parts)  # whose products are added up
    rows = next(rows for most, rows in PIECES if step <= most)
    packed = aligned.empty((width // COLUMNS, depth, COLUMNS), x.dtype)
    if weight.flags.c_contiguous:
        packed[...] = weight.reshape(depth, -1, COLUMNS).swapaxes(0, 1)
    else:
        transpose(weight.T.reshape(-1, COLUMNS, depth), packed)
    y = aligned.empty((count, width), x.dtype)

    def multiply(start: int, stop: int) -> None:
        more = aligned.empty((BAND if parts > 1 else 0, width), x.dtype)
        for i in range(start * BAND, min(stop * BAND, count), BAND):
            a, to = x[i : i + BAND], y[i : i + BAND]
            for k in range(0, depth, step):
                out = more[: len(a)] if k else to
                _pieces(a[:, k : k + step], packed[:, k : k + step], out, rows)
                if k:
                    add(to, out, to)
            if bias is not None:
                add(to, bias, to)

    parallel_for(multiply, -(-count // BAND))
    return y


def _fits(x: np.ndarray, weight: np.ndarray) -> bool:
    depth, width = weight.shape
    is_cut = x.flags.c_contiguous and depth >= COLUMNS and width and not width % COLUMNS
    return bool(is_cut and x.dtype == np.float32 and has_small_products())


def _pieces(x: np.ndarray, packed: np.ndarray, out: np.ndarray, rows: int) -> None:
    """x (M, D) times what is packed as (N / COLUMNS, D, COLUMNS), to (M, N); a few rows are left for the end."""
    whole = len(x) // rows * rows
    for part, n in ((slice(0, whole), rows), (slice(whole, len(x)), len(x) - whole)):
        if n:
            a = x[part].reshape(1, -1, n, x.shape[1])
            np.matmul(a, packed[:, None], out[part].reshape(-1, n, len(packed), COLUMNS).transpose(2, 0, 1, 3))
