"""The array API's `linalg` extension: products, inverses and norms of (stacks of) matrices, beside the decompositions.

As there, pullbacks are written for real matrices and hold where the result is a smooth function of x. In formulas g is
the gradient of the output.

References: Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose
variables separate" (1973); Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation" (2008).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from ..device import dtypes
from ..device.options import integer
from ..tape.autograd import primitive
from ..tape.tensor import Axes, DType, Tensor, innermost
from . import elementwise, reductions
from .creation import eye, zeros_like
from .decompositions import SlogDet, cholesky, eigh, eigvalsh, floating, qr, svd, svdvals
from .elementwise import conjugate, floats_win, is_complex, promotable, unbroadcast
from .info import finfo
from .manipulation import expand_dims, matrix_transpose, moveaxis
from .products import matmul, tensordot, vecdot
from .reductions import spread
from .spellings import DIM, KEEPDIM, spelled
from .sums import total

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
@floating(complex_too=True)
def inv(xp: Any, x: Any, /) -> Any:
    """The inverse of each matrix.

    Parameters
    ----------
    x : Tensor
        (…, M, M), of any dtype; integers become the default one.

    Returns
    -------
    Tensor
        x⁻¹, (…, M, M). `solve` is faster and more exact for x⁻¹ y.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square, or singular (on a CPU).

    Notes
    -----
    grad_x = −x⁻ᵀ g x⁻ᵀ.

    Examples
    --------
    >>> weft.linalg.inv(weft.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    y = xp.linalg.inv(x)

    def grad_x(g: Any) -> Any:
        yt = xp.matrix_transpose(y)
        return -(yt @ g @ yt)

    return y, (grad_x,)


@floating(complex_too=True)
def solve(xp: Any, x1: Any, x2: Any, /) -> Any:
    """Systems of linear equations: the y with x₁ y = x₂.

    Parameters
    ----------
    x1 : Tensor
        (…, M, M), of any dtype; integers become the default one.
    x2 : Tensor
        (M,), or (…, M, K) for K systems.

    Returns
    -------
    Tensor
        (…, M) or (…, M, K).

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square, or singular (on a CPU).

    Notes
    -----
    grad_x₂ = x₁⁻ᵀ g and grad_x₁ = −grad_x₂ yᵀ.

    Examples
    --------
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
def pinv(xp: Any, x: Any, /, *, rtol: float | Tensor | None = None) -> Any:
    """The Moore–Penrose pseudo-inverse P of each matrix.

    Parameters
    ----------
    x : Tensor
        (…, M, N), of any dtype; integers become the default one.
    rtol : float or Tensor, optional
        Singular values up to this times the largest count as 0; max(M, N) times the dtype's eps if None.

    Returns
    -------
    Tensor
        P, (…, N, M): x⁻¹ where there is one, and y = P b minimises |x y − b|.

    Notes
    -----
    grad_x = −Pᵀ g Pᵀ + (I − x P) gᵀ P Pᵀ + Pᵀ P gᵀ (I − P x), where the rank does not change [1]_.

    References
    ----------
    .. [1] Golub & Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
       separate" (1973).

    Examples
    --------
    >>> weft.linalg.pinv(weft.tensor([[2.0, 0.0], [0.0, 0.0]]))
    tensor([[0.5, 0. ],
            [0. , 0. ]])
    """
    y = xp.linalg.pinv(x, rtol=innermost(rtol))

    def grad_x(g: Any) -> Any:
        yt, gt = xp.matrix_transpose(y), xp.matrix_transpose(g)
        left, right = gt @ y @ yt, yt @ y @ gt
        return left - x @ (y @ left) + right - (right @ y) @ x - yt @ g @ yt

    return y, (grad_x,)


@floating(complex_too=True)
def det(xp: Any, x: Any, /) -> Any:
    """The determinant of each matrix.

    Parameters
    ----------
    x : Tensor
        (…, M, M), of any dtype; integers become the default one.

    Returns
    -------
    Tensor
        Of shape (…); it overflows early, which `slogdet` does not.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square, and in the backward pass if one is singular (on a CPU).

    Notes
    -----
    grad_x = g det(x) x⁻ᵀ, for x that can be inverted.

    Examples
    --------
    >>> weft.linalg.det(weft.tensor([[2.0, 1.0], [0.0, 3.0]]))
    tensor(6.)
    """
    y = xp.linalg.det(x)
    return y, (lambda g: (g * y)[..., None, None] * xp.matrix_transpose(xp.linalg.inv(x)),)


@floating(returns=SlogDet, complex_too=True)
def slogdet(xp: Any, x: Any, /) -> Any:
    """The sign of the determinant of each matrix, and the logarithm of its magnitude.

    Parameters
    ----------
    x : Tensor
        (…, M, M), of any dtype; integers become the default one.

    Returns
    -------
    SlogDet
        `sign` and `logabsdet`, of shape (…): det x = sign · exp(logabsdet). 0 and −∞ where x is singular.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square, and in the backward pass if one is singular (on a CPU).

    Notes
    -----
    grad_x = g x⁻ᵀ, g being the logarithm's; the sign of real numbers has no gradient.

    Examples
    --------
    >>> weft.linalg.slogdet(weft.tensor([[1.0, 0.0], [0.0, -1.0]]))
    SlogDet(sign=tensor(-1.), logabsdet=tensor(0.))
    """

    result = SlogDet(*xp.linalg.slogdet(x))

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        slope = g[1]
        if is_complex(x):  # whose sign is e^(iφ), and turns with x
            slope = slope + 1j * xp.imag(g[0] * result.sign)
        return (slope[..., None, None] * xp.matrix_transpose(xp.linalg.inv(x)),)

    return result, vjp


# --- products and powers ----------------------------------------------------------------------------------------------
@spelled(DIM)
@primitive
def cross(xp: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The cross product x₁ × x₂ of vectors of length 3.

    Parameters
    ----------
    x1, x2 : Tensor
        3 long along `axis`, broadcast against each other.
    axis : int, default -1
        Where the vectors lie.

    Returns
    -------
    Tensor
        Of the shape that they broadcast to and the dtype that they promote to.

    Raises
    ------
    ValueError
        If a vector is not of length 3.

    Notes
    -----
    grad_x₁ = x₂ × g and grad_x₂ = g × x₁.

    Examples
    --------
    >>> weft.linalg.cross(weft.tensor([1.0, 0.0, 0.0]), weft.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x1, x2 = floats_win(xp, x1, x2)
    a, b = promotable(xp, x1, x2)
    return xp.linalg.cross(a, b, axis=axis), (
        lambda g: unbroadcast(xp, xp.linalg.cross(b, g, axis=axis), x1),
        lambda g: unbroadcast(xp, xp.linalg.cross(g, a, axis=axis), x2),
    )


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """All products of two vectors: y[i, j] = x₁[i] x₂[j].

    Parameters
    ----------
    x1 : Tensor
        (M,).
    x2 : Tensor
        (N,).

    Returns
    -------
    Tensor
        (M, N), of the dtype that they promote to.

    Raises
    ------
    ValueError
        If either is no vector.

    Examples
    --------
    >>> weft.linalg.outer(weft.tensor([1.0, 2.0]), weft.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"`outer` needs two vectors, got shapes {x1.shape} and {x2.shape}")
    return elementwise.multiply(expand_dims(x1, axis=1), expand_dims(x2, axis=0))


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """Each matrix multiplied with itself n times, by repeated squaring.

    Parameters
    ----------
    x : Tensor
        (…, M, M).
    n : int
        0 gives the identity, n < 0 the power of the inverse.

    Returns
    -------
    Tensor
        xⁿ, (…, M, M).

    Raises
    ------
    ValueError
        If the matrices are not square.
    numpy.linalg.LinAlgError
        If n < 0 and a matrix is singular (on a CPU).

    Examples
    --------
    >>> weft.linalg.matrix_power(weft.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    if x.ndim < 2 or x.shape[-2] != x.shape[-1]:
        raise ValueError(f"`matrix_power` needs square matrices, got shape {x.shape}")
    integer("n", n)
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
@primitive(moves=True)
def diagonal(xp: Any, x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of each matrix.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    offset : int, default 0
        How far above the main diagonal; below it if negative.

    Returns
    -------
    Tensor
        (…, K), K being how much of the diagonal lies in the matrix.

    Raises
    ------
    ValueError
        If x has fewer than two axes.

    Examples
    --------
    >>> weft.linalg.diagonal(weft.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    y = xp.linalg.diagonal(x, offset=offset)
    if isinstance(y, np.ndarray) and x.flags.writeable:  # as other views are; NumPy means to change this some day
        y.flags.writeable = True

    def grad_x(g: Any) -> Any:
        rows, columns = x.shape[-2:]
        above = min(max(0, -offset), rows)  # rows before the diagonal begins
        blank = xp.zeros_like(x[..., :, 0])
        g = xp.concat([blank[..., :above], g, blank[..., above + g.shape[-1] :]], axis=-1)
        on = xp.eye(rows, columns, k=offset, dtype=xp.bool, device=x.device)
        return xp.where(on, g[..., None], xp.zeros_like(x))

    return y, (grad_x,)


def trace(x: Tensor, /, *, offset: int = 0, dtype: DType = None) -> Tensor:
    """The sum of each matrix's diagonal.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    offset : int, default 0
        How far above the main diagonal; below it if negative.
    dtype : dtype, optional
        That of the sum; as in `sum` if None.

    Returns
    -------
    Tensor
        Of shape (…).

    Examples
    --------
    >>> weft.linalg.trace(weft.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return reductions.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """The rank of each matrix: how many singular values are not negligible.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    rtol : float or Tensor, optional
        Those count that exceed this times the largest; max(M, N) times the dtype's eps if None.

    Returns
    -------
    Tensor
        Integers of shape (…). No gradient.

    Examples
    --------
    >>> weft.linalg.matrix_rank(weft.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    s = svdvals(x.detach())
    if not s.shape[-1]:
        return reductions.count_nonzero(s, axis=-1)
    if rtol is None:
        rtol = max(x.shape[-2:]) * finfo(s.dtype).eps
    elif isinstance(rtol, Tensor):
        rtol = expand_dims(rtol, axis=-1)
    return reductions.count_nonzero(s > rtol * reductions.max(s, axis=-1, keepdims=True), axis=-1)


@spelled(KEEPDIM)
@floating(precision="full", complex_too=True)
def vector_norm(xp: Any, x: Any, /, *, axis: Axes = None, keepdims: bool = False, ord: float = 2) -> Any:
    """The p-norm over `axis`: (Σ |x|ᵖ)^(1/p).

    Parameters
    ----------
    x : Tensor
        Of any dtype; integers become the default one.
    axis : int, tuple of int or None, default None
        What makes up one vector; everything if None.
    keepdims : bool, default False
        Whether the reduced axes stay, with length 1.
    ord : float, default 2
        p; ±inf is the largest or smallest |x|, 0 the number of non-zeros.

    Returns
    -------
    Tensor
        Of the shape of x without the reduced axes.

    Notes
    -----
    grad_x = g sign(x) (|x| / norm)^(p − 1), and 0 where the norm is 0; equal extremes share the gradient of ±inf.

    Examples
    --------
    >>> weft.linalg.vector_norm(weft.tensor([[3.0, 4.0], [0.0, 1.0]]), axis=1)
    tensor([5., 1.])
    """
    if isinstance(x, Tensor) or ord == 0 or math.isinf(ord):
        y = xp.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    else:
        size = x if ord == 2 and dtypes.is_real_floating(x.dtype) else xp.abs(x)
        y = total(xp, size if ord == 1 else size * size if ord == 2 else size**ord, axis, keepdims=keepdims)
        y = y if ord == 1 else xp.sqrt(y) if ord == 2 else y ** (1 / ord)

    def grad_x(g: Any) -> Any:
        norm, g = spread(xp, y, x, axis, keepdims), spread(xp, g, x, axis, keepdims)
        size, sign = xp.abs(x), conjugate(xp, xp.sign(x))
        if ord == 0:
            return xp.zeros_like(x)
        if math.isinf(ord):
            chosen = xp.astype(size == norm, x.dtype)
            return g * sign * chosen / total(xp, chosen, axis, keepdims=True)
        share = size / xp.where(norm == 0, xp.ones_like(norm), norm)
        if ord < 1:  # 0 to a negative power is infinite, and 0 times that NaN
            share = xp.where(size == 0, xp.ones_like(share), share)
        return g * sign * share ** (ord - 1)

    return y, (grad_x,)


def of_axes(f: Any, x: Any, /, *, axis: Any = (-2, -1), keepdims: bool = False, **options: Any) -> Tensor:
    """PyTorch's `matrix_norm`, whose matrices may lie along any two axes."""
    rows, columns = (a % x.ndim for a in axis)
    norm = f(moveaxis(x, (rows, columns), (-2, -1)), keepdims=keepdims, **options)
    return moveaxis(norm, (-2, -1), (rows, columns)) if keepdims else norm


@spelled(KEEPDIM, of_axes)
def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: float | Literal["fro", "nuc"] = "fro") -> Tensor:
    """A norm of each matrix.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    keepdims : bool, default False
        Whether the last two axes stay, with length 1.
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}, default "fro"
        "fro" is √Σ x²; "nuc" is the sum of the singular values, ±2 the largest or smallest of them; ±1 is the largest or
        smallest sum of magnitudes over a column, ±inf over a row.

    Returns
    -------
    Tensor
        Of shape (…).

    Raises
    ------
    ValueError
        If there is no such norm.

    Examples
    --------
    >>> x = weft.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> weft.linalg.matrix_norm(x), weft.linalg.matrix_norm(x, ord="nuc")
    (tensor(5.), tensor(7.))
    """
    if ord in ("fro", None):
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord not in ("nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise ValueError(f"`ord` must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")
    if ord in ("nuc", 2, -2):
        found = svdvals(x)
    else:
        found = reductions.sum(elementwise.abs(x), axis=-2 if ord in (1, -1) else -1)
    pick = reductions.sum if ord == "nuc" else reductions.max if ord > 0 else reductions.min
    y = pick(found, axis=-1, keepdims=keepdims)
    return expand_dims(y, axis=-1) if keepdims else y
