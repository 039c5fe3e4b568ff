"""NumPy in the place of cuBLAS, in the emulator: the same methods on the same pointers, flags and distances.

So what the libraries are asked for is tested without them, and a model's numbers under TF32 can be seen on any machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import math
import threading
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from ..toolchain.cublas import AUX, BGRADB, BIAS, COMPUTE_64F, COMPUTE_TF32, DTYPES, GELU, RELU, Matrices, N, address
from .graph import mapped, record

__all__ = ["Numpy", "Product", "multiply", "products", "rounded_to_tf32"]

_ROOT = math.sqrt(2 / math.pi)
_KINDS = {kind: np.dtype(getattr(ml_dtypes, name, name)) for name, kind in DTYPES.items()}


@dataclasses.dataclass(frozen=True)
class Product:
    """`count` products of (m, k) and (k, n) matrices, of numbers with so many bytes."""

    m: int
    n: int
    k: int
    count: int
    itemsize: int

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.m * self.n * self.k * self.count

    @property
    def bytes(self) -> int:
        """Of both factors and the result, each moved once."""
        return self.itemsize * self.count * (self.m * self.k + self.k * self.n + self.m * self.n)


class _Noted(threading.local):
    products: list[Product] | None = None
    computed = True


_noted = _Noted()


@contextlib.contextmanager
def products(computed: bool = True) -> Iterator[list[Product]]:
    """Note what this thread has multiplied within the block; not `computed`: or would have, results stay what they were.

    Yields
    ------
    list of Product
        In order.
    """
    before = _noted.products, _noted.computed
    _noted.products, _noted.computed = [], computed
    try:
        yield _noted.products
    finally:
        _noted.products, _noted.computed = before


class Numpy:
    """The library of the emulator."""

    def gemm(self, sizes: tuple, a: Matrices, b: Matrices, c: Matrices, count: int, compute: int, beta: float) -> None:
        record(_multiply, sizes, a, b, c, count, compute, beta)

    def fused(
        self, sizes: tuple, a: Matrices, b: Matrices, c: Matrices, compute: int, epilogue: int, vector: Any, aux: Any
    ) -> bool:
        record(_multiply, sizes, a, b, c, 1, compute, 0.0, epilogue, vector, aux)
        return True


def _multiply(*args: Any) -> None:
    """`multiply`, with addresses in the place of arrays."""
    (_, _, m, n, k), a, _, _, count, *_ = args
    if _noted.products is not None:
        _noted.products.append(Product(m, n, k, count, _KINDS[a.kind].itemsize))
    if _noted.computed:
        multiply(*mapped(address, args))


def multiply(
    sizes: tuple,
    a: Matrices,
    b: Matrices,
    c: Matrices,
    count: int,
    compute: int,
    beta: float,
    epilogue: int = 1,
    vector: int | None = None,
    aux: int | None = None,
) -> None:
    """What `Cublas.gemm` and `Cublas.fused` ask for, from addresses alone."""
    op_a, op_b, m, n, k = sizes
    wide = np.dtype(np.float64 if compute == COMPUTE_64F else np.float32)
    x: Any = _columns_first(a, op_a, m, k, count).astype(wide, copy=False)
    y: Any = _columns_first(b, op_b, k, n, count).astype(wide, copy=False)
    if compute == COMPUTE_TF32:
        x, y = rounded_to_tf32(x), rounded_to_tf32(y)
    z = _columns_first(c, N, m, n, count)
    with np.errstate(all="ignore"):
        product = np.matmul(x, y)
        if beta:
            product += beta * z.astype(wide, copy=False)
        if epilogue & BIAS:
            product += _vector(vector, c.kind, m)[:, None]
        if epilogue & AUX:
            assert m % 8 == 0, "cublasLt: the leading dimension of what GELU is applied to must be a multiple of 8"
            _columns_first(c._replace(array=aux, distance=m), N, m, n, 1)[...] = product
        if epilogue & RELU:
            product = np.maximum(product, 0)
        if epilogue & GELU:
            product *= 0.5 * (1 + np.tanh(_ROOT * product * (1 + 0.044715 * product * product)))
        if epilogue == BGRADB:
            _vector(vector, c.kind, n)[...] = y[0].sum(axis=0)
        z[...] = product


def rounded_to_tf32(x: np.ndarray) -> np.ndarray:
    """float32 rounded to the 10 explicit bits of TF32: to nearest, ties away from 0, as `cvt.rna.tf32.f32` does it.

    The instructions themselves do not round: Hopper's cuts off what it is given beyond these bits (NVIDIA, PTX ISA,
    `wgmma.mma_async`), which makes an error of up to one unit of the last place where this makes half of one.
    """
    bits = x.view(np.uint32)
    rounded = ((bits + np.uint32(1 << 12)) & ~np.uint32((1 << 13) - 1)).view(np.float32)
    return np.where(np.isfinite(x), rounded, x)


def _vector(place: int | None, kind: int, size: int) -> np.ndarray:
    return _columns_first(Matrices(place, kind, size), N, size, 1, 1)[0, :, 0]


def _columns_first(x: Matrices, op: int, rows: int, columns: int, count: int) -> np.ndarray:
    """The stack of matrices (count, rows, columns) that cuBLAS would find at an address."""
    dtype = _KINDS[x.kind]
    inner, outer = (rows, columns) if op == N else (columns, rows)
    assert x.distance >= max(1, inner), "the leading dimension is too small"
    if 0 in (rows, columns):
        return np.zeros((count, rows, columns), dtype)
    size = dtype.itemsize
    reach = ((count - 1) * x.step + (outer - 1) * x.distance + inner) * size
    memory: Any = (ctypes.c_char * reach).from_address(x.array)
    strides = (size, x.distance * size) if op == N else (x.distance * size, size)
    return np.ndarray((count, rows, columns), dtype, memory, strides=(x.step * size, *strides))
