"""The affine map of a dense layer, with its activation."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..device.dtypes import is_real_floating
from ..device.gemm import matmul as gemm
from ..tape.autograd import in_float32, primitive
from .activation import gelu, relu

__all__ = ["linear"]


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
ACTIVATIONS: dict[str, tuple[Any, dict]] = {"relu": (relu, {}), "gelu": (gelu, {"approximate": "tanh"})}


@primitive(precision="low")
def linear(xp: Any, x: Any, weight: Any, bias: Any = None, /, *, activation: str | None = None) -> Any:
    """y = f(x Wᵀ + b) over the last axis: x (…, in), weight (out, in), bias (out), y (…, out).

    f is the identity, or `activation`: "relu", or "gelu" in its form with tanh, which a GPU computes with the product.
    With g the gradient of what f is applied to: grad_x = g W, grad_W = gᵀ x, grad_b = Σ g.
    """
    y = gemm(xp, x, xp.matrix_transpose(weight))
    if bias is not None:
        y = y + bias
    if activation is not None:
        f, static = ACTIVATIONS[activation]
        y, (pull,) = f.generic(xp, y, **static)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = g if activation is None else pull(g)
        g2 = xp.reshape(g, (math.prod(g.shape[:-1]), g.shape[-1]))
        x2 = xp.reshape(x, (g2.shape[0], x.shape[-1]))
        grad_x = gemm(xp, g, weight) if need[0] else None
        grad_weight = gemm(xp, xp.matrix_transpose(g2), x2) if need[1] else None
        grad_bias = xp.sum(g2, axis=0) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp


@linear.on("cpu")
def _on_cpu(x: Any, weight: Any, bias: Any = None, /, *, activation: str | None = None) -> Any:
    """The same with the bias added in place and gradients written straight to where they belong.

    `ndarray.dot` and `matmul` make the same call to BLAS; `dot` gets there in half the time, which small layers feel.
    """
    if x.ndim != 2 or x.dtype not in FLOATS or weight.ndim != 2 or weight.dtype != x.dtype:
        return _as_matrices(x, weight, bias, activation)
    y = x.dot(weight.T)
    if bias is not None:
        y += bias
    if activation is not None:
        f, static = ACTIVATIONS[activation]
        y, (pull,) = f.impls["cpu"](y, **static)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        if activation is not None:
            g = pull(g)
        grad_x = g.dot(weight) if need[0] else None
        grad_weight = g.T.dot(x, into[1]) if need[1] else None
        grad_bias = _column_sums(g, into[2]) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp


def _as_matrices(x: Any, weight: Any, bias: Any, activation: str | None) -> Any:
    """The form for a CPU of what is no matrix, or half precision, for which there is no BLAS."""
    if not x.ndim or weight.ndim != 2 or weight.dtype != x.dtype:
        return NotImplemented
    if x.dtype.itemsize == 2 and is_real_floating(x.dtype):
        return in_float32(lambda xp, *raw, **f: _on_cpu(*raw, **f), np, (x, weight, bias), {"activation": activation})
    if x.dtype not in FLOATS:
        return NotImplemented
    y, rows_vjp = _on_cpu(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weight, bias, activation=activation)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        grad_x, *others = rows_vjp(g.reshape(y.shape), need, into)
        return None if grad_x is None else grad_x.reshape(x.shape), *others

    return y.reshape(*x.shape[:-1], len(weight)), vjp


def _column_sums(g: Any, out: Any) -> Any:
    """Σᵢ gᵢⱼ, written to `out` if there is one. Of few numbers, BLAS takes a third of the time (and one thread)."""
    if g.size <= 1 << 12 and (out is None or out.dtype == g.dtype):
        return _ones(len(g), g.dtype).dot(g, out)
    return np.add.reduce(g, 0, None, out)


@functools.lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Any:
    return np.ones(n, dtype)
