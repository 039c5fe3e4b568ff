"""Products of matrices on a CPU, by BLAS: large ones spread over weft's own threads, unless BLAS's sleep in time.

Where they do not (`_openblas`), a convolutional network takes nearly twice as long if BLAS spreads its dense layers' products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._openblas import sleeps_soon
from . import parallel
from .parallel import blas_held, parallel_for

__all__ = ["dot", "is_held", "matmul"]

SMALL = 1 << 18  # multiply-adds: no BLAS wakes a thread of its own for fewer
LARGE = 1 << 21  # from which on one of weft's is worth waking
GRAIN = 16  # rows or columns: pieces begin at multiples, as BLAS's own do


def is_held(multiply_adds: int) -> bool:
    """Whether BLAS would wake its threads for a product of so many, and they would be in the way afterwards."""
    return multiply_adds > SMALL and not sleeps_soon and parallel.num_threads() > 1


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """a b of two matrices of one dtype, to `out` (in C's order) if there is one."""
    size = a.size * b.shape[1]
    if size <= SMALL or not is_held(size):
        return a.dot(b, out)  # `ndarray.dot` and `matmul` make the same call to BLAS; `dot` gets there in half the time
    if size < LARGE:
        with blas_held:
            return a.dot(b, out)
    return _spread(a, b, np.empty((a.shape[0], b.shape[1]), a.dtype) if out is None else out)


def matmul(a: Any, b: Any, out: Any = None) -> Any:
    """a b as `np.matmul`, of matrices or stacks of them."""
    if min(a.ndim, b.ndim) < 2 or a.dtype != b.dtype or not is_held(a.size * b.shape[-1]):
        return np.matmul(a, b) if out is None else np.matmul(a, b, out=out)
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*stack, a.shape[-2], b.shape[-1])
    if math.prod(shape) * a.shape[-1] < LARGE or (stack and stack[0] == 1):
        with blas_held:
            return np.matmul(a, b) if out is None else np.matmul(a, b, out=out)
    y = np.empty(shape, a.dtype) if out is None else out
    if not stack:
        return _spread(a, b, y)
    a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])) for x in (a, b))

    def run(start: int, stop: int) -> None:
        np.matmul(a[start:stop], b[start:stop], out=y[start:stop])

    parallel_for(run, stack[0])
    return y


def _spread(a: Any, b: Any, y: Any) -> Any:
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

    parallel_for(run, pieces)
    return y
