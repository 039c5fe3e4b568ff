"""The array API's `linalg` extension: products, inverses and norms of (stacks of) matrices, beside the decompositions.

As there, pullbacks are written for real matrices and hold where the result is a smooth function of x. In formulas g is
the gradient of the output.

References: Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate" (1973); Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008).
"""

from __future__ import annotations

import math
from typing import Any

from ..tape.autograd import primitive
from ..tape.tensor import Tensor, innermost
from . import elementwise, reductions
from .creation import eye, zeros_like
from .decompositions import SlogDet, cholesky, eigh, eigvalsh, floating, qr, svd, svdvals
from .elementwise import unbroadcast
from .info import finfo
from .manipulation import expand_dims, matrix_transpose
from .products import matmul, tensordot, vecdot
from .reductions import axes_of, spread

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


# --- inverses and determinants ----------------------------------------------------------------------------------------
@floating()
def inv(xp: Any, x: Any, /) -> Any:
    """The inverse. grad_x = −x⁻ᵀ g x⁻ᵀ."""
    y = xp.linalg.inv(x)

    def grad_x(g: Any) -> Any:
        yt = xp.matrix_transpose(y)
        return -(yt @ g @ yt)

    return y, (grad_x,)


@floating()
def solve(xp: Any, x1: Any, x2: Any, /) -> Any:
    """The y with x₁ y = x₂: x₁ (…, M, M), x₂ (M,) or (…, M, K). grad_x₂ = x₁⁻ᵀ g, grad_x₁ = −grad_x₂ yᵀ.

    >>> weft.linalg.solve(weft.tensor([[2.0, 0.0], [0.0, 4.0]]), weft.tensor([1.0, 1.0]))
    tensor([0.5 , 0.25])
    """
    y = xp.linalg.solve(x1, x2)
    vector = x2.ndim == 1

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        columns, g = (y[..., None], g[..., None]) if vector else (y, g)
        back = xp.linalg.solve(xp.matrix_transpose(x1), g)
        grad_x1 = unbroadcast(xp, -(back @ xp.matrix_transpose(columns)), x1) if need[0] else None
        grad_x2 = unbroadcast(xp, back[..., 0] if vector else back, x2) if need[1] else None
        return grad_x1, grad_x2

    return y, vjp


@floating()
def pinv(xp: Any, x: Any, /, *, rtol: Any = None) -> Any:
    """The Moore–Penrose pseudo-inverse P (…, N, M) of x (…, M, N).

    Singular values up to `rtol` times the largest (max(M, N) times the dtype's eps if None) count as 0.
    grad_x = −Pᵀ g Pᵀ + (I − x P) gᵀ P Pᵀ + Pᵀ P gᵀ (I − P x), where the rank does not change (Golub & Pereyra).
    """
    y = xp.linalg.pinv(x, rtol=innermost(rtol))

    def grad_x(g: Any) -> Any:
        yt, gt = xp.matrix_transpose(y), xp.matrix_transpose(g)
        left, right = gt @ y @ yt, yt @ y @ gt
        return left - x @ (y @ left) + right - (right @ y) @ x - yt @ g @ yt

    return y, (grad_x,)


@floating()
def det(xp: Any, x: Any, /) -> Any:
    """The determinant. grad_x = g det(x) x⁻ᵀ, for x that can be inverted."""
    y = xp.linalg.det(x)
    return y, (lambda g: (g * y)[..., None, None] * xp.matrix_transpose(xp.linalg.inv(x)),)


@floating(returns=SlogDet)
def slogdet(xp: Any, x: Any, /) -> Any:
    """The sign of the determinant and the logarithm of its magnitude. grad_x = g x⁻ᵀ, g being the logarithm's."""

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        return (g[1][..., None, None] * xp.matrix_transpose(xp.linalg.inv(x)),)

    return SlogDet(*xp.linalg.slogdet(x)), vjp


