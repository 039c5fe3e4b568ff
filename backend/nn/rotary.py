"""Rotary embedding: a position as a rotation, so that products of queries and keys depend on distances."""

from __future__ import annotations

from typing import Any

from ..array.elementwise import unbroadcast
from ..tape.autograd import primitive

__all__ = ["rotary_embedding"]


@primitive
def rotary_embedding(xp: Any, x: Any, cos: Any, sin: Any, /, *, interleaved: bool = False) -> Any:
    """Pairs (a, b) of the last axis turned by their angles: (a cos − b sin, b cos + a sin). Su et al. (2021).

    x (…, L, D), cos and sin broadcast to (…, L, R/2): the first R ≤ D components are turned, the others stay. Pairs are
    (i, i + R/2), the halves of these, or neighbours (2i, 2i + 1) if `interleaved`. The result has the dtype of x.

    >>> x = weft.tensor([[1.0, 0.0, 3.0]])
    >>> weft.backend.nn.rotary.rotary_embedding(x, weft.tensor([[0.0]]), weft.tensor([[1.0]]))
    tensor([[0., 1., 3.]])
    """
    n = cos.shape[-1]

    def pairs(x: Any) -> tuple[Any, Any]:
        if interleaved:
            return x[..., 0 : 2 * n : 2], x[..., 1 : 2 * n : 2]
        return x[..., :n], x[..., n : 2 * n]

    def turned(x: Any, sin: Any) -> Any:
        a, b = pairs(x)
        found = [a * cos - b * sin, b * cos + a * sin]
        if interleaved:
            found = [xp.reshape(xp.stack(found, axis=-1), (*x.shape[:-1], 2 * n))]
        found = [part if part.dtype == x.dtype else xp.astype(part, x.dtype) for part in found]
        return xp.concat([*found, x[..., 2 * n :]], axis=-1) if len(found) > 1 or x.shape[-1] > 2 * n else found[0]

    def grad_cos(g: Any) -> Any:
        (a, b), (ga, gb) = pairs(x), pairs(g)
        return xp.astype(unbroadcast(xp, ga * a + gb * b, cos), cos.dtype)

    def grad_sin(g: Any) -> Any:
        (a, b), (ga, gb) = pairs(x), pairs(g)
        return xp.astype(unbroadcast(xp, gb * a - ga * b, sin), sin.dtype)

    return turned(x, sin), (lambda g: turned(g, -sin), grad_cos, grad_sin)
