"""Dropout and its relatives: parts of a network left out at random while it trains, and nothing in evaluation.

What is kept is divided by the probability of keeping it, so that expectations agree. Masks come from weft's default
generator.
"""

from __future__ import annotations

from numpy.typing import DTypeLike

from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .linear import Linear
from .module import Layer

__all__ = ["DropConnect", "Dropout", "Dropout1d", "Dropout2d", "StochasticDepth"]


class _Dropout(Layer):
    def __init__(self, p: float = 0.5, inplace: bool = False):
        check.probability("p", p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Training: each element 0 with probability p, else x/(1 − p). Evaluation: x. As `torch.nn.Dropout`.

    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014). (`inplace` changes
    nothing.)

    >>> from weft import layers as nn
    >>> sorted(set(nn.Dropout(0.5)(weft.ones(100)).tolist()))
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout1d(_Dropout):
    """`Dropout` of whole channels of x (N, C, L) or (C, L), as `torch.nn.Dropout1d`. Tompson et al. (2015)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training)


class Dropout2d(_Dropout):
    """`Dropout` of whole channels of x (N, C, H, W) or (C, H, W), as `torch.nn.Dropout2d`. Tompson et al. (2015)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)


class DropConnect(Linear):
    """A `Linear` layer that drops weights rather than outputs: y = x (M ∘ W)ᵀ / (1 − p) + b, one mask M for each call.

    Wan et al., "Regularization of Neural Networks using DropConnect" (2013). They draw a mask for each example, and
    sample at evaluation; here weights are not dropped then, as in dropout. (Not in PyTorch.)

    >>> from weft import layers as nn
    >>> nn.DropConnect(3, 4, p=0.5)(weft.ones((2, 3))).shape
    (2, 4)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        *,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ):
        check.probability("p", p)
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, F.dropout(self.weight, self.p, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"


class StochasticDepth(Layer):
    """Training: each example x[n] of a residual branch is 0 with probability p, else x[n]/(1 − p). Evaluation: x.

    To end a branch with: `Residual(Sequential(…, StochasticDepth(0.1)))`. With `mode="batch"` all examples share their
    fate. As `torchvision.ops.StochasticDepth`. Huang et al., "Deep Networks with Stochastic Depth" (2016).

    >>> from weft import layers as nn
    >>> nn.StochasticDepth(0.5).eval()(weft.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, p: float, mode: str = "row"):
        check.probability("p", p)
        check.one_of("mode", mode, ("row", "batch"))
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.p:
            return input
        shared = (1,) * input.ndim if self.mode == "batch" else (input.shape[0],) + (1,) * (input.ndim - 1)
        return F.drop_shared(input, shared, self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"
