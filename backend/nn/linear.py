"""The affine map of a dense layer, with its activation."""

from __future__ import annotations

import math
from typing import Any

from ..array.sums import total
from ..device.gemm import gemm
from ..tape.autograd import primitive
from .activation import gelu, relu

__all__ = ["linear"]

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
        grad_bias = total(xp, g2, 0) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp
