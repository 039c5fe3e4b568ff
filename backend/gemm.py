"""The one place where matrices are multiplied."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["matmul"]


def matmul(xp: Any, a: Any, b: Any, *, out: Any = None) -> Any:
    """a @ b for matrices or stacks of matrices, written to `out` where the library can.

    Transposes are views (`a.mT`): BLAS takes them as flags, nothing is copied. A stack times one matrix is flattened
    into a single product (…, M, K)·(K, N) = (…·M, K)·(K, N).
    """
    out = out if xp is np else None
    if (
        a.ndim > 2
        and b.ndim == 2
        and (xp is not np or a.flags.c_contiguous)
        and (out is None or out.flags.c_contiguous)
    ):
        rows, columns = math.prod(a.shape[:-1]), b.shape[-1]
        flat = matmul(
            xp, xp.reshape(a, (rows, a.shape[-1])), b, out=None if out is None else out.reshape(rows, columns)
        )
        return xp.reshape(flat, (*a.shape[:-1], columns))
    return xp.matmul(a, b) if out is None else np.matmul(a, b, out=out)
