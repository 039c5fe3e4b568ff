"""Dropout, with PyTorch's names and signatures. Masks come from the default generator, the same on all devices.

`inplace` is accepted and changes nothing.
"""

from __future__ import annotations

import math

from ...backend.array.elementwise import add
from ...backend.array.random import default_generator
from ...backend.device import dtypes
from ...backend.nn import dropout as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from ._images import check_axes

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout_add", "drop_shared"]


def drop_shared(input: Tensor, shape: tuple[int, ...], p: float, residual: Tensor | None = None) -> Tensor:
    """Dropout with a mask of `shape`, which broadcasts to that of x: what shares an entry is dropped together.

    (Not in PyTorch.) (N, C, 1, 1) drops channels, (N, 1, 1, 1) examples. `residual` is added to the result.
    """
    blocks = default_generator.reserve(math.prod(shape), dtypes.bool)
    return primitives.dropout(input, residual, p=p, shape=shape, blocks=blocks)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Training: each element 0 with probability p, else x/(1 − p). Otherwise x itself."""
    check.probability("p", p)
    check.floating("input", input)
    return drop_shared(input, input.shape, p) if training and p else input


def dropout_add(input: Tensor, residual: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """residual + dropout(x), as a transformer's sublayers end: one pass over memory on a GPU. (Not in PyTorch.)"""
    check.probability("p", p)
    check.floating("input", input)
    return drop_shared(input, input.shape, p, residual) if training and p else add(residual, input)


def _dropout_channels(input: Tensor, p: float, training: bool, axes: int) -> Tensor:
    check.probability("p", p)
    check.floating("input", input)
    check_axes(axes, input)
    return drop_shared(input, (*input.shape[:-axes], *(1,) * axes), p) if training and p else input


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of x (N, C, L) or (C, L)."""
    return _dropout_channels(input, p, training, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of x (N, C, H, W) or (C, H, W)."""
    return _dropout_channels(input, p, training, 2)
