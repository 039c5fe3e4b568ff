"""Euclidean distances by a product of matrices."""

from __future__ import annotations

from typing import Any

from ..array.elementwise import unbroadcast
from ..array.sums import total
from ..tape.autograd import primitive

__all__ = ["euclidean"]


@primitive(precision="full")
def euclidean(xp: Any, x1: Any, x2: Any, /) -> Any:
    """y[…, i, j] = √max(‖x₁[…, i]‖² + ‖x₂[…, j]‖² − 2 x₁[…, i]·x₂[…, j], 0) of x₁ (…, P, D) and x₂ (…, R, D).

    With r = g/y, and 0 where y is 0: grad_x₁ = x₁ Σⱼ r − r x₂, grad_x₂ likewise.
    """
    squares = [total(xp, x * x, -1, keepdims=True) for x in (x1, x2)]
    y = squares[0] + xp.matrix_transpose(squares[1]) - 2 * xp.matmul(x1, xp.matrix_transpose(x2))
    y = xp.sqrt(xp.maximum(y, 0))

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        ratio = xp.where(y == 0, xp.zeros_like(g), g / xp.where(y == 0, xp.ones_like(y), y))
        back = xp.matrix_transpose(ratio)
        return tuple(
            unbroadcast(xp, x * total(xp, r, -1, keepdims=True) - xp.matmul(r, other), x) if needed else None
            for needed, x, other, r in zip(need, (x1, x2), (x2, x1), (ratio, back))
        )

    return y, vjp
