"""Norms and similarities of vectors, with PyTorch's names and signatures."""

from __future__ import annotations

import math

from ...backend.array.elementwise import abs, divide, maximum, multiply, pow, sqrt
from ...backend.array.info import result_type
from ...backend.array.linalg import vector_norm
from ...backend.array.manipulation import astype, broadcast_arrays, reshape
from ...backend.array.reductions import max, sum
from ...backend.array.sums import is_half
from ...backend.device.dtypes import float32
from ...backend.device.options import number
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["cosine_similarity", "normalize"]


def normalize(input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """Vectors of length 1: x / max(‖x‖ₚ, eps) with ‖x‖ₚ = (Σ |x|ᵖ)^(1/p).

    PyTorch's argument `out`, which is not differentiable there either, does not exist here.

    Parameters
    ----------
    input : Tensor
        x, of a floating-point dtype.
    p : float, default 2.0
        Exponent of the norm; may be infinite.
    dim : int or tuple of int, default 1
        Axes that a vector runs along.
    eps : float, default 1e-12
        Keeps the division from 0.

    Returns
    -------
    Tensor
        In the shape of x.

    Raises
    ------
    TypeError
        If `input` is not a Tensor of a floating-point dtype.
    IndexError
        If x has no axis `dim`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.normalize(weft.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    check.floating("input", input)
    for d in dim if isinstance(dim, tuple) else (dim,):
        check.axis("dim", d, input, scalar=True)
    if not input.ndim:
        return reshape(normalize(reshape(input, (1,)), p, dim, eps), ())
    number("p", p, infinite=True)
    check.eps(eps)
    wide = widened(input)
    return astype(divide(wide, _norm(wide, p, dim, eps)), input.dtype, copy=False)


def widened(x: Tensor) -> Tensor:
    """Half precision in float32: squares would overflow, and `eps` be 0."""
    return astype(x, float32) if is_half(x.dtype) else x


def _norm(x: Tensor, p: float, dim: int | tuple[int, ...], least: float) -> Tensor:
    """max(‖x‖ₚ, least), the maximum being taken before the root, whose derivative is infinite at 0."""
    if p == 2:
        return sqrt(maximum(sum(multiply(x, x), axis=dim, keepdims=True), least * least))
    if p == math.inf:
        return maximum(max(abs(x), axis=dim, keepdims=True), least)
    if p == 1:
        return maximum(sum(abs(x), axis=dim, keepdims=True), least)
    if p <= 0:  # where the root turns large and small about, or there is none
        return maximum(vector_norm(x, axis=dim, keepdims=True, ord=p), least)
    return pow(maximum(sum(pow(abs(x), p), axis=dim, keepdims=True), least**p), 1 / p)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors: x₁ · x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)).

    Parameters
    ----------
    x1 : Tensor
        x₁, of a floating-point dtype.
    x2 : Tensor
        x₂; the two broadcast against each other.
    dim : int, default 1
        Axis that a vector runs along.
    eps : float, default 1e-8
        Keeps the division from 0.

    Returns
    -------
    Tensor
        The broadcast shape without `dim`.

    Raises
    ------
    TypeError
        If one is not a Tensor of a floating-point dtype.
    IndexError
        If there is no axis `dim`.

    Notes
    -----
    The gradient is that of the formula also where a vector is shorter than `eps`; PyTorch's is not there.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.cosine_similarity(weft.tensor([[1.0, 0.0]]), weft.tensor([[3.0, 4.0]]))
    tensor([0.6])
    """
    check.floating("x1", x1)
    check.floating("x2", x2)
    check.eps(eps)
    check.axis("dim", dim, x1 if x1.ndim >= x2.ndim else x2, scalar=True)
    if not x1.ndim and not x2.ndim:
        x1, x2 = reshape(x1, (1,)), reshape(x2, (1,))
    dtype = result_type(x1, x2)
    if x1.shape != x2.shape:
        x1, x2 = broadcast_arrays(x1, x2)  # the norm of one number is not that of its row
    x1, x2 = widened(x1), widened(x2)
    squares = [sum(multiply(x, x), axis=dim) for x in (x1, x2)]
    lengths = [sqrt(maximum(s, eps * eps)) for s in squares]
    return astype(divide(sum(multiply(x1, x2), axis=dim), multiply(*lengths)), dtype, copy=False)
