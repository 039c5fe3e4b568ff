"""Norms and similarities of vectors, with PyTorch's names and signatures."""

from __future__ import annotations

import math

from ...backend.array.elementwise import abs, divide, maximum, multiply, pow, sqrt
from ...backend.array.reductions import max, sum
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["cosine_similarity", "normalize"]


def normalize(input: Tensor, p: float = 2.0, dim: int | tuple[int, ...] = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, eps), with the norm (Σ |x|ᵖ)^(1/p) over `dim`; p may be infinite.

    (PyTorch's argument `out`, which is not differentiable there either, does not exist here.)

    >>> from weft.layers import functional as F
    >>> F.normalize(weft.tensor([[3.0, 4.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    check.floating("input", input)
    for d in dim if isinstance(dim, tuple) else (dim,):
        check.axis("dim", d, input)
    return divide(input, _norm(input, p, dim, eps))


def _norm(x: Tensor, p: float, dim: int | tuple[int, ...], least: float) -> Tensor:
    """max(‖x‖ₚ, least), the maximum being taken before the root, whose derivative is infinite at 0."""
    if p == 2:
        return sqrt(maximum(sum(multiply(x, x), axis=dim, keepdims=True), least * least))
    if p == math.inf:
        return maximum(max(abs(x), axis=dim, keepdims=True), least)
    if p == 1:
        return maximum(sum(abs(x), axis=dim, keepdims=True), least)
    return pow(maximum(sum(pow(abs(x), p), axis=dim, keepdims=True), least**p), 1 / p)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁ · x₂ / (max(‖x₁‖, eps) max(‖x₂‖, eps)) along `dim` of two tensors that broadcast against each other."""
    check.floating("x1", x1)
    check.floating("x2", x2)
    check.axis("dim", dim, x1 if x1.ndim >= x2.ndim else x2)
    squares = [sum(multiply(x, x), axis=dim) for x in (x1, x2)]
    lengths = [sqrt(maximum(s, eps * eps)) for s in squares]
    return divide(sum(multiply(x1, x2), axis=dim), multiply(*lengths))
