"""A dense layer: the bias is added where the product lies, and gradients go straight to where they belong."""

from __future__ import annotations

import math
from typing import Any

from ...kernels import activation as kernels
from ...kernels.launch import FLOATS, namespace
from .. import linear
from ..gemm import matmul as gemm
from . import replaces


@replaces(linear.linear)
def _(x: Any, weight: Any, bias: Any = None, /) -> Any:
    if x.dtype not in FLOATS or any(a is not None and a.dtype != x.dtype for a in (weight, bias)):
        return NotImplemented
    xp = namespace(x)
    y = gemm(xp, x, weight.T)
    if bias is not None:
        y = kernels.forward(y, "Identity", bias, out=y)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g2 = g.reshape(math.prod(g.shape[:-1]), g.shape[-1])
        grad_x = gemm(xp, g, weight) if need[0] else None
        grad_weight = gemm(xp, g2.T, x.reshape(len(g2), x.shape[-1]), out=into[1]) if need[1] else None
        grad_bias = kernels.column_sums(g2, out=into[2]) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp
