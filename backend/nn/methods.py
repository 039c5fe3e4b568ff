"""Methods of `Tensor` that only PyTorch has, with PyTorch's meaning, which are operations of neural networks."""

from __future__ import annotations

from ..array.methods import in_place, method
from ..array.torch_methods import torch_method
from ..device import dtypes
from ..device.numeric import as_dtype
from ..tape.tensor import DType, Tensor
from . import activation

__all__: list[str] = []


def _floating(x: Tensor, dtype: DType = None) -> Tensor:
    if dtype is not None:
        return x.to(as_dtype(dtype))
    return x if dtypes.is_real_floating(x.dtype) else x.to(dtypes.get_default_dtype())


@torch_method
def relu(self: Tensor) -> Tensor:
    """The greater of x and 0."""
    return activation.relu(self)


@torch_method
def sigmoid(self: Tensor) -> Tensor:
    """The logistic function 1 / (1 + exp −x)."""
    return activation.sigmoid(_floating(self))


@torch_method
def erf(self: Tensor) -> Tensor:
    """The error function 2/√π ∫₀ˣ exp(−t²) dt."""
    return activation.erf(_floating(self))


@torch_method
def softmax(self: Tensor, dim: int, dtype: DType = None) -> Tensor:
    """Softmax yᵢ = exp xᵢ / Σⱼ exp xⱼ along an axis."""
    x = _floating(self, dtype)
    return activation.softmax(x, axis=dim) if x.ndim else activation.softmax(x.reshape(1), axis=dim).reshape(())


@torch_method
def log_softmax(self: Tensor, dim: int, dtype: DType = None) -> Tensor:
    """Logarithm of the softmax, yᵢ = xᵢ − ln Σⱼ exp xⱼ along an axis."""
    x = _floating(self, dtype)
    return activation.log_softmax(x, axis=dim) if x.ndim else activation.log_softmax(x.reshape(1), axis=dim).reshape(())


for function in (relu, sigmoid):
    method(in_place(function, f"{function.__name__}_"))
