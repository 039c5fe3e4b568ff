"""The one place where matrices are multiplied."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .dtypes import is_real_floating

__all__ = ["matmul"]


def matmul(xp: Any, a: Any, b: Any, *, out: Any = None, accumulate: bool = False) -> Any:
    """a @ b for matrices or stacks of matrices; written to `out` if given, or added to it with `accumulate`.

    Transposes are views (`a.mT`): BLAS takes them as flags, nothing is copied. A stack times one matrix is flattened
    into a single product (…, M, K)·(K, N) = (…·M, K)·(K, N). Products of half precision are summed in float32, with
    `out` too if it is added to, and rounded once, to the dtype of `out`: that of the factors, or float32.
    """
    if hasattr(a, "get"):  # an array of a GPU, or of the emulator
        from ..kernels import gemm

        if gemm.suits(a, b, out):
            return gemm.gemm(a, b, out=out, accumulate=accumulate)
    if (
        a.ndim > 2
        and b.ndim == 2
        and (xp is not np or a.flags.c_contiguous)
        and (out is None or (xp is np and out.flags.c_contiguous))
    ):
        rows, columns = math.prod(a.shape[:-1]), b.shape[-1]
        flat = None if out is None else out.reshape(rows, columns)
        flat = matmul(xp, xp.reshape(a, (rows, a.shape[-1])), b, out=flat, accumulate=accumulate)
        return xp.reshape(flat, (*a.shape[:-1], columns)) if out is None else out
    if xp is np and _are_halves(a, b):
        return _store(np.matmul(a, b, dtype=np.float32), out, accumulate, a.dtype)
    if out is not None and (accumulate or xp is not np):
        return _store(xp.matmul(a, b), out, accumulate, out.dtype)
    return xp.matmul(a, b) if out is None else np.matmul(a, b, out=out)


def _are_halves(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype.itemsize == 2 and a.dtype == b.dtype and is_real_floating(a.dtype)


def _store(product: Any, out: Any, accumulate: bool, dtype: Any) -> Any:
    """The product, where it belongs and in the dtype that it should have."""
    if out is None:
        return product.astype(dtype)
    out[...] = product + out if accumulate else product
    return out
