"""The one place where matrices are multiplied."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["matmul"]


def matmul(xp: Any, a: Any, b: Any, *, out: Any = None) -> Any:
    """a @ b for matrices or stacks of matrices, written to `out` where the library can.

    Transposes are views (`a.mT`): BLAS takes them as flags, nothing is copied. A stack times one matrix is flattened into a
    single product (…, M, K)·(K, N) = (…·M, K)·(K, N).
    """
    if a.ndim > 2 and b.ndim == 2 and (xp is not np or a.flags.c_contiguous):
        rows = 1
        for n in a.shape[:-1]:
            rows *= n
        return xp.reshape(matmul(xp, xp.reshape(a, (rows, a.shape[-1])), b), (*a.shape[:-1], b.shape[-1]))
    if out is not None and xp is np:
        return np.matmul(a, b, out=out)
    return xp.matmul(a, b)
