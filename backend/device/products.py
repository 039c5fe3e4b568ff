"""Products of matrices on a CPU, by BLAS: large ones spread over weft's own threads, unless BLAS's sleep in time.

Where they do not (`_openblas`), a convolutional network takes nearly twice as long if BLAS spreads its dense layers' products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._openblas import sleeps_soon
from . import parallel
from .parallel import alone, parallel_for

__all__ = ["dot", "matmul"]

SMALL = 1 << 18  # multiply-adds: no BLAS wakes a thread of its own for fewer
LARGE = 1 << 21  # from which on one of weft's is worth waking
GRAIN = 16  # rows or columns: pieces begin at multiples, as BLAS's own do


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """a b of two matrices of one dtype, to `out` (in C's order) if there is one."""
    size = a.size * b.shape[1]
    if size <= SMALL or sleeps_soon or parallel.num_threads() == 1:
        return a.dot(b, out)  # `ndarray.dot` and `matmul` make the same call to BLAS; `dot` gets there in half the time
    y = np.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out
    if size >= LARGE:
        _spread(a, b, y)
    else:
        alone(lambda start, stop: a.dot(b, y))
    return y


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """a b as `np.matmul`, of matrices or stacks of them."""
    is_plain = sleeps_soon or parallel.num_threads() == 1 or min(a.ndim, b.ndim) < 2 or a.dtype != b.dtype
    if is_plain or a.size * b.shape[-1] <= SMALL:
        return np.matmul(a, b) if out is None else np.matmul(a, b, out=out)
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    y = np.empty((*stack, a.shape[-2], b.shape[-1]), a.dtype) if out is None else out
    if y.size * a.shape[-1] < LARGE or (stack and stack[0] == 1):
        alone(lambda start, stop: np.matmul(a, b, out=y))
    elif stack:
        _spread_stack(np.broadcast_to(a, (*stack, *a.shape[-2:])), np.broadcast_to(b, (*stack, *b.shape[-2:])), y)
    else:
        _spread(a, b, y)
    return y


def _spread_stack(a: Any, b: Any, y: Any) -> None:
    parallel_for(lambda i, j: np.matmul(a[i:j], b[i:j], out=y[i:j]), len(y))


def _spread(a: Any, b: Any, y: Any) -> None:
    """Rows of y to each thread, or columns, whichever are more: of the other factor each packs all."""
    by_rows = len(y) >= y.shape[1]
    length = y.shape[0 if by_rows else 1]
    pieces = min(parallel.num_threads(), max(1, length // GRAIN))
    ends = [length * (i + 1) // pieces // GRAIN * GRAIN for i in range(pieces - 1)]
    ends.append(length)

    def run(start: int, stop: int) -> None:
        for i in range(start, stop):  # the same pieces, whoever computes them
            part = slice(ends[i - 1] if i else 0, ends[i])
            if by_rows:
                np.matmul(a[part], b, out=y[part])
            else:
                np.matmul(a, b[:, part], out=y[:, part])

    if pieces == 1:
        alone(run)
    else:
        parallel_for(run, pieces)
