"""The last projection of a classifier and its loss in one module, as `torch.nn.LinearCrossEntropyLoss`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..backend.tape.tensor import DType, Tensor
from . import functional as F
from .functional import _check as check
from .linear import Linear
from .loss import _WeightedLoss

__all__ = ["LinearCrossEntropyLoss", "LinearCrossEntropyOptions"]


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """PyTorch's options of its chunked path, taken so that programs run as they are; they change nothing here.

    `linear_cross_entropy` has one path: it chooses its sizes itself, adds up in float32, and what PyTorch's chunked path
    cannot do (several backward passes, derivatives of derivatives) it can.

    Parameters
    ----------
    allow_retain_graph : bool, default False
        Always so.
    batch_chunk_size : int, optional
        Chosen by the size of the cache.
    chunking_method : str, default "auto"
        As above.
    acc_policy : {"auto", "accurate", "balanced", "compact"}, default "auto"
        Always accurate.
    acc_dtype : data-type, optional
        Always float32, or float64.

    Raises
    ------
    ValueError
        If one of them is what PyTorch refuses.

    Examples
    --------
    >>> nn.LinearCrossEntropyOptions(batch_chunk_size=512).acc_policy
    'auto'
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType = None

    def __post_init__(self) -> None:
        check.one_of("acc_policy", self.acc_policy, ("auto", "accurate", "balanced", "compact"))
        name, colon, factor = (self.chunking_method or "auto").partition(":")
        if not (name == "auto" and not colon) and not (
            name == "aspect_ratio" and (not colon or (factor.isdigit() and int(factor) > 0))
        ):
            raise ValueError(
                f"`chunking_method` must be 'auto', 'aspect_ratio', 'aspect_ratio:N' or None, got {self.chunking_method!r}"
            )
        size: Any = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"`batch_chunk_size` must be a positive int or None, got {size!r}")


class LinearCrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of the logits x Wᵀ + b, which are never in memory; W and b are parameters of this module.

    Inputs are (N, in) or (in,), targets as for `functional.linear_cross_entropy`.

    Parameters
    ----------
    in_features : int
        Length of the last axis of x.
    num_classes : int
        C.
    out_features : tuple of int, default ()
        (d₁, …): so many losses for each row of x.
    bias : bool, default False
        Whether there is a b.
    device : str, optional
        Where the parameters are made; weft's default device unless given.
    dtype : data-type, optional
        Real floating-point dtype of the parameters; weft's default dtype unless given.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by Σ w[y]; "none" gives the loss of each example.
    weight : Tensor, optional
        w (C), of the classes. It is a buffer: it moves with the module.
    ignore_index : int, optional
        The class index that does not count, −100 unless given.
    label_smoothing : float, default 0.0
        ε in [0, 1]: q ← (1 − ε) q + ε/C.
    options : LinearCrossEntropyOptions, optional
        PyTorch's; they change nothing.

    Attributes
    ----------
    linear : Linear
        Of shape (C·d₁·…, in). For tied weights, `loss.linear.weight = embedding.weight`.

    Raises
    ------
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> loss = nn.LinearCrossEntropyLoss(8, 100)
    >>> loss(weft.randn(6, 8), weft.tensor([0, 99, 5, 5, 7, 1])).shape
    ()
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: str | None = None,
        dtype: DType = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ):
        if weight is not None:
            check.shape("weight", weight, (num_classes,))
        check.probability("label_smoothing", label_smoothing)
        super().__init__(weight, reduction=reduction)
        self.num_classes, self.out_features = num_classes, tuple(out_features)
        self.ignore_index, self.label_smoothing, self.options = ignore_index, label_smoothing, options
        outputs = num_classes * math.prod(self.out_features)
        self.linear = Linear(in_features, outputs, bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        weight: Tensor = self.linear.weight
        bias: Tensor | None = self.linear.bias
        if self.out_features:
            weight = weight.reshape(self.num_classes, *self.out_features, self.linear.in_features)
            bias = None if bias is None else bias.reshape(self.num_classes, *self.out_features)
        return F.linear_cross_entropy(
            input,
            weight,
            target,
            linear_bias=bias,
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, out_features={self.out_features}, "
            f"bias={self.linear.bias is not None}, reduction={self.reduction!r}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )
