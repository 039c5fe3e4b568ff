"""Products of matrices, on any device: the one place where they are formed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kernels.toolchain.settings import settings
from . import products
from .dtypes import is_real_floating

__all__ = ["gemm", "get_float32_matmul_precision", "set_float32_matmul_precision"]


def gemm(xp: Any, a: Any, b: Any, *, out: Any = None, accumulate: bool = False) -> Any:
    """a @ b for matrices or stacks of matrices; written to `out` if given, or added to it with `accumulate`.

    Transposes are views (`a.mT`): BLAS takes them as flags, nothing is copied. A stack times one matrix is flattened
    into a single product (…, M, K)·(K, N) = (…·M, K)·(K, N). Products of half precision are summed in float32, with
    `out` too if it is added to, and rounded once, to the dtype of `out`: that of the factors, or float32.
    """
    if hasattr(a, "get"):  # an array of a GPU, or of the emulator
        from ...kernels import gemm as kernels

        if kernels.suits(a, b, out):
            return kernels.gemm(a, b, out=out, accumulate=accumulate)
    if (
        a.ndim > 2
        and b.ndim == 2
        and (xp is not np or a.flags.c_contiguous)
        and (out is None or (xp is np and out.flags.c_contiguous))
    ):
        rows, columns = math.prod(a.shape[:-1]), b.shape[-1]
        flat = None if out is None else out.reshape(rows, columns)
        flat = gemm(xp, xp.reshape(a, (rows, a.shape[-1])), b, out=flat, accumulate=accumulate)
        return xp.reshape(flat, (*a.shape[:-1], columns)) if out is None else out
    if xp is np and _are_halves(a, b):
        return _store(np.matmul(a, b, dtype=np.float32), out, accumulate, a.dtype)
    if out is not None and (accumulate or xp is not np):
        return _store(products.matmul(a, b) if xp is np else xp.matmul(a, b), out, accumulate, out.dtype)
    return products.matmul(a, b, out) if xp is np else xp.matmul(a, b)


def _are_halves(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype.itemsize == 2 and a.dtype == b.dtype and is_real_floating(a.dtype)


def _store(product: Any, out: Any, accumulate: bool, dtype: Any) -> Any:
    """The product, where it belongs and in the dtype that it should have."""
    if out is None:
        return product.astype(dtype)
    out[...] = product + out if accumulate else product
    return out


# --- how exact products of float32 are --------------------------------------------------------------------------------
def set_float32_matmul_precision(precision: str) -> None:
    """Choose between exact and fast products of float32 matrices on a GPU, as `torch.set_float32_matmul_precision`.

    It concerns all that is computed as a product of matrices: dense and recurrent layers, `matmul`, and convolutions
    (for which PyTorch has a switch of its own, that is on by default). Other dtypes are not concerned, nor is a CPU. The
    emulator rounds as a GPU does. A captured step is recorded anew when the choice has changed.

    Parameters
    ----------
    precision : {"highest", "high", "medium"}
        - "highest" (the default): float32 throughout.
        - "high": factors are rounded to TensorFloat-32 (float32's range, 10 bits after the point where float32 has 23) and
          multiplied by tensor cores; sums and results are float32. Relative errors grow from about 1e-7 to 1e-3.
        - "medium": the same as "high". PyTorch, too, leaves it at that on a GPU, where its text would allow bfloat16.

    Raises
    ------
    ValueError
        If `precision` is none of these.

    Examples
    --------
    >>> weft.set_float32_matmul_precision("high")
    >>> weft.get_float32_matmul_precision()
    'high'
    >>> weft.set_float32_matmul_precision("highest")
    """
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"`precision` must be 'highest', 'high' or 'medium', got {precision!r}")
    settings.float32_matmul_precision = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` has chosen.

    Returns
    -------
    str
        "highest" unless it was called, "high" or "medium".

    Examples
    --------
    >>> weft.get_float32_matmul_precision()
    'highest'
    """
    return settings.float32_matmul_precision
