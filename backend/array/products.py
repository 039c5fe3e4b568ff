"""Matrix products: `matmul`, `vecdot`, `tensordot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..device.gemm import gemm
from ..device.options import integer
from ..tape.autograd import primitive
from .elementwise import conjugate, floats_win, promotable, unbroadcast
from .manipulation import inverse_permutation
from .spellings import DIM, spelled

__all__ = ["matmul", "tensordot", "vecdot"]


@primitive(precision="low")
def matmul(xp: Any, x1: Any, x2: Any, /) -> Any:
    """The matrix product x₁ x₂.

    Parameters
    ----------
    x1 : Tensor
        (…, M, K), or a row (K,).
    x2 : Tensor
        (…, K, N), or a column (K,). Stacks of matrices are broadcast against each other.

    Returns
    -------
    Tensor
        (…, M, N), without M and N where there was a vector; of the dtype that they promote to.

    Raises
    ------
    ValueError
        If the K of both differ, or one is 0-d.

    Notes
    -----
    grad_x₁ = g x₂ᵀ and grad_x₂ = x₁ᵀ g. Half precision is summed in float32; inside `autocast`, this runs in half precision.

    Examples
    --------
    >>> weft.matmul(weft.tensor([[1.0, 2.0], [3.0, 4.0]]), weft.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    x1, x2 = floats_win(xp, x1, x2)
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


@spelled(DIM)
@primitive(precision="low")
def vecdot(xp: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The dot product of vectors along an axis, Σ conj(x₁) x₂.

    Parameters
    ----------
    x1, x2 : Tensor
        Equally long along `axis`; their other axes are broadcast against each other.
    axis : int, default -1
        What is summed over.

    Returns
    -------
    Tensor
        Without `axis`, of the dtype that they promote to.

    Raises
    ------
    ValueError
        If their shapes do not fit.

    Examples
    --------
    >>> weft.vecdot(weft.tensor([1.0, 2.0]), weft.tensor([3.0, 4.0]))
    tensor(11.)
    """

    x1, x2 = floats_win(xp, x1, x2)

    def pull(g: Any, other: Any) -> Any:
        return xp.expand_dims(g, axis=axis) * other

    grad_x1 = lambda g: unbroadcast(xp, conjugate(xp, pull(g, x2)), x1)
    return xp.vecdot(x1, x2, axis=axis), (grad_x1, lambda g: unbroadcast(xp, pull(g, conjugate(xp, x1)), x2))


@spelled({"dims": "axes"})
@primitive(precision="low")
def tensordot(xp: Any, x1: Any, x2: Any, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Any:
    """Products summed over pairs of axes.

    Parameters
    ----------
    x1, x2 : Tensor
        Equally long along the axes of each pair.
    axes : int or tuple of two sequences of int, default 2
        n pairs the last n axes of x1 with the first n of x2, in order; (axes of x1, axes of x2) names the pairs.

    Returns
    -------
    Tensor
        With the other axes of x1, then those of x2; of the dtype that they promote to.

    Raises
    ------
    ValueError
        If the axes of a pair differ in length.

    Examples
    --------
    >>> weft.tensordot(weft.ones((2, 3)), weft.ones((3, 4)), axes=1).shape
    (2, 4)
    >>> weft.tensordot(weft.ones((2, 3)), weft.ones((4, 3)), axes=((1,), (1,))).shape
    (2, 4)
    """
    x1, x2 = floats_win(xp, x1, x2)
    wide1, wide2 = promotable(xp, x1, x2)
    if isinstance(axes, int):
        integer("axes", axes, 0, min(x1.ndim, x2.ndim))
        over1, over2 = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        over1, over2 = [a % x1.ndim for a in axes[0]], [a % x2.ndim for a in axes[1]]
    free1 = [i for i in range(x1.ndim) if i not in over1]
    free2 = [i for i in range(x2.ndim) if i not in over2]

    def back(grad: Any, order: list, like: Any) -> Any:
        return unbroadcast(xp, xp.permute_dims(grad, inverse_permutation(order)), like)

    def grad_x1(g: Any) -> Any:  # axes: free of x1, then the summed ones in the order of over2 sorted
        summed = sorted(range(len(over2)), key=over2.__getitem__)
        grad = xp.tensordot(g, wide2, axes=(list(range(len(free1), g.ndim)), free2))
        return back(grad, free1 + [over1[i] for i in summed], x1)

    def grad_x2(g: Any) -> Any:
        summed = sorted(range(len(over1)), key=over1.__getitem__)
        grad = xp.tensordot(wide1, g, axes=(free1, list(range(len(free1)))))
        return back(grad, [over2[i] for i in summed] + free2, x2)

    return xp.tensordot(wide1, wide2, axes=axes), (grad_x1, grad_x2)
