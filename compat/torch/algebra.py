"""Linear algebra of PyTorch's: products of its own, norms, equations."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backend.array import indexing, linalg, manipulation, products, reductions
from ...backend.tape.tensor import Tensor
from .eigen import eig
from .shaping import _like, _numpy
from .special import floating

__all__ = ["FUNCTIONS", "LINALG", "METHODS"]


def _renorm(x: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    axes = tuple(i for i in range(x.ndim) if i != dim % x.ndim)
    norms = (x.abs() ** p).sum(axis=axes, keepdims=True) ** (1 / p)
    return x * indexing.where(norms > maxnorm, maxnorm / (norms + 1e-7), norms * 0 + 1)


def _mixed(product: Callable) -> Callable:
    """beta · self + alpha · product(a, b), as `addmv`."""

    def call(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        found = product(a, b) if alpha == 1 else alpha * product(a, b)
        return found if beta == 0 else (x if beta == 1 else beta * x) + found

    return call


def _kron(a: Tensor, b: Tensor) -> Tensor:
    n = max(a.ndim, b.ndim)
    a, b = (t.reshape((1,) * (n - t.ndim) + t.shape) for t in (a, b))
    shape = tuple(p * q for p, q in zip(a.shape, b.shape))
    a, b = a.reshape([k for p in a.shape for k in (p, 1)]), b.reshape([k for q in b.shape for k in (1, q)])
    return (a * b).reshape(shape)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return a * b if not (a.ndim and b.ndim) else products.tensordot(a, b, axes=((-1,), (-1,)))


def _matrix_exp(x: Tensor) -> Tensor:
    """Taylor's series of x / 2ˢ, squared s times."""
    size = float(np.abs(_numpy(x)).sum(-2).max(initial=0))
    s = max(0, math.ceil(math.log2(size)) + 1) if size > 0 else 0
    a = x / 2**s
    eye = x.new_zeros(*x.shape) + _like(x, np.eye(x.shape[-1], dtype=x.dtype))
    found = term = eye
    for k in range(1, 19):
        term = term @ a / k
        found = found + term
    for _ in range(s):
        found = found @ found
    return found


def _vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    powers = range(len(x) if N is None else N)
    columns = [x**p if p else x.new_ones(*x.shape) for p in powers]
    return manipulation.stack(columns if increasing else columns[::-1], axis=-1)


def _increasing_vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """`torch.linalg.vander`, of rows: powers upwards, whole numbers in int64."""
    x = x.to("int64") if x.dtype.kind in "biu" else x
    return _vander(x, x.shape[-1] if N is None else N, increasing=True)


class LeastSquares(NamedTuple):
    """What `lstsq` finds.

    Parameters
    ----------
    solution : Tensor
        X of least ‖A X − B‖.
    residuals, rank, singular_values : Tensor
        PyTorch's; empty here, but for the rank.
    """

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


def _lstsq(a: Tensor, b: Tensor, rcond: Any = None, *, driver: Any = None) -> LeastSquares:
    nothing = a.new_zeros(0)
    return LeastSquares(linalg.pinv(a) @ b, nothing, linalg.matrix_rank(a), nothing)


def _norm(x: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Of a matrix where there are two axes and an order, else of a vector."""
    x = floating(x if dtype is None else x.to(dtype))
    axes = dim if dim is None or isinstance(dim, int) else tuple(dim)
    if ord is not None and ((axes is None and x.ndim == 2) or (isinstance(axes, tuple) and len(axes) == 2)):
        return _matrix_norm(x, ord, axes or (-2, -1), keepdim)
    return linalg.vector_norm(x, axis=axes, keepdims=keepdim, ord=2 if ord is None else ord)


def _matrix_norm(
    x: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    x = floating(x if dtype is None else x.to(dtype))
    axes = tuple(d % x.ndim for d in dim)
    found = linalg.matrix_norm(manipulation.moveaxis(x, axes, (-2, -1)), ord=ord)
    for axis in sorted(axes) if keepdim else ():
        found = found.unsqueeze(axis)
    return found


def _vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    x = floating(x if dtype is None else x.to(dtype))
    return linalg.vector_norm(x, axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim, ord=ord)


def _solve_triangular(a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    a = a.triu() if upper else a.tril()
    if unitriangular:
        a = a - a.diagonal(0, -2, -1).diag_embed() + _like(a, np.eye(a.shape[-1], dtype=a.dtype))
    if left:
        return linalg.solve(a, b)
    return linalg.solve(a.transpose(-2, -1), b.transpose(-2, -1)).transpose(-2, -1)


def _cond(x: Tensor, p: Any = None) -> Tensor:
    if p is None or p == 2:
        s = linalg.svdvals(x)
        return s[..., 0] / s[..., -1]
    return _matrix_norm(x, p) * _matrix_norm(linalg.inv(x), p)


def multi_dot(matrices: Sequence[Tensor]) -> Tensor:
    """The product of several matrices, from the left.

    Parameters
    ----------
    matrices : sequence of Tensor
        Which.

    Returns
    -------
    Tensor
        Their product.
    """
    return functools.reduce(products.matmul, matrices)


METHODS: dict[str, Callable] = {
    "renorm": _renorm,
    "addmv": _mixed(products.matmul),
    "addbmm": _mixed(lambda a, b: reductions.sum(products.matmul(a, b), axis=0)),
    "addr": _mixed(lambda a, b: a[:, None] * b[None]),
    "ger": lambda a, b: a[:, None] * b[None],
    "kron": _kron,
    "inner": _inner,
    "vdot": lambda a, b: reductions.sum(a.conj() * b if a.dtype.kind == "c" else a * b),
    "matrix_power": linalg.matrix_power,
    "matrix_exp": _matrix_exp,
    "logdet": lambda x: linalg.det(x).log(),
    "slogdet": linalg.slogdet,
    "cholesky": lambda x, upper=False: linalg.cholesky(x, upper=upper),
}
FUNCTIONS: dict[str, Callable] = {"vander": _vander, "chain_matmul": lambda *m: functools.reduce(products.matmul, m)}
LINALG: dict[str, Any] = {
    "norm": _norm,
    "matrix_norm": _matrix_norm,
    "vector_norm": _vector_norm,
    "multi_dot": multi_dot,
    "lstsq": _lstsq,
    "solve_triangular": _solve_triangular,
    "cond": _cond,
    "matrix_exp": _matrix_exp,
    "vander": _increasing_vander,
    "eig": eig,
    "eigvals": lambda x: eig(x).eigenvalues,
    "inv_ex": lambda x, **_options: (linalg.inv(x), x.new_zeros(*x.shape[:-2]).to("int32")),
    "cholesky_ex": lambda x, **_options: (linalg.cholesky(x), x.new_zeros(*x.shape[:-2]).to("int32")),
    "LinAlgError": np.linalg.LinAlgError,
}
