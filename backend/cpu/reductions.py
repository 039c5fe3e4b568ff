"""`sum` and `mean` for NumPy, whose own `mean` and `broadcast_to` spend 20 µs in Python: longer than a small loss takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..array import reductions as primitives
from ..array.sums import paired
from .blocks import CPU_FLOATS


@primitives.sum.on("cpu")
def sum(x: Any, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    if x.dtype not in CPU_FLOATS or dtype is not None:
        return NotImplemented
    y, like = paired(x, axis, keepdims), x
    return y, (lambda g: repeated(g, like.shape, axis),)


@primitives.mean.on("cpu")
def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    if x.dtype not in CPU_FLOATS or not x.size:
        return NotImplemented
    y = paired(x, axis, keepdims)
    n = x.size // np.size(y)
    like = x
    return y / x.dtype.type(n), (lambda g: repeated(g / like.dtype.type(n), like.shape, axis),)


def repeated(g: Any, shape: tuple[int, ...], axis: Any) -> np.ndarray:
    """g along the reduced axes of an array of this shape again, without copying: their stride is 0."""
    axes = primitives.axes_of(axis, len(shape))
    g = np.ascontiguousarray(g).reshape([1 if i in axes else n for i, n in enumerate(shape)])
    strides = [0 if i in axes else s for i, s in enumerate(g.strides)]
    found: np.ndarray = np.ndarray(shape, g.dtype, g, strides=strides)
    return found if type(g) is np.ndarray else found.view(type(g))  # one that tells what is done with it
