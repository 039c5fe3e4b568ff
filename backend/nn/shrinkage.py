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
    kept = xp.astype(~(xp.abs(x) <= lambd), x.dtype)  # factors, as a choice by `where` is slow on a CPU; a NaN is kept
    return x * kept + 0, (lambda g: g * kept,)


@primitive
def softshrink(xp: Any, x: Any, /, *, lambd: float = 0.5) -> Any:
    """x − λ where x > λ, x + λ where x < −λ, 0 between."""
    kept = xp.astype(~(xp.abs(x) <= lambd), x.dtype)
    return x - xp.clip(x, -lambd, lambd), (lambda g: g * kept,)


@primitive
def tanhshrink(xp: Any, x: Any, /) -> Any:
    """x − tanh x."""
    y = xp.tanh(x)
    return x - y, (lambda g: g * (y * y),)
