"""A dense layer on NumPy: the bias added in place, gradients written straight to where they belong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import add

from ..array.sums import FEW, paired
from ..device.dtypes import is_real_floating
from ..nn import linear as primitives
from ..tape.autograd import in_float32
from .blocks import CPU_FLOATS, ones

MANY = 1 << 14  # rows: BLAS adds their products one after the other, and drifts by 1 % over millions


@primitives.linear.on("cpu")
def linear(x: Any, weight: Any, bias: Any = None, /, *, activation: str | None = None) -> Any:
    """`ndarray.dot` and `matmul` make the same call to BLAS; `dot` gets there in half the time."""
    dtype = x.dtype
    if x.ndim != 2 or dtype not in CPU_FLOATS or weight.ndim != 2 or weight.dtype != dtype:
        return _as_matrices(x, weight, bias, activation)
    y = x.dot(weight.T)
    if bias is not None:
        add(y, bias, y)
    if activation is not None:
        f, static = primitives.ACTIVATIONS[activation]
        y, pulls = f.impls["cpu"](y, **static)  # None where nothing is recorded

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        if activation is not None:
            g = pulls[0](g)
        grad_x = g.dot(weight) if need[0] else None
        grad_weight = (g.T.dot(x, into[1]) if len(g) <= MANY else _product(g, x, into[1])) if need[1] else None
        grad_bias = column_sums(g, into[2]) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp


def _as_matrices(x: Any, weight: Any, bias: Any, activation: str | None) -> Any:
    """The form of what is no matrix, or half precision, for which there is no BLAS."""
    if not x.ndim or weight.ndim != 2 or weight.dtype != x.dtype:
        return NotImplemented
    if x.dtype.itemsize == 2 and is_real_floating(x.dtype):
        return in_float32(lambda xp, *raw, **f: linear(*raw, **f), np, (x, weight, bias), {"activation": activation})
    if x.dtype not in CPU_FLOATS:
        return NotImplemented
    y, rows_vjp = linear(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight, bias, activation=activation)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x, *others = rows_vjp(g.reshape(y.shape), need, into)
        return None if grad_x is None else grad_x.reshape(x.shape), *others

    return y.reshape(*x.shape[:-1], len(weight)), vjp


def _product(g: Any, x: Any, out: Any) -> Any:
    """gᵀ x over many rows: of parts of fixed size, added up in float64."""
    part = 1 << (12 if g.shape[1] * x.shape[1] > 64 else 10)
    total = np.zeros((g.shape[1], x.shape[1]))
    for i in range(0, len(g), part):
        total += g[i : i + part].T.dot(x[i : i + part])
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
