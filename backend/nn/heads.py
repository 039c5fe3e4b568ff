"""Queries, keys and values by heads, from the one product that they come of."""

from __future__ import annotations

from typing import Any

from ..tape.autograd import primitive

__all__ = ["split_heads"]


@primitive
def split_heads(xp: Any, x: Any, /, *, parts: int, heads: int) -> Any:
    """`parts` arrays (N, heads, L, E) of x (N, L, parts · heads · E), in new memory; their gradients come back as one array.

    As slices of x they would each bring an array of zeros to be filled and added.

    >>> q, k, v = weft.backend.nn.heads.split_heads(weft.ones((2, 5, 24)), parts=3, heads=2)
    >>> q.shape
    (2, 2, 5, 4)
    """
    n, length, width = x.shape
    shape = (n, length, parts, heads, width // (parts * heads))
    y = xp.permute_dims(xp.reshape(x, shape), (2, 0, 3, 1, 4))

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        return (xp.reshape(xp.permute_dims(xp.stack(list(g), axis=0), (1, 3, 0, 2, 4)), x.shape),)

    return tuple(xp.asarray(y[i, ...], copy=True) for i in range(parts)), vjp
