"""Launchers of `normalization.cu` and `normalization_backward.cu`: layer and RMS normalisation of x (rows, cols), over cols."""

from __future__ import annotations

from typing import Any

import numpy as np

from .toolchain.launch import FLOATS, Kernel, access_width, contiguous, empty, is_access_width, on_16_bytes
from .toolchain.settings import settings

__all__ = ["add_partials", "in_order", "norm_backward", "norm_forward"]


def _exists(dtype: Any, centred: bool, vector: int) -> bool:
    return is_access_width(dtype, vector)


_forward = Kernel("normalization.cu", "norm_forward", FLOATS, (True, False), (1, 4, 8), only=_exists)
_backward = Kernel("normalization_backward.cu", "norm_backward", FLOATS, (True, False), (1, 4, 8), only=_exists)
_add_partials = Kernel("normalization_backward.cu", "add_partials", FLOATS)

ADDERS = 1024  # threads of `add_partials`
MOST = 512  # threads of any other block
ROWS = 8  # that a block takes one after another at least, if all have work, so that partial sums are little beside them


def in_order(a: Any) -> Any:
    """`a`, or a copy, with its elements in order from a 16-byte boundary on; None is None."""
    a = contiguous(a)
    return a if on_16_bytes(a) else a.copy()


def forward_chunks(vector: int) -> int:
    """How many chunks a thread holds."""
    return 16 if vector == 1 else 8


def backward_chunks(vector: int) -> int:
    return 8 if vector == 1 else 4


def _lanes(chunks: int, per_thread: int) -> int:
    """How many threads share a row of so many chunks: a power of two (no less than 4 neighbours), or whole warps."""
    wanted = -(-chunks // per_thread)
    if wanted <= 32:
        return 1 << (max(wanted, min(chunks, 4)) - 1).bit_length()
    return min(MOST, -(-wanted // 32) * 32)


def norm_forward(x: Any, weight: Any, bias: Any, *, eps: float, centred: bool) -> tuple:
    """(y, mean, rstd) of layer norm (`centred`) or RMS norm, whose mean is None; statistics are float32 (rows,).

    weight and bias, (cols,) of x's dtype, may be None, and bias is for layer norm alone.
    """
    x, weight, bias = in_order(x), in_order(weight), in_order(bias)
    rows, cols = x.shape
    y, rstd = empty(x.shape, x.dtype, like=x), empty(rows, np.float32, like=x)
    mean = empty(rows, np.float32, like=x) if centred else None
    if x.size:
        vector = access_width(cols, x)
        lanes = _lanes(cols // vector, forward_chunks(vector))
        held = max(1, 128 // lanes)
        _forward[x.dtype, centred, vector](
            -(-rows // held),
            (lanes, held),
            x,
            weight,
            bias,
            y,
            mean,
            rstd,
            np.int32(rows),
            np.int32(cols),
            np.float32(eps),
        )
    return y, mean, rstd


def norm_backward(g: Any, x: Any, weight: Any, mean: Any, rstd: Any, need: Any, into: Any) -> tuple:
    """(grad_x, grad_weight, grad_bias) where `need` says so, else None; mean is None for RMS norm.

    The parameters' gradients, of x's dtype, have shape (cols,) or are written to the arrays `into[1]` and `into[2]`, if given.
    """
    g, x, weight = in_order(g), in_order(x), in_order(weight)
    (rows, cols), dtype, centred = x.shape, x.dtype, mean is not None
    grad_x = empty(x.shape, dtype, like=x) if need[0] else None
    if not x.size:
        return grad_x, *add_partials(empty((2, 0, cols), np.float32, like=x), dtype, need[1:], into[1:])
    vector = access_width(cols, x)
    per_thread = backward_chunks(vector)
    lanes = _lanes(cols // vector, per_thread)
    held = max(1, 256 // lanes)
    block = held * lanes
    turns = -(-rows // held)
    most_blocks = settings.multiprocessors * (MOST // block)
    blocks = min(most_blocks, max(-(-turns // ROWS), min(turns, settings.multiprocessors)))
    tiles = -(-cols // (vector * per_thread * lanes))
    partial = empty((2, blocks if need[1] or need[2] else 0, cols), np.float32, like=x)
    tile_sums = empty((rows, tiles, 2), np.float32, like=x) if tiles > 1 else None

    def launch(known: bool) -> None:
        outputs = known or tiles == 1
        _backward[dtype, centred, vector](
            (blocks, tiles),
            (lanes, held),
            g,
            x,
            weight,
            mean,
            rstd,
            grad_x if outputs else None,
            *(sums if outputs and wanted else None for sums, wanted in zip(partial, need[1:])),
            tile_sums,
            np.bool_(known),
            np.int32(rows),
            np.int32(cols),
            shared=4 * per_thread * vector * dtype.itemsize * block,
        )

    if tiles > 1:
        launch(known=False)
    launch(known=tiles > 1)
    return grad_x, *add_partials(partial, dtype, need[1:], into[1:])


def add_partials(partial: Any, dtype: Any, need: Any, into: Any) -> tuple:
    """Sums over axis 1 of partial (2, count, cols), one (cols,) of `dtype` for each that is needed, in `into` if given."""
    if not any(need):
        return None, None
    count, cols = partial.shape[1:]
    sums = tuple(
        (empty(cols, dtype, like=partial) if out is None else out) if wanted else None
        for wanted, out in zip(need, into)
    )
    _add_partials[dtype]((-(-cols // 32), 2), ADDERS, partial, *sums, np.int32(count), np.int32(cols))
    return sums
