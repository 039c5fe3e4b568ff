"""Dense layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..backend.array.creation import empty
from ..backend.tape.tensor import DType, Parameter, Tensor
from . import functional as F
from . import init
from .functional import _check as check
from .module import Layer, Module

__all__ = ["Bilinear", "Linear"]


class Linear(Layer):
    """Affine map of the last axis, as `torch.nn.Linear`: y = x Wᵀ + b.

    Shapes: x (…, in_features), `weight` W (out_features, in_features), `bias` b (out_features), y (…, out_features).
    Weight and bias start as U(−1/√in_features, 1/√in_features).

    Parameters
    ----------
    in_features : int
        Length of the last axis of x.
    out_features : int
        Length of the last axis of y.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Linear(3, 4)(weft.ones((2, 3))).shape
    (2, 4)
    """

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, device: str | None = None, dtype: DType = None
    ):
        check.sizes(in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(empty((out_features, in_features), device=device, dtype=dtype))
        self.bias = Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.default_(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def _fused(self, following: Module, input: Tensor) -> Any:
        """With a ReLU or GELU("tanh"), which `functional.linear` applies to its result, unless one of them is observed."""
        name = following._name_in_fusion()
        if name is None or type(self) is not Linear or self._hooks is not None or "forward" in self.__dict__:
            return NotImplemented
        return F.linear(input, self.weight, self.bias, activation=name)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """Bilinear map of the last axes, as `torch.nn.Bilinear`: y_o = x₁ᵀ W_o x₂ + b_o.

    Shapes: x₁ (…, in1_features), x₂ (…, in2_features), `weight` W (out_features, in1_features, in2_features), `bias` b
    (out_features), y (…, out_features). Weight and bias start as U(−1/√in1_features, 1/√in1_features).

    Parameters
    ----------
    in1_features : int
        Length of the last axis of x₁.
    in2_features : int
        Length of the last axis of x₂.
    out_features : int
        Length of the last axis of y.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Bilinear(3, 4, 5)(weft.ones((2, 3)), weft.ones((2, 4))).shape
    (2, 5)
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        device: str | None = None,
        dtype: DType = None,
    ):
        check.sizes(in1_features=in1_features, in2_features=in2_features, out_features=out_features)
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(empty((out_features, in1_features, in2_features), device=device, dtype=dtype))
        self.bias = Parameter(empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(max(1, self.in1_features))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    if TYPE_CHECKING:

        def __call__(self, input1: Tensor, input2: Tensor) -> Tensor: ...

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"
