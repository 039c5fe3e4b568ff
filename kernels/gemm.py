"""Products of matrices: one call of a library for a matrix or a stack, transposes as flags, β = 1 to add to what is there.

CuPy's `matmul` will not be recorded in a CUDA graph, copies what is transposed in a stack, and has no bfloat16 there. So
`cublas.py` is asked, and in the emulator `cublas_numpy.py`. Half precision is summed in float32. So is float32, whose
factors are rounded to TF32 first where `weft.set_float32_matmul_precision` allows it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .toolchain.cublas import COMPUTE_32F, COMPUTE_64F, COMPUTE_TF32, DTYPES, Matrices, N, T
from .toolchain.launch import contiguous, empty, engine_of, library_of
from .toolchain.settings import settings

__all__ = ["fused", "gemm", "suits"]


def suits(a: Any, b: Any, out: Any = None) -> bool:
    """Whether `gemm` takes these: arrays of one real dtype; `out` of that dtype, or float32 for halves.

    Vectors are taken, too, unless there is an `out`.
    """
    if a.dtype != b.dtype or a.dtype.name not in DTYPES or min(a.ndim, b.ndim) < (1 if out is None else 2):
        return False
    return out is None or out.dtype == a.dtype or (a.dtype.itemsize == 2 and out.dtype == np.float32)


def gemm(a: Any, b: Any, *, out: Any = None, accumulate: bool = False) -> Any:
    """a @ b of (…, M, K) and (…, K, N), stacks broadcast; to `out` if given, added to it with `accumulate`.

    Views that are transposed, or have gaps between rows or matrices, are taken as they lie; others are copied. A vector
    is one row (as a) or one column (as b), whose axis the result does not have.
    """
    if a.ndim == 1:
        return gemm(a[None], b)[..., 0, :] if b.ndim > 1 else gemm(a[None], b[:, None])[0, 0]
    if b.ndim == 1:
        return gemm(a, b[:, None])[..., 0]
    if a.shape[-1] != b.shape[-2]:  # cuBLAS would read whatever lies there
        raise ValueError(
            f"matmul: K must be the same in (…, M, K) and (…, K, N): core dimension {a.shape} and {b.shape}"
        )
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous and (out is None or out.flags.c_contiguous):
        rows = math.prod(a.shape[:-1])  # one product in the place of many
        flat = None if out is None else out.reshape(rows, b.shape[-1])
        result = gemm(a.reshape(rows, a.shape[-1]), b, out=flat, accumulate=accumulate)
        return result.reshape(*a.shape[:-1], b.shape[-1]) if out is None else out
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*stack, a.shape[-2], b.shape[-1])
    result = empty(shape, a.dtype, like=a) if out is None else out
    if result.size:
        target = result if _is_plain(result) else empty(shape, result.dtype, like=a)
        if target is not result and accumulate:
            target[...] = result
        _multiply(_stacked(a, stack), _stacked(b, stack), target.reshape(math.prod(stack), *shape[-2:]), accumulate)
        if target is not result:
            result[...] = target
    return result


def _is_plain(x: Any) -> bool:
    """Rows of neighbours, and matrices at one distance."""
    rows = x.strides[-2] // x.itemsize
    return x.strides[-1] == x.itemsize and rows >= x.shape[-1] and (x.ndim == 2 or x.flags.c_contiguous)


def _stacked(x: Any, stack: tuple[int, ...]) -> Any:
    """(B, rows, columns), B the size of the stack: a view where matrices lie at one distance (0 for the same again)."""
    xp = library_of(x)
    if x.ndim == 2:
        return x[None]
    return xp.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(math.prod(stack), *x.shape[-2:])


def fused(a: Any, b: Any, epilogue: int, vector: Any = None, aux: Any = None, *, out: Any) -> bool:
    """out = epilogue(a b), for matrices of float32 or half precision; False, and nothing done, where there is no such
    algorithm. `Cublas.fused` has the epilogues, for the transposes: `vector` belongs to the columns of `out` (with
    BGRADB, to its rows), must be contiguous and of the dtype of `out`, as must `aux`, which is of its shape, too.
    """
    (m, k), n = a.shape, b.shape[1]
    if not (m and n and k and _is_plain(out)):
        return False
    sizes, left, right, c = _request(a[None], b[None], out[None])
    return _library(out).fused(sizes, left, right, c, _compute(a, out), epilogue, vector, aux)


def _multiply(a: Any, b: Any, c: Any, accumulate: bool) -> None:
    """c (B, M, N) = a b, or += ."""
    if a.shape[-1]:
        sizes, left, right, to = _request(a, b, c)
        _library(c).gemm(sizes, left, right, to, len(c), _compute(a, c), float(accumulate))
    elif not accumulate:  # the sum of nothing
        c[...] = 0


def _request(a: Any, b: Any, c: Any) -> tuple[tuple, Matrices, Matrices, Matrices]:
    """c = a b in the words of libraries that count columns first: cᵀ = bᵀ aᵀ."""
    (count, m, n), k = c.shape, a.shape[-1]
    op_a, a = _operand(a, count)
    op_b, b = _operand(b, count)
    to = Matrices(c, DTYPES[c.dtype.name], max(c.strides[1] // c.itemsize, n), c.strides[0] // c.itemsize)
    return (op_b, op_a, n, m, k), b, a, to


def _compute(a: Any, c: Any) -> int:
    if a.dtype == np.float32 and settings.float32_matmul_precision != "highest":
        return COMPUTE_TF32
    return COMPUTE_64F if c.dtype == np.float64 else COMPUTE_32F


def _library(c: Any) -> Any:
    return engine_of(c).blas()


def _operand(x: Any, count: int) -> tuple[int, Matrices]:
    """A stack (B or 1, rows, columns) with its flag; copied if it lies in no way that there is a flag for."""
    size, kind = x.itemsize, DTYPES[x.dtype.name]
    step, row, column = (s // size for s in x.strides)
    rows, columns = x.shape[1:]
    step = 0 if x.shape[0] == 1 and count > 1 else step
    if step >= 0:
        if (column == 1 or columns == 1) and (row >= columns or rows == 1):
            return N, Matrices(x, kind, max(row if rows > 1 else columns, columns, 1), step)
        if (row == 1 or rows == 1) and column >= rows:
            return T, Matrices(x, kind, max(column, rows, 1), step)
    return _operand(contiguous(x), count)
