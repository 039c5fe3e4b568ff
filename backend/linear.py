"""Matrix products: `matmul`, `vecdot`, `tensordot` and the affine map of a dense layer."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .activation import gelu, relu
from .autograd import in_float32, primitive
from .dtypes import is_real_floating
from .elementwise import unbroadcast
from .gemm import matmul as gemm

__all__ = ["linear", "matmul", "tensordot", "vecdot"]


@primitive
def matmul(xp: Any, x1: Any, x2: Any, /) -> Any:
    """The matrix product x₁ x₂ of (…, M, K) and (…, K, N), vectors being rows on the left and columns on the right.

    grad_x₁ = g x₂ᵀ, grad_x₂ = x₁ᵀ g.
    """
    y = gemm(xp, x1, x2)
    a = x1 if x1.ndim > 1 else x1[None, :]
    b = x2 if x2.ndim > 1 else x2[:, None]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = g if x1.ndim > 1 else xp.expand_dims(g, axis=-1 if x2.ndim == 1 else -2)
        g = g if x2.ndim > 1 else xp.expand_dims(g, axis=-1)
        grad_x1 = grad_x2 = None
        if need[0]:
            grad = gemm(xp, g, xp.matrix_transpose(b))
            grad_x1 = xp.reshape(unbroadcast(xp, grad, a), x1.shape)
        if need[1]:
            grad = gemm(xp, xp.matrix_transpose(a), g)
            grad_x2 = xp.reshape(unbroadcast(xp, grad, b), x2.shape)
        return grad_x1, grad_x2

    return y, vjp


@primitive
def vecdot(xp: Any, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Σ conj(x₁) x₂ along `axis`."""

    def pull(g: Any, other: Any, like: Any) -> Any:
        return unbroadcast(xp, xp.expand_dims(g, axis=axis) * other, like)

    return xp.vecdot(x1, x2, axis=axis), (lambda g: pull(g, x2, x1), lambda g: pull(g, x1, x2))


@primitive
def tensordot(xp: Any, x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
    """Products summed over pairs of axes: the last n of x₁ with the first n of x₂, or `axes = (axes of x₁, axes of x₂)`."""
    if isinstance(axes, int):
        over1, over2 = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        over1, over2 = [a % x1.ndim for a in axes[0]], [a % x2.ndim for a in axes[1]]
    free1 = [i for i in range(x1.ndim) if i not in over1]
    free2 = [i for i in range(x2.ndim) if i not in over2]

    def back(grad: Any, order: list) -> Any:
        return xp.permute_dims(grad, tuple(sorted(range(len(order)), key=order.__getitem__)))

    def grad_x1(g: Any) -> Any:  # axes: free of x1, then the summed ones in the order of over2 sorted
        summed = sorted(range(len(over2)), key=over2.__getitem__)
        grad = xp.tensordot(g, x2, axes=(list(range(len(free1), g.ndim)), free2))
        return back(grad, free1 + [over1[i] for i in summed])

    def grad_x2(g: Any) -> Any:
        summed = sorted(range(len(over1)), key=over1.__getitem__)
        grad = xp.tensordot(x1, g, axes=(free1, list(range(len(free1)))))
        return back(grad, [over2[i] for i in summed] + free2)

    return xp.tensordot(x1, x2, axes=axes), (grad_x1, grad_x2)


FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
ACTIVATIONS: dict[str, tuple[Any, dict]] = {"relu": (relu, {}), "gelu": (gelu, {"approximate": "tanh"})}


@primitive
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