# --- products and powers ----------------------------------------------------------------------------------------------
@primitive
def cross(xp: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product of vectors of length 3 along `axis`. grad_x₁ = x₂ × g, grad_x₂ = g × x₁."""
    return xp.linalg.cross(x1, x2, axis=axis), (
        lambda g: unbroadcast(xp, xp.linalg.cross(x2, g, axis=axis), x1),
        lambda g: unbroadcast(xp, xp.linalg.cross(g, x1, axis=axis), x2),
    )


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """All products x₁[i] x₂[j] of two vectors."""
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"`outer` needs two vectors, got shapes {x1.shape} and {x2.shape}")
    return elementwise.multiply(expand_dims(x1, axis=1), expand_dims(x2, axis=0))


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """x multiplied with itself n times, by repeated squaring; the identity for 0, the inverse's power for n < 0."""
    if x.ndim < 2 or x.shape[-2] != x.shape[-1]:
        raise ValueError(f"`matrix_power` needs square matrices, got shape {x.shape}")
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        return zeros_like(x) + eye(x.shape[-1], dtype=x.dtype, device=x.device)
    if n == 1:
        return x
    half = matrix_power(x, n // 2)
    even = matmul(half, half)
    return matmul(even, x) if n % 2 else even


# --- diagonals, rank and norms ----------------------------------------------------------------------------------------
@primitive
def diagonal(xp: Any, x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of each matrix, `offset` above (or below, if negative) the main one."""
    y = xp.linalg.diagonal(x, offset=offset)

    def grad_x(g: Any) -> Any:
        rows, columns = x.shape[-2:]
        above = min(max(0, -offset), rows)  # rows before the diagonal begins
        blank = xp.zeros_like(x[..., :, 0])
        g = xp.concat([blank[..., :above], g, blank[..., above + g.shape[-1] :]], axis=-1)
        on = xp.eye(rows, columns, k=offset, dtype=xp.bool, device=x.device)
        return xp.where(on, g[..., None], xp.zeros_like(x))

    return y, (grad_x,)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of each matrix's diagonal."""
    return reductions.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values exceed `rtol` times the largest (max(M, N) times the dtype's eps if None)."""
    s = svdvals(x.detach())
    if not s.shape[-1]:
        return reductions.count_nonzero(s, axis=-1)
    if rtol is None:
        rtol = max(x.shape[-2:]) * finfo(s.dtype).eps
    elif isinstance(rtol, Tensor):
        rtol = expand_dims(rtol, axis=-1)
    return reductions.count_nonzero(s > rtol * reductions.max(s, axis=-1, keepdims=True), axis=-1)


@floating(precision="full")
def vector_norm(xp: Any, x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    """(Σ |x|ᵖ)^(1/p) over `axis`, p being `ord`; for ±inf the largest or smallest |x|, for 0 the number of non-zeros.

    grad_x = g sign(x) (|x| / norm)^(p − 1), and 0 where the norm is 0; equal extremes share the gradient of ±inf.
    """
    y = xp.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)

    def grad_x(g: Any) -> Any:
        norm, g = spread(xp, y, x, axis, keepdims), spread(xp, g, x, axis, keepdims)
        size, sign = xp.abs(x), xp.sign(x)
        if ord == 0:
            return xp.zeros_like(x)
        if math.isinf(ord):
            chosen = xp.astype(size == norm, x.dtype)
            return g * sign * chosen / xp.sum(chosen, axis=axes_of(axis, x.ndim), keepdims=True)
        return g * sign * (size / xp.where(norm == 0, xp.ones_like(norm), norm)) ** (ord - 1)

    return y, (grad_x,)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """A norm of each matrix.

    "fro" is √Σ x²; "nuc" is the sum of the singular values, ±2 the largest or smallest of them; ±1 is the largest or
    smallest sum of magnitudes over a column, ±inf over a row.
    """
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ValueError(f"`ord` must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    if ord in ("nuc", 2, -2):
        found = svdvals(x)
    else:
        found = reductions.sum(elementwise.abs(x), axis=-2 if abs(ord) == 1 else -1)
    pick = reductions.sum if ord == "nuc" else reductions.max if ord > 0 else reductions.min
    y = pick(found, axis=-1, keepdims=keepdims)
    return expand_dims(y, axis=-1) if keepdims else y
