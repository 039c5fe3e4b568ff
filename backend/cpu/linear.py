"""A dense layer on NumPy: the bias added in place, gradients written straight to where they belong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..array.sums import FEW, paired
from ..device.dtypes import is_real_floating
from ..device.products import dot
from ..nn import linear as primitives
from ..tape.autograd import in_float32
from .blocks import CPU_FLOATS, ones
from .dense_products import product

MANY = 1 << 14  # rows: BLAS adds their products one after the other, and drifts by 1 % over millions


@primitives.linear.on("cpu")
def linear(x: Any, weight: Any, bias: Any = None, /, *, activation: str | None = None) -> Any:
    dtype, shape = x.dtype, x.shape
    if dtype not in CPU_FLOATS or not shape or weight.ndim != 2 or weight.dtype != dtype:
        return _of_halves(x, weight, bias, activation)
    if len(shape) != 2:
        x = x.reshape(math.prod(shape[:-1]), shape[-1])
    y = product(x, weight.T, bias)
    if activation is not None:
        f, static = primitives.ACTIVATIONS[activation]
        y, pulls = f.impls["cpu"](y, **static)  # None where nothing is recorded

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        if len(shape) != 2:
            g = g.reshape(len(x), len(weight))
        if activation is not None:
            g = pulls[0](g)
        grad_x = product(g, weight) if need[0] else None
        if len(shape) != 2 and grad_x is not None:
            grad_x = grad_x.reshape(shape)
        grad_weight = (dot(g.T, x, into[1]) if len(g) <= MANY else _product(g, x, into[1])) if need[1] else None
        grad_bias = column_sums(g, into[2]) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y if len(shape) == 2 else y.reshape(*shape[:-1], len(weight)), vjp


def _of_halves(x: Any, weight: Any, bias: Any, activation: str | None) -> Any:
    """The form of half precision, for which there is no BLAS."""
    if not x.ndim or weight.ndim != 2 or weight.dtype != x.dtype:
        return NotImplemented
    if x.dtype.itemsize != 2 or not is_real_floating(x.dtype):
        return NotImplemented
    return in_float32(lambda xp, *raw, **f: linear(*raw, **f), np, (x, weight, bias), {"activation": activation})


def _product(g: Any, x: Any, out: Any) -> Any:
    """gᵀ x over many rows: of parts of fixed size, added up in float64."""
    part = 1 << (12 if g.shape[1] * x.shape[1] > 64 else 10)
    total = np.zeros((g.shape[1], x.shape[1]))
    for i in range(0, len(g), part):
        total += dot(g[i : i + part].T, x[i : i + part])
    if out is None:
        return total.astype(x.dtype)
    out[...] = total
    return out


def column_sums(g: Any, out: Any) -> Any:
    """Σᵢ gᵢⱼ, written to `out` if there is one. Of few numbers, BLAS takes a third of the time (and one thread)."""
    dtype = g.dtype
    if g.size <= 1 << 12 and (out is None or out.dtype == dtype):
        return g.T.dot(ones(len(g), dtype), out)  # a method of g, which tells of it while a step is recorded
    if len(g) <= FEW:
        return np.add.reduce(g, 0, None, out)
    total = paired(g, 0)
    if out is None:
        return total
    out[...] = total
    return out
