"""Cholesky, eigenvalue, QR and singular value decompositions of (stacks of) real matrices, with derivatives.

Pullbacks are array-API code, so that derivatives of derivatives follow by nesting. They hold where the factors are
smooth functions of x; each docstring says where that ends. In formulas a bar is the gradient of an output, and
sym(M) = ½(M + Mᵀ). Complex matrices are decomposed too, and `backward` through that is an error; integers become the default dtype.

References: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008); Walter & Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum
experimental design" (2010); Ionescu, Vantzos & Sminchisescu, "Matrix backpropagation for deep networks with structured
layers" (2015); Murray, "Differentiation of the Cholesky decomposition" (2016).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Concatenate, Literal, NamedTuple, TypeVar, overload

from ..tape.autograd import P, Primitive, primitive
from ..tape.tensor import Tensor
from .elementwise import _floats, is_complex

__all__ = ["cholesky", "eigh", "eigvalsh", "qr", "svd", "svdvals"]

R = TypeVar("R")


class Eigh(NamedTuple):
    """What `eigh` returns: w (…, M) and V (…, M, M)."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QR(NamedTuple):
    """What `qr` returns: Q (…, M, K) and R (…, K, N)."""

    Q: Tensor
    R: Tensor


class SVD(NamedTuple):
    """What `svd` returns: U (…, M, K), S (…, K) and Vh (…, K, N)."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SlogDet(NamedTuple):
    """What `slogdet` returns: the sign and ln |det| (…)."""

    sign: Tensor
    logabsdet: Tensor


@overload
def floating(
    *, precision: str | None = None, complex_too: bool = False
) -> Callable[[Callable[Concatenate[Any, P], Any]], Primitive[P, Tensor]]: ...


@overload
def floating(
    *, returns: type[R], precision: str | None = None, complex_too: bool = False
) -> Callable[[Callable[Concatenate[Any, P], Any]], Primitive[P, R]]: ...


def floating(*, returns: type = Tensor, precision: str | None = None, complex_too: bool = False) -> Any:
    """A primitive on floating-point arrays, whose derivative holds for complex ones or not."""

    def decorate(generic: Callable) -> Any:
        @functools.wraps(generic)
        def convert(xp: Any, *arrays: Any, **static: Any) -> Any:
            arrays = tuple(_floats(xp, a) if hasattr(a, "dtype") else a for a in arrays)
            out, pullback = generic(xp, *arrays, **static)
            if complex_too or not any(hasattr(a, "dtype") and is_complex(a) for a in arrays):
                return out, pullback
            return out, lambda g, need, into: _refuse(generic.__name__)

        return primitive(returns=returns, precision=precision)(convert)

    return decorate


def _refuse(name: str) -> Any:
    raise TypeError(f"`{name}` needs real numbers for its derivative, got complex ones; detach() what needs none")


def _copyltu(xp: Any, x: Any) -> Any:
    """The symmetric matrix with the lower triangle of x (Walter & Lehmann's name)."""
    return xp.tril(x) + xp.matrix_transpose(xp.tril(x, k=-1))


def _inverse(xp: Any, x: Any) -> Any:
    """1/x, and 0 for 0.

    Between equal eigenvalues (or singular values) single vectors are not defined, but the space they span is: in every
    function of that space alone, 1/gap = 1/0 meets factors that vanish, and so may be anything finite.
    """
    return 1 / xp.where(x == 0, xp.full_like(x, math.inf), x)


@floating()
def cholesky(xp: Any, x: Any, /, *, upper: bool = False) -> Any:
    """The triangular factor L of a positive definite matrix x = L Lᵀ.

    Parameters
    ----------
    x : Tensor
        Symmetric and positive definite, (…, M, M); only one triangle is read.
    upper : bool, default False
        Whether to return U = Lᵀ, with x = Uᵀ U, instead.

    Returns
    -------
    Tensor
        (…, M, M), zero above (or below) the diagonal.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite (on a CPU).

    Notes
    -----
    grad_x = ½ L⁻ᵀ copyltu(Lᵀ L̄) L⁻¹, which is symmetric as x is [1]_; copyltu mirrors the lower triangle.

    References
    ----------
    .. [1] Murray, "Differentiation of the Cholesky decomposition" (2016).

    Examples
    --------
    >>> weft.linalg.cholesky(weft.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    y = xp.linalg.cholesky(x, upper=upper)

    def grad_x(g: Any) -> Any:
        lt, g = (y, xp.matrix_transpose(g)) if upper else (xp.matrix_transpose(y), g)
        half = xp.linalg.solve(lt, _copyltu(xp, lt @ g))
        return 0.5 * xp.linalg.solve(lt, xp.matrix_transpose(half))

    return y, (grad_x,)


@floating(returns=Eigh)
def eigh(xp: Any, x: Any, /) -> Any:
    """Eigenvalues and eigenvectors of symmetric matrices: x = V diag(w) Vᵀ.

    Parameters
    ----------
    x : Tensor
        Symmetric, (…, M, M); only one triangle is read.

    Returns
    -------
    Eigh
        `eigenvalues` w, (…, M), ascending, and `eigenvectors` V, (…, M, M): orthonormal columns.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square, or the iteration does not converge (on a CPU).

    Notes
    -----
    grad_x = V (diag(w̄) + sym(F ∘ VᵀV̄)) Vᵀ with F_ij = 1/(w_j − w_i): symmetric as x is [1]_. Vectors are unique up to
    their sign where the eigenvalues are distinct; where some are equal, only functions of the space that these vectors span
    together have a derivative.

    References
    ----------
    .. [1] Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation" (2008).

    Examples
    --------
    >>> w, V = weft.linalg.eigh(weft.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> w
    tensor([1., 2.])
    >>> weft.abs(V)
    tensor([[0., 1.],
            [1., 0.]])
    """
    result = Eigh(*xp.linalg.eigh(x))
    w, v = result

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_w, grad_v = g
        vt = xp.matrix_transpose(v)
        inner = _inverse(xp, w[..., None, :] - w[..., :, None]) * (vt @ grad_v)
        inner = 0.5 * (inner + xp.matrix_transpose(inner))
        return (v @ inner @ vt + (v * grad_w[..., None, :]) @ vt,)

    return result, vjp


@floating()
def eigvalsh(xp: Any, x: Any, /) -> Any:
    """The eigenvalues of symmetric matrices.

    Parameters
    ----------
    x : Tensor
        Symmetric, (…, M, M); only one triangle is read.

    Returns
    -------
    Tensor
        (…, M), ascending.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not square, or the iteration does not converge (on a CPU).

    Notes
    -----
    grad_x = V diag(g) Vᵀ, equal eigenvalues included.

    Examples
    --------
    >>> weft.linalg.eigvalsh(weft.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([1., 2.])
    """

    def grad_x(g: Any) -> Any:
        v = xp.linalg.eigh(x).eigenvectors
        return (v * g[..., None, :]) @ xp.matrix_transpose(v)

    return xp.linalg.eigvalsh(x), (grad_x,)


@floating(returns=QR)
def qr(xp: Any, x: Any, /, *, mode: Literal["reduced", "complete"] = "reduced") -> Any:
    """Orthonormal columns times an upper triangle: x = Q R.

    Parameters
    ----------
    x : Tensor
        (…, M, N); for a derivative, its first K = min(M, N) columns must be independent.
    mode : {"reduced", "complete"}, default "reduced"
        K columns in Q, or all M, those beyond the K-th being not unique.

    Returns
    -------
    QR
        `Q`, (…, M, K), and `R`, (…, K, N); (…, M, M) and (…, M, N) where complete.

    Raises
    ------
    NotImplementedError
        In the backward pass of `mode="complete"` for M > N, where there is no derivative.

    Notes
    -----
    grad_x = (Q̄ + Q copyltu(R R̄ᵀ − Q̄ᵀ Q)) R⁻ᵀ for M ≥ N [1]_. A wide x = [X Y] has R = [U V], X = Q U and V = QᵀY: the
    gradient is that of X with Q̄ + Y V̄ᵀ for Q̄, beside Q V̄.

    References
    ----------
    .. [1] Walter & Lehmann, "Algorithmic differentiation of linear algebra functions with application in optimum
       experimental design" (2010).

    Examples
    --------
    >>> Q, R = weft.linalg.qr(weft.ones((3, 2)))
    >>> Q.shape, R.shape
    ((3, 2), (2, 2))
    """
    result = QR(*xp.linalg.qr(x, mode=mode))
    q, r = result
    m, n = x.shape[-2:]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        if mode == "complete" and m > n:
            what = f"a {m} × {n} matrix has no derivative with mode='complete'"
            raise NotImplementedError(f"`qr` of {what}; use mode='reduced'")
        grad_q, grad_r = g
        if m >= n:
            return (tall(grad_q, r, grad_r),)
        v = grad_r[..., m:]
        grad_q = grad_q + x[..., m:] @ xp.matrix_transpose(v)
        return (xp.concat([tall(grad_q, r[..., :m], grad_r[..., :m]), q @ v], axis=-1),)

    def tall(grad_q: Any, r: Any, grad_r: Any) -> Any:
        inner = r @ xp.matrix_transpose(grad_r) - xp.matrix_transpose(grad_q) @ q
        grad = grad_q + q @ _copyltu(xp, inner)
        return xp.matrix_transpose(xp.linalg.solve(r, xp.matrix_transpose(grad)))

    return result, vjp


@floating(returns=SVD)
def svd(xp: Any, x: Any, /, *, full_matrices: bool = True) -> Any:
    """The singular value decomposition: x = U diag(S) Vh.

    Parameters
    ----------
    x : Tensor
        (…, M, N).
    full_matrices : bool, default True
        Whether U and Vh are square, with vectors beyond the K-th, K = min(M, N), that are not unique. PyTorch's default
        is True, too.

    Returns
    -------
    SVD
        `U`, (…, M, M), with orthonormal columns, `S`, (…, K), descending, and `Vh`, (…, N, N), with orthonormal rows;
        (…, M, K), (…, K) and (…, K, N) if not full.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the iteration does not converge (on a CPU).

    Notes
    -----
    With Vh = Vᵀ, A = UᵀŪ − ŪᵀU and B = VᵀV̄ − V̄ᵀV the gradient is, rearranged from [1]_,

        U [½ (A + B)_ij / (s_j − s_i) + ½ (A − B)_ij / (s_j + s_i) + diag(S̄)] Vᵀ
        + (I − UUᵀ) Ū S⁻¹ Vᵀ + U S⁻¹ V̄ᵀ (I − VVᵀ).

    Vectors are unique up to a common sign where the singular values are distinct and not 0; where some are equal, only
    functions of what these vectors span together (as U Vh) have a derivative. The vectors beyond the K-th are never
    unique: their gradient is left out.

    References
    ----------
    .. [1] Ionescu, Vantzos & Sminchisescu, "Matrix backpropagation for deep networks with structured layers" (2015).

    Examples
    --------
    >>> U, S, Vh = weft.linalg.svd(weft.tensor([[3.0, 0.0], [0.0, -4.0]]))
    >>> S
    tensor([4., 3.])
    """
    result = SVD(*xp.linalg.svd(x, full_matrices=full_matrices))
    k = min(x.shape[-2:])
    u, s, vt = result[0][..., :, :k], result[1], result[2][..., :k, :]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_u, grad_s, grad_vt = g[0][..., :, :k], g[1], g[2][..., :k, :]
        ut, v, grad_v = (xp.matrix_transpose(a) for a in (u, vt, grad_vt))
        from_u, from_v = ut @ grad_u, vt @ grad_v
        a, b = from_u - xp.matrix_transpose(from_u), from_v - xp.matrix_transpose(from_v)
        row, column, inverse = s[..., None, :], s[..., :, None], _inverse(xp, s)[..., None, :]
        inner = 0.5 * ((a + b) * _inverse(xp, row - column) + (a - b) * _inverse(xp, row + column))
        grad = u @ inner @ vt + (u * grad_s[..., None, :]) @ vt
        if x.shape[-2] > k:
            grad = grad + ((grad_u - u @ from_u) * inverse) @ vt
        if x.shape[-1] > k:
            grad = grad + (u * inverse) @ xp.matrix_transpose(grad_v - v @ from_v)
        return (grad,)

    return result, vjp


@floating()
def svdvals(xp: Any, x: Any, /) -> Any:
    """The singular values of each matrix.

    Parameters
    ----------
    x : Tensor
        (…, M, N).

    Returns
    -------
    Tensor
        (…, min(M, N)), descending.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the iteration does not converge (on a CPU).

    Notes
    -----
    grad_x = U diag(g) Vᵀ, equal singular values included.

    Examples
    --------
    >>> weft.linalg.svdvals(weft.tensor([[3.0, 0.0], [0.0, -4.0]]))
    tensor([4., 3.])
    """

    def grad_x(g: Any) -> Any:
        u, _, vh = xp.linalg.svd(x, full_matrices=False)
        return (u * g[..., None, :]) @ vh

    return xp.linalg.svdvals(x), (grad_x,)
