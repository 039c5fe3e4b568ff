"""Products of matrices by cuBLAS, through a handle of our own.

CuPy's `matmul` will not be recorded in a CUDA graph, copies what is transposed in a stack, and has no bfloat16 there; its
handle takes no part in a capture. So cublasGemmStridedBatchedEx is called directly: one call for a matrix or a stack,
transposes as flags, β = 1 to add to what is there, sums in float32 for half precision. In the emulator, NumPy stands in
for the library behind the same signature, on the same pointers, so that what is passed to it is tested.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import ml_dtypes
import numpy as np

from .launch import empty, namespace

__all__ = ["gemm", "suits"]

_WORKSPACE = 32 << 20  # bytes; what NVIDIA recommends for Hopper
_DTYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}  # cudaDataType_t: CUDA_R_32F, 64F, 16F, 16BF
_COMPUTE_32F, _COMPUTE_64F = 68, 70  # cublasComputeType_t: sums in this precision
_N, _T = 0, 1  # cublasOperation_t


def suits(a: Any, b: Any, out: Any = None) -> bool:
    """Whether `gemm` takes these: arrays of one real dtype; `out` of that dtype, or float32 for halves.

    Vectors are taken, too, unless there is an `out`.
    """
    if a.dtype != b.dtype or a.dtype.name not in _DTYPES or min(a.ndim, b.ndim) < (1 if out is None else 2):
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
    xp = namespace(x)
    if x.ndim == 2:
        return x[None]
    return xp.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(math.prod(stack), *x.shape[-2:])


def _multiply(a: Any, b: Any, c: Any, accumulate: bool) -> None:
    """c (B, M, N) = a b, or += : cuBLAS counts columns first, so it is told cᵀ = bᵀ aᵀ."""
    (count, m, n), k = c.shape, a.shape[-1]
    if not k:  # the sum of nothing
        if not accumulate:
            c[...] = 0
        return
    a, op_a, row_a, step_a = _operand(a, count)
    b, op_b, row_b, step_b = _operand(b, count)
    row_c, step_c = max(c.strides[1] // c.itemsize, n), c.strides[0] // c.itemsize
    types = _DTYPES[a.dtype.name], _DTYPES[c.dtype.name]
    library = _emulated if isinstance(c, np.ndarray) else _cublas()
    library.gemm(
        (op_b, op_a, n, m, k), 1.0, (b, types[0], row_b, step_b), (a, types[0], row_a, step_a), float(accumulate),
        (c, types[1], row_c, step_c), count, _COMPUTE_64F if c.dtype == np.float64 else _COMPUTE_32F,
    )  # fmt: skip


def _operand(x: Any, count: int) -> tuple[Any, int, int, int]:
    """(array, flag, distance of rows or columns, distance of matrices), in elements, of (B or 1, rows, columns)."""
    size = x.itemsize
    step, row, column = (s // size for s in x.strides)
    rows, columns = x.shape[1:]
    step = 0 if x.shape[0] == 1 and count > 1 else step
    if step >= 0:
        if (column == 1 or columns == 1) and (row >= columns or rows == 1):
            return x, _N, max(row if rows > 1 else columns, columns, 1), step
        if (row == 1 or rows == 1) and column >= rows:
            return x, _T, max(column, rows, 1), step
    return _operand(namespace(x).ascontiguousarray(x), count)


# --- the library ------------------------------------------------------------------------------------------------------
class _Cublas:
    """cuBLAS for one device: a handle, on the current stream at each call, with a workspace of its own."""

    def __init__(self) -> None:
        import cupy
        from cuda import pathfinder

        path = pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
        self.library = ctypes.CDLL(path)
        self.handle = ctypes.c_void_p()
        self._check(self.library.cublasCreate_v2(ctypes.byref(self.handle)), "cublasCreate")
        self.workspace = cupy.empty(_WORKSPACE, np.uint8)
        self.stream: int | None = None

    def gemm(
        self, sizes: tuple, alpha: float, a: tuple, b: tuple, beta: float, c: tuple, count: int, compute: int
    ) -> None:
        import cupy

        stream = cupy.cuda.get_current_stream().ptr
        if stream != self.stream:
            self._check(self.library.cublasSetStream_v2(self.handle, ctypes.c_void_p(stream)), "cublasSetStream")
            self.stream = stream  # and the workspace after it: a new stream takes it away
            memory = ctypes.c_void_p(self.workspace.data.ptr)
            self._check(
                self.library.cublasSetWorkspace_v2(self.handle, memory, ctypes.c_size_t(_WORKSPACE)),
                "cublasSetWorkspace",
            )
        number = ctypes.c_double if compute == _COMPUTE_64F else ctypes.c_float
        operands = [
            v
            for x, kind, row, step in (a, b)
            for v in (ctypes.c_void_p(x.data.ptr), kind, row, ctypes.c_longlong(step))
        ]
        x, kind, row, step = c
        status = self.library.cublasGemmStridedBatchedEx(
            self.handle, *sizes, ctypes.byref(number(alpha)), *operands, ctypes.byref(number(beta)),
            ctypes.c_void_p(x.data.ptr), kind, row, ctypes.c_longlong(step), count, compute, -1,
        )  # fmt: skip
        self._check(status, "cublasGemmStridedBatchedEx")

    @staticmethod
    def _check(status: int, name: str) -> None:
        if status:
            raise RuntimeError(f"`{name}` failed with status {status} (cublasStatus_t in NVIDIA's documentation)")


class _Emulated:
    """What cuBLAS does, by NumPy: op(A) (m × k) times op(B) (k × n), all columns first, at the distances given."""

    def gemm(
        self, sizes: tuple, alpha: float, a: tuple, b: tuple, beta: float, c: tuple, count: int, compute: int
    ) -> None:
        from . import emulator

        emulator.record(functools.partial(self._do, sizes, alpha, a, b, beta, c, count, compute))

    @staticmethod
    def _do(sizes: tuple, alpha: float, a: tuple, b: tuple, beta: float, c: tuple, count: int, compute: int) -> None:
        op_a, op_b, m, n, k = sizes
        wide = np.float64 if compute == _COMPUTE_64F else np.float32
        x: Any = _columns_first(a, op_a, m, k, count).astype(wide, copy=False)
        y: Any = _columns_first(b, op_b, k, n, count).astype(wide, copy=False)
        z: Any = _columns_first(c, _N, m, n, count)
        with np.errstate(all="ignore"):
            product = alpha * np.matmul(x, y)
            z[...] = product if beta == 0 else product + beta * z.astype(wide, copy=False)


def _columns_first(operand: tuple, op: int, rows: int, columns: int, count: int) -> np.ndarray:
    """The stack of matrices that cuBLAS would find at an address."""
    array, kind, distance, step = operand
    dtype = np.dtype({v: k for k, v in _DTYPES.items() if k != "bfloat16"}.get(kind, ml_dtypes.bfloat16))
    inner, outer = (rows, columns) if op == _N else (columns, rows)
    assert distance >= max(1, inner), "the leading dimension is too small"
    if 0 in (rows, columns):
        return np.zeros((count, rows, columns), dtype)
    size = dtype.itemsize
    reach = ((count - 1) * step + (outer - 1) * distance + inner) * size
    memory = (ctypes.c_char * reach).from_address(array.ctypes.data)
    strides = (step * size, size, distance * size) if op == _N else (step * size, distance * size, size)
    return np.ndarray((count, rows, columns), dtype, memory, strides=strides)


_emulated = _Emulated()
_handles: dict[int, _Cublas] = {}


def _cublas() -> _Cublas:
    import cupy

    device = cupy.cuda.runtime.getDevice()
    if device not in _handles:
        _handles[device] = _Cublas()
    return _handles[device]
