"""Products: bias and activation come with that of a dense layer, and gradients go straight to where they belong."""

from __future__ import annotations

import math
from typing import Any

from ...kernels import activation as activations
from ...kernels import linear as kernels
from ...kernels.toolchain.launch import FLOATS, library_of
from ..array import products
from ..device.gemm import gemm
from ..nn import linear as primitives
from ..tape.autograd import is_grad_enabled
from . import replaces

FUNCTIONS = {None: "Identity", "relu": "Relu", "gelu": "GeluTanh"}


@replaces(products.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    """Of stacks times one matrix, or stacks of one shape; the gradient of the one matrix is one product."""
    if x1.dtype not in FLOATS or x1.dtype != x2.dtype or min(x1.ndim, x2.ndim) < 2:
        return NotImplemented
    if x2.ndim > 2 and x1.shape[:-2] != x2.shape[:-2]:
        return NotImplemented
    xp = library_of(x1)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        left, right = (x1, g) if x2.ndim > 2 else (_rows(x1), _rows(g))
        grad_x1 = gemm(xp, g, x2.swapaxes(-1, -2), out=into[0]) if need[0] else None
        grad_x2 = gemm(xp, left.swapaxes(-1, -2), right, out=into[1]) if need[1] else None
        return grad_x1, grad_x2

    return gemm(xp, x1, x2), vjp


@replaces(primitives.linear)
def linear(x: Any, weight: Any, bias: Any = None, /, *, activation: str | None = None) -> Any:
    if x.dtype not in FLOATS or any(a is not None and a.dtype != x.dtype for a in (weight, bias)):
        return NotImplemented
    rows, function = _rows(x), FUNCTIONS[activation]
    y, saved = kernels.forward(rows, weight, bias, function, keep=is_grad_enabled())

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = g.reshape(y.shape)
        wants_bias = bias is not None and need[2]
        summed = wants_bias and (True if into[2] is None else into[2])
        grad_x = grad_weight = grad_bias = None
        if activation is not None:  # reads all of g, and so sums it on the way
            g, grad_bias = activations.backward(g, saved, function, summed=summed)
            grad_weight = kernels.gradients(g, rows, out=into[1])[0] if need[1] else None
        elif need[1]:
            grad_weight, grad_bias = kernels.gradients(g, rows, out=into[1], summed=summed)
        elif wants_bias:
            grad_bias = activations.column_sums(g, out=into[2])
        if need[0]:
            grad_x = gemm(library_of(x), g, weight).reshape(x.shape)
        return grad_x, grad_weight, grad_bias

    return y.reshape(*x.shape[:-1], len(weight)), vjp


def _rows(x: Any) -> Any:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
