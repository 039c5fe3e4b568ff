"""Dropout: elements, channels or samples set to zero at random, the rest scaled up so that the expectation stays."""

from __future__ import annotations

from typing import Any

from ..array.elementwise import unbroadcast
from ..array.random import BlockRange
from ..tape.autograd import primitive

__all__ = ["dropout", "rescale"]


def rescale(p: float) -> float:
    """What is left after dropout is multiplied by 1/(1 − p), so that the expectation stays; 0 where nothing is left."""
    return 1 / (1 - p) if p < 1 else 0.0


@primitive
def dropout(
    xp: Any, x: Any, residual: Any = None, /, *, p: float = 0.5, shape: tuple[int, ...], blocks: BlockRange
) -> Any:
    """y = residual + x · M/(1 − p) with a random mask M, 1 with probability 1 − p. Srivastava et al. (2014).

    The scaling is "inverted", by 1/(1 − p) in training. M has a shape that broadcasts to that of x: (N, C, 1, 1) drops
    whole channels (Tompson et al., 2015), (N, 1, …) whole samples (stochastic depth). Its entries are the
    `Generator.bernoulli` of `blocks`, which the caller has reserved: a GPU draws them in registers, forward and
    backward, and stores no mask. With p = 1 the first term is 0. `residual` broadcasts with x.

    >>> blocks = weft.Generator(0).reserve(3, weft.bool)
    >>> weft.backend.nn.dropout.dropout(weft.ones(3), p=0.5, shape=(3,), blocks=blocks)
    tensor([2., 2., 0.])
    """
    mask = xp.asarray(blocks.bernoulli(shape, 1 - p), device=x.device)
    scale = xp.astype(mask, x.dtype) * rescale(p)
    y = x * scale
    like_x, like_residual = x, residual
    pullbacks = (lambda g: unbroadcast(xp, g * scale, like_x), lambda g: unbroadcast(xp, g, like_residual))
    return (y if residual is None else residual + y), pullbacks
