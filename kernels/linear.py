"""A dense layer's products with what comes after them: the bias, an activation, the gradient of the bias.

One call of cublasLt where it has an algorithm, which saves a pass over the result for each; elsewhere the product, then
the kernels of `activation.cu`. It has none for empty matrices, and may have none for an odd alignment.
"""

from __future__ import annotations

from typing import Any

from . import activation
from .gemm import fused, gemm
from .toolchain.cublas import AUX, BGRADB, BIAS, GELU, RELU
from .toolchain.launch import contiguous, empty

__all__ = ["forward", "gradients"]

_EPILOGUES = {"Identity": 0, "Relu": RELU, "GeluTanh": GELU}


def forward(x: Any, weight: Any, bias: Any = None, function: str = "Identity", *, keep: bool = True) -> tuple[Any, Any]:
    """(y, saved): y = f(x Wᵀ + b) for x (rows, in), W (out, in), b (out) or None; f is Identity, Relu or GeluTanh.

    `saved` is what `activation.backward` wants: y, or for GeluTanh z = x Wᵀ + b, perhaps None without `keep`.
    """
    is_gelu = function == "GeluTanh"
    y = empty((len(x), len(weight)), x.dtype, like=x)
    z = empty(y.shape, y.dtype, like=x) if is_gelu and keep else None
    bias = contiguous(bias)
    epilogue = _EPILOGUES[function] | BIAS * (bias is not None) | AUX * (z is not None)
    can_store = z is None or len(weight) % 8 == 0  # cublasLt's condition
    if epilogue and can_store and fused(x, weight.T, epilogue, bias, z, out=y):
        return y, z if is_gelu else y
    if is_gelu:
        z = gemm(x, weight.T, out=z)
        z = z if bias is None else activation.forward(z, "Identity", bias, out=z)
        return activation.forward(z, function, out=y), z
    gemm(x, weight.T, out=y)
    return (activation.forward(y, function, bias, out=y) if epilogue else y), y


def gradients(g: Any, x: Any, *, out: Any = None, summed: Any = False) -> tuple[Any, Any]:
    """(gᵀ x, Σ g over the rows) for g (rows, out) and x (rows, in): the gradients of weight and bias.

    The first is written to `out` if given. The second is None unless `summed`: True, or contiguous memory that it is
    written to. Both may be float32 where g is half precision.
    """
    weight = empty((g.shape[1], x.shape[1]), g.dtype, like=g) if out is None else out
    if summed is False:
        return gemm(g.T, x, out=weight), None
    bias = empty(g.shape[1], g.dtype, like=g) if summed is True else summed
    if bias.dtype == weight.dtype and fused(g.T, x, BGRADB, bias, out=weight):
        return weight, bias
    return gemm(g.T, x, out=weight), activation.column_sums(g, out=bias)
