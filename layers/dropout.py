"""Dropout and its relatives: parts of a network left out at random while it trains, and nothing in evaluation.

What is kept is divided by the probability of keeping it, so that expectations agree. Masks come from weft's default
generator.
"""

from __future__ import annotations

from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from .functional import _check as check
from .linear import Linear
from .module import Layer

__all__ = ["DropConnect", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "StochasticDepth"]


class _Dropout(Layer):
    def __init__(self, p: float = 0.5, inplace: bool = False):
        check.probability("p", p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each element 0 with probability p, else x/(1 − p), while training; x itself in evaluation. As `torch.nn.Dropout`.

    Parameters
    ----------
    p : float, default 0.5
        Probability that an element is dropped.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1].

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).

    Examples
    --------
    >>> from weft import layers as nn
    >>> sorted(set(nn.Dropout(0.5)(weft.ones(100)).tolist()))
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """`Dropout` of whole channels of x (N, C, L) or (C, L), as `torch.nn.Dropout1d`.

    Parameters
    ----------
    p : float, default 0.5
        Probability that a channel is dropped.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1], or x has another number of axes.

    References
    ----------
    Tompson et al., "Efficient Object Localization Using Convolutional Networks" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> y = nn.Dropout1d(0.5)(weft.ones((2, 3, 4)))
    >>> set(y.sum(axis=-1).flatten().tolist()) <= {0.0, 8.0}
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """`Dropout` of whole channels of x (N, C, H, W) or (C, H, W), as `torch.nn.Dropout2d`.

    Parameters
    ----------
    p : float, default 0.5
        Probability that a channel is dropped.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1], or x has another number of axes.

    References
    ----------
    Tompson et al., "Efficient Object Localization Using Convolutional Networks" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> y = nn.Dropout2d(0.5)(weft.ones((2, 3, 2, 2)))
    >>> set(y.sum(axis=(-2, -1)).flatten().tolist()) <= {0.0, 8.0}
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """`Dropout` of whole channels of x (N, C, D, H, W) or (C, D, H, W), as `torch.nn.Dropout3d`.

    Parameters
    ----------
    p : float, default 0.5
        Probability that a channel is dropped.
    inplace : bool, default False
        Whether the result is written to x, which is returned.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1], or x has another number of axes.

    References
    ----------
    Tompson et al., "Efficient Object Localization Using Convolutional Networks" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> y = nn.Dropout3d(0.5)(weft.ones((2, 3, 2, 2, 2)))
    >>> set(y.sum(axis=(-3, -2, -1)).flatten().tolist()) <= {0.0, 16.0}
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class DropConnect(Linear):
    """A `Linear` layer that drops weights rather than outputs: y = x (M ∘ W)ᵀ / (1 − p) + b, one mask M for each call.

    In evaluation y = x Wᵀ + b. (Not in PyTorch.)

    Parameters
    ----------
    in_features : int
        Length of the last axis of x.
    out_features : int
        Length of the last axis of y.
    bias : bool, default True
        Whether b is learned; otherwise there is none.
    p : float, default 0.5
        Probability that a weight is dropped.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1].

    Notes
    -----
    The paper draws a mask for each example, and samples in evaluation; here the weights are not dropped then, as in
    dropout.

    References
    ----------
    Wan et al., "Regularization of Neural Networks using DropConnect" (2013).

    Examples
    --------
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
        dtype: DType = None,
    ):
        check.probability("p", p)
        super().__init__(in_features, out_features, bias, device=device, dtype=dtype)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, F.dropout(self.weight, self.p, self.training), self.bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"


class StochasticDepth(Layer):
    """Each example x[n] 0 with probability p, else x[n]/(1 − p), while training; x itself in evaluation.

    To end a residual branch with: `Residual(Sequential(…, StochasticDepth(0.1)))`. As
    `torchvision.ops.StochasticDepth`.

    Parameters
    ----------
    p : float
        Probability that an example is dropped.
    mode : {"row", "batch"}, default "row"
        Whether each example is drawn for itself, or one draw decides for the batch.

    Raises
    ------
    ValueError
        If `p` is outside [0, 1], or `mode` is another word.

    References
    ----------
    Huang et al., "Deep Networks with Stochastic Depth" (2016).

    Examples
    --------
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
