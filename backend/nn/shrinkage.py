"""Shrinkage: functions that move a number towards 0, and set what is near it to 0."""

from __future__ import annotations

from typing import Any

from ..tape.autograd import primitive

__all__ = ["hardshrink", "softshrink", "tanhshrink"]


@primitive
def hardshrink(xp: Any, x: Any, /, *, lambd: float = 0.5) -> Any:
    """0 where |x| ≤ λ, x elsewhere.

    >>> weft.backend.nn.shrinkage.hardshrink(weft.tensor([-0.5, 2.0]))
    tensor([0., 2.])
    """
    near = xp.abs(x) <= lambd
    return xp.where(near, xp.zeros_like(x), x), (lambda g: xp.where(near, xp.zeros_like(g), g),)


@primitive
def softshrink(xp: Any, x: Any, /, *, lambd: float = 0.5) -> Any:
    """x − λ where x > λ, x + λ where x < −λ, 0 between."""
    near = xp.abs(x) <= lambd
    return x - xp.clip(x, -lambd, lambd), (lambda g: xp.where(near, xp.zeros_like(g), g),)


@primitive
def tanhshrink(xp: Any, x: Any, /) -> Any:
    """x − tanh x."""
    y = xp.tanh(x)
    return x - y, (lambda g: g * (y * y),)
