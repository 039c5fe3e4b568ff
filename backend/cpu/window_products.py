"""Products of a matrix with the overlapping windows that a convolution reads.

Matrices are stacks of rows (J, P, D), one for each of P pixels. A window is `span` rows wide and starts at every pixel:
windows overlap in memory. BLAS demands that the rows of a matrix lie at least their own length apart, so there are
`span` matrices, of every span-th window each. They are cut into blocks of the size that BLAS multiplies fastest.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..device.parallel import blas_architectures
from . import aligned

# With AVX-512, OpenBLAS multiplies matrices of at most 10⁶ multiply-adds without packing them first: at this size, and
# with at least so many rows, 1.3 times faster than large ones.
SMALL = 600_000
LEAST_ROWS, LEAST_ROWS_ADJOINT = 12, 48
ADJOINT_BYTES = 1 << 20  # of their results: many short calls are what threads wait for
WITHOUT_PACKING = {"SkylakeX", "Cooperlake", "SapphireRapids"}


def row_blocks(rows: int, size: int, *, adjoint: bool = False) -> tuple[int, int]:
    """(n, m): n blocks of m rows, n·m ≥ rows, for a product (or its adjoint) that does `size` multiply-adds per row."""
    most = SMALL // size
    if most < (LEAST_ROWS_ADJOINT if adjoint else LEAST_ROWS) or most >= rows or not has_small_products():
        return 1, rows
    n = -(-rows // most)
    return n, -(-rows // n)


@functools.cache
def has_small_products() -> bool:
    return not WITHOUT_PACKING.isdisjoint(blas_architectures())


class WindowProduct:
    """out[p] = Σ_{i < span} rows[p + i] kernel[i]: rows (J, P, D), kernel (J, span, D, O), out (J, P, O).

    In memory the numbers of a row lie next to each other; if `planar`, the rows do. Both arrays go on beyond P, so that
    blocks need not fit it: `rows` with zeros, and `out` too where the adjoint is computed.
    """

    def __init__(self, shape: tuple[int, int, int, int], pixels: int, dtype: Any, *, planar: bool = False):
        matrices, span, depth, features = shape
        n, m = row_blocks(-(-pixels // span), span * depth * features)
        n_adjoint, m_adjoint = row_blocks(pixels, depth * features, adjoint=True)
        size = max(span * n * m, n_adjoint * m_adjoint)
        rows = (
            aligned.empty((matrices, depth, size), dtype).mT
            if planar
            else aligned.empty((matrices, size + span, depth), dtype)
        )
        self.rows = rows[:, :pixels]
        rows[:, pixels:] = 0
        j, p, e = rows.strides
        self.windows = as_strided(
            rows, (matrices, span, n, m, span * depth), (j, p, m * span * p, span * p, e), subok=True
        )
        self.shifted = as_strided(
            rows, (n_adjoint, matrices, span, depth, m_adjoint), (m_adjoint * p, j, p, e, p), subok=True
        )
        self.shapes = (matrices, size, features), (span, n, m), (n_adjoint, m_adjoint)
        self.allocate()

    def beside(self) -> WindowProduct:
        """Another with the same rows, and results of its own."""
        other = copy.copy(self)
        other.allocate()
        return other

    def allocate(self) -> None:
        """Memory for results."""
        (matrices, size, features), (span, n, m), (n_adjoint, m_adjoint) = self.shapes
        self.memory = out = aligned.empty((matrices, size, features), self.rows.dtype)
        self.out = out[:, : self.rows.shape[1]]
        j, p, e = out.strides
        self.target = as_strided(out, (matrices, span, n, m, features), (j, p, m * span * p, span * p, e), subok=True)
        self.g = as_strided(out, (n_adjoint, matrices, 1, m_adjoint, features), (m_adjoint * p, j, 0, p, e), subok=True)

    def multiply(self, kernel: np.ndarray) -> None:
        """Compute `out` from `rows` and the kernel, given as (J, span·D, O)."""
        np.matmul(self.windows, kernel[:, None, None], out=self.target)

    def clear(self) -> None:
        """Set `out` to zero, and what is beyond it."""
        self.memory.fill(0)

    def adjoint(self, total: np.ndarray) -> None:
        """Add Σₚ rows[p + i]ᵀ out[p] to total (J, span, D, O)."""
        count = max(1, ADJOINT_BYTES // total.nbytes)  # products in a call
        parts = np.empty((min(count, len(self.g)), *total.shape), total.dtype)
        for i in range(0, len(self.g), count):
            found = parts[: len(self.g) - i]
            np.matmul(self.shifted[i : i + count], self.g[i : i + count], out=found)
            total += found[0] if len(found) == 1 else np.add.reduce(found, 0)
