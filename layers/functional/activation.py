"""Activations, with PyTorch's names and signatures; the formulas stand with the primitives in `backend/activation.py`.

`inplace` is accepted and changes nothing: results are always new memory, which the tape may need.
"""

from __future__ import annotations

import warnings

from numpy.typing import DTypeLike

from ...backend.array.creation import ones_like, zeros_like
from ...backend.array.elementwise import tanh as _tanh
from ...backend.nn import activation as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "heaviside",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swiglu",
    "tanh",
    "threshold",
]


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return primitives.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return primitives.relu6(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, negative_slope · x elsewhere."""
    check.floating("input", input)
    return primitives.leaky_relu(input, negative_slope=negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, w · x elsewhere; `weight` holds one w, or one for each channel (axis 1) of `input`."""
    check.floating("input", input)
    check.same_dtype("input", input, "weight", check.tensor("weight", weight))
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ValueError(
            f"`weight` must have shape (1,) or ({channels},), one for each channel of `input`, got {weight.shape}"
        )
    return primitives.prelu(input, weight if weight.ndim else weight.reshape(1))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError(f"`min_val` must not exceed `max_val`, got {min_val} and {max_val}")
    return primitives.hardtanh(input, min_val=min_val, max_val=max_val)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, `value` elsewhere."""
    return primitives.threshold(input, threshold=threshold, value=value)


def heaviside(input: Tensor, value: float = 1.0) -> Tensor:
    """The unit step: 0 where x < 0, 1 where x > 0, `value` at 0; its gradient is 0. (Not in torch.nn.)"""
    check.floating("input", input)
    return primitives.heaviside(input, value=value)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    check.floating("input", input)
    return primitives.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · hardsigmoid(x)."""
    check.floating("input", input)
    return primitives.hardswish(input)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, α (eˣ − 1) elsewhere."""
    check.floating("input", input)
    return primitives.elu(input, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """λ (x where x > 0, α (eˣ − 1) elsewhere), which keeps mean 0 and variance 1."""
    check.floating("input", input)
    return primitives.selu(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(x, 0) + min(0, α (e^(x/α) − 1))."""
    check.floating("input", input)
    if not alpha:
        raise ValueError(f"`alpha` must not be 0, got {alpha}")
    return primitives.celu(input, alpha=alpha)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)."""
    check.floating("input", input)
    return primitives.sigmoid(input)


def logsigmoid(input: Tensor) -> Tensor:
    """ln(1 / (1 + e⁻ˣ))."""
    check.floating("input", input)
    return primitives.log_sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return _tanh(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x / (1 + e⁻ˣ), also called Swish."""
    check.floating("input", input)
    return primitives.silu(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x), with the error function or, with `approximate="tanh"`, nearly."""
    check.floating("input", input)
    check.one_of("approximate", approximate, ("none", "tanh"))
    return primitives.gelu(input, approximate=approximate)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(ln(1 + eˣ))."""
    check.floating("input", input)
    return primitives.mish(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(βx)) / β, and x itself where βx > threshold."""
    check.floating("input", input)
    return primitives.softplus(input, beta=beta, threshold=threshold)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    check.floating("input", input)
    return primitives.softsign(input)


def _softmax_axis(name: str, input: Tensor, dim: int | None, stacklevel: int) -> int:
    check.floating("input", input)
    if dim is None:  # PyTorch's old rule, with PyTorch's warning
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"`{name}` without `dim` takes axis {dim} for {input.ndim} axes, as PyTorch does; say dim=…",
            stacklevel=stacklevel,
        )
    return dim if not input.ndim and dim in (0, -1) else check.axis("dim", dim, input)


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> Tensor:
    """exp(xᵢ) / Σⱼ exp(xⱼ) along `dim`; computed in `dtype` if given.

    >>> from weft.layers import functional as F
    >>> F.softmax(weft.tensor([[0.0, 0.0]]), dim=1)
    tensor([[0.5, 0.5]])
    """
    input = input if dtype is None else input.to(dtype)
    axis = _softmax_axis("softmax", input, dim, _stacklevel)
    return primitives.softmax(input, axis=axis) if input.ndim else ones_like(input)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> Tensor:
    """xᵢ − ln Σⱼ exp(xⱼ) along `dim`; computed in `dtype` if given."""
    input = input if dtype is None else input.to(dtype)
    axis = _softmax_axis("log_softmax", input, dim, _stacklevel)
    return primitives.log_softmax(input, axis=axis) if input.ndim else zeros_like(input)


def half_length(input: Tensor, dim: int) -> int:
    """Half the length of `input` along `dim`, which must be even."""
    n = input.shape[check.axis("dim", dim, input)]
    if n % 2:
        raise ValueError(f"`input` must have an even length along `dim` = {dim}, to be halved, got shape {input.shape}")
    return n // 2


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a σ(b), where a and b are the halves of x along `dim`."""
    check.floating("input", input)
    half_length(input, dim)
    return primitives.glu(input, axis=dim)


def swiglu(input: Tensor, gate: Tensor) -> Tensor:
    """x · silu(gate), the gated unit of Shazeer, "GLU Variants Improve Transformer" (2020). (Not in PyTorch.)"""
    check.floating("input", input)
    check.shape("gate", gate, input.shape)
    check.same_dtype("gate", gate, "input", input)
    return primitives.swiglu(input, gate)
