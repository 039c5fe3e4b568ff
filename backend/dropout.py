"""Dropout: elements, channels or samples set to zero at random, the rest scaled up so that the expectation stays."""

from __future__ import annotations

from typing import Any

from .autograd import primitive
from .elementwise import unbroadcast

__all__ = ["dropout"]


@primitive
def dropout(xp: Any, x: Any, mask: Any, /, *, p: float = 0.5) -> Any:
    """y = x · mask/(1 − p). Srivastava et al. (2014), with inverted scaling.

    `mask` is a boolean array, True with probability 1 − p, that broadcasts to the shape of x: (N, C, 1, 1) drops whole
    channels (Tompson et al., 2015), (N, 1, …) whole samples (stochastic depth). With p = 1 the result is 0.

    >>> weft.backend.dropout.dropout(weft.tensor([1.0, 2.0]), weft.tensor([True, False]), p=0.5)
    tensor([2., 0.])
    """
    scale = xp.astype(mask, x.dtype) * (1 / (1 - p) if p < 1 else 0.0)
    return x * scale, (lambda g: unbroadcast(xp, g * scale, x), None)
