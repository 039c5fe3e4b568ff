"""Activations that draw random numbers in training, as in `torch.nn`."""

from __future__ import annotations

from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional.stochastic import bounds
from .module import Layer

__all__ = ["RReLU"]


class RReLU(Layer):
    """Randomised leaky rectified linear unit: x where x > 0, a · x elsewhere.

    In training a is drawn from U(lower, upper) for each element; in evaluation it is their mean.

    Parameters
    ----------
    lower : float, default 1/8
        Least slope.
    upper : float, default 1/3
        Largest slope.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Raises
    ------
    ValueError
        If `lower` exceeds `upper`.

    References
    ----------
    Xu et al., "Empirical Evaluation of Rectified Activations in Convolutional Network" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.RReLU(0.25, 0.75).eval()(weft.tensor([-1.0, 2.0]))
    tensor([-0.5,  2. ])
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False):
        bounds(lower, upper)
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * self.inplace
