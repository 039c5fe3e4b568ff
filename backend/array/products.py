"""Matrix products: `matmul`, `vecdot`, `tensordot`."""

from __future__ import annotations

from typing import Any

from ..device.gemm import gemm
from ..tape.autograd import primitive
from .elementwise import unbroadcast
from .manipulation import inverse_permutation

__all__ = ["matmul", "tensordot", "vecdot"]


@primitive(precision="low")
def matmul(xp: Any, x1: Any, x2: Any, /) -> Any:
    """The matrix product x₁ x₂ of (…, M, K) and (…, K, N), vectors being rows on the left and columns on the right.

    grad_x₁ = g x₂ᵀ, grad_x₂ = x₁ᵀ g.
    """
    y = gemm(xp, x1, x2)
    a = x1 if x1.ndim > 1 else x1[None, :]
    b = x2 if x2.ndim > 1 else x2[:, None]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = g if x1.ndim > 1 else xp.expand_dims(g, axis=-1 if x2.ndim == 1 else -2)
        g = g if x2.ndim > 1 else xp.expand_dims(g, axis=-1)
        grad_x1 = grad_x2 = None
        if need[0]:
            grad = gemm(xp, g, xp.matrix_transpose(b))
            grad_x1 = xp.reshape(unbroadcast(xp, grad, a), x1.shape)
        if need[1]:
            grad = gemm(xp, xp.matrix_transpose(a), g)
            grad_x2 = xp.reshape(unbroadcast(xp, grad, b), x2.shape)
        return grad_x1, grad_x2

    return y, vjp


@primitive(precision="low")
def vecdot(xp: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Σ conj(x₁) x₂ along `axis`."""

    def pull(g: Any, other: Any, like: Any) -> Any:
        return unbroadcast(xp, xp.expand_dims(g, axis=axis) * other, like)

    return xp.vecdot(x1, x2, axis=axis), (lambda g: pull(g, x2, x1), lambda g: pull(g, x1, x2))


@primitive(precision="low")
def tensordot(xp: Any, x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Products summed over pairs of axes: the last n of x₁ with the first n of x₂, or `axes = (axes of x₁, axes of x₂)`."""
    if isinstance(axes, int):
        over1, over2 = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        over1, over2 = [a % x1.ndim for a in axes[0]], [a % x2.ndim for a in axes[1]]
    free1 = [i for i in range(x1.ndim) if i not in over1]
    free2 = [i for i in range(x2.ndim) if i not in over2]

    def back(grad: Any, order: list) -> Any:
        return xp.permute_dims(grad, inverse_permutation(order))

    def grad_x1(g: Any) -> Any:  # axes: free of x1, then the summed ones in the order of over2 sorted
        summed = sorted(range(len(over2)), key=over2.__getitem__)
        grad = xp.tensordot(g, x2, axes=(list(range(len(free1), g.ndim)), free2))
        return back(grad, free1 + [over1[i] for i in summed])

    def grad_x2(g: Any) -> Any:
        summed = sorted(range(len(over1)), key=over1.__getitem__)
        grad = xp.tensordot(x1, g, axes=(free1, list(range(len(free1)))))
        return back(grad, [over2[i] for i in summed] + free2)

    return xp.tensordot(x1, x2, axes=axes), (grad_x1, grad_x2)
