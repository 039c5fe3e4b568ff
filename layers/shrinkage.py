"""Shrinkage as modules, as in `torch.nn`; formulas are in the functions of the same names."""

from __future__ import annotations

from ..backend.device.options import number
from ..backend.tape.tensor import Tensor
from . import functional as F
from .module import Layer

__all__ = ["Hardshrink", "Softshrink", "Tanhshrink"]


class Hardshrink(Layer):
    """Hard shrinkage: 0 where |x| ≤ λ, x elsewhere.

    Parameters
    ----------
    lambd : float, default 0.5
        λ.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Hardshrink()(weft.tensor([-1.0, 0.2, 2.0]))
    tensor([-1.,  0.,  2.])
    """

    def __init__(self, lambd: float = 0.5):
        number("lambd", lambd)
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Layer):
    """Soft shrinkage: x − λ where x > λ, x + λ where x < −λ, 0 between.

    Parameters
    ----------
    lambd : float, default 0.5
        λ, at least 0.

    Raises
    ------
    ValueError
        If `lambd` is negative (in PyTorch: in a call).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Softshrink()(weft.tensor([-1.0, 0.2, 2.0]))
    tensor([-0.5,  0. ,  1.5])
    """

    def __init__(self, lambd: float = 0.5):
        number("lambd", lambd, 0)
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Tanhshrink(Layer):
    """Shrinkage by the hyperbolic tangent: x − tanh x.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.Tanhshrink()(weft.tensor([-1.0, 0.0, 2.0])).numpy().round(3)
    array([-0.238,  0.   ,  1.036], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)
