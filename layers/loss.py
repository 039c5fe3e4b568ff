"""Losses as modules, as in `torch.nn`; the functions and their formulas are in `functional`.

`reduction` is "mean", "sum" or "none"; `size_average` and `reduce` are PyTorch's deprecated way of saying it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backend.tape.tensor import Tensor
from . import functional as F
from .functional import _check as check
from .functional.loss import REDUCTIONS, legacy_reduction
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
]


class _Loss(Module):
    if TYPE_CHECKING:

        def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

    reductions: tuple[str, ...] = REDUCTIONS

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"):
        self.reduction = legacy_reduction(size_average, reduce, reduction)
        check.one_of("reduction", self.reduction, self.reductions)


class _WeightedLoss(_Loss):
    """The weight is a buffer, so that it moves with the module."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """(x − y)², averaged over all elements unless `reduction` says otherwise.

    The convention of many textbooks, ½ (x − y)², whose gradient is x − y, is half of it: `0.5 * nn.MSELoss()(x, y)`;
    and summed over outputs but averaged over the N examples: `0.5 * nn.MSELoss(reduction="sum")(x, y) / N`.

    >>> from weft import layers as nn
    >>> nn.MSELoss()(weft.tensor([1.0, 2.0]), weft.tensor([1.0, 4.0])).item()
    2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|x − y|, averaged over all elements unless `reduction` says otherwise: the mean absolute error."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """½ (x − y)² where |x − y| ≤ δ, δ (|x − y| − δ/2) beyond. Huber, "Robust estimation of a location" (1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(_Loss):
    """(x − y)² / (2β) where |x − y| < β, |x − y| − β/2 beyond. Girshick, "Fast R-CNN" (2015)."""

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0
    ):
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class BCELoss(_WeightedLoss):
    """Binary cross-entropy −w (y ln x + (1 − y) ln(1 − x)) of probabilities x.

    Logarithms are cut off at −100, as in PyTorch. Of logits, `BCEWithLogitsLoss` is faster and more accurate.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross-entropy −w (p y ln σ(x) + (1 − y) ln(1 − σ(x))) of logits x; p is `pos_weight`.

    Its gradient, without weights, is σ(x) − y.

    >>> from weft import layers as nn
    >>> nn.BCEWithLogitsLoss()(weft.tensor([1e4, -1e4]), weft.tensor([1.0, 0.0])).item()
    0.0
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy −Σ_c w_c q_c ln softmax(x)_c of logits x (N, C), (C,) or (N, C, …).

    `target` holds class indices (N), () or (N, …), of which `ignore_index` does not count, or probabilities q in the
    shape of x. Label smoothing ε makes q ← (1 − ε) q + ε/C. The mean divides by the sum of the targets' weights. Its
    gradient for one example is softmax(x) − q.

    >>> from weft import layers as nn
    >>> nn.CrossEntropyLoss()(weft.tensor([[0.0, 100.0]]), weft.tensor([1])).item()
    0.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """−w[y] x[y] of log-probabilities x (N, C), (C,) or (N, C, …) and class indices y; the mean divides by Σ w[y]."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class KLDivLoss(_Loss):
    """y (ln y − x) of log-probabilities x; `reduction="batchmean"` gives the Kullback–Leibler divergence KL(y ‖ eˣ).

    With `log_target`, the target is ln y. "mean" is over all elements.
    """

    reductions = (*REDUCTIONS, "batchmean")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ):
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class HingeLoss(_Loss):
    """max(0, 1 − y x) with y = ±1, of a support-vector machine. (Not in PyTorch.) Cortes & Vapnik (1995).

    >>> from weft import layers as nn
    >>> nn.HingeLoss(reduction="none")(weft.tensor([0.5, 1.0]), weft.tensor([1, 1]))
    tensor([0.5, 0. ])
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_loss(input, target, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """ln(1 + exp(−y x)) with y = ±1: logistic regression with signs for labels."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """x where y = 1, max(0, margin − x) where y = −1: for distances x between pairs that are alike or not."""

    def __init__(
        self, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """w[y] Σ_{j ≠ y} max(0, margin − x[y] + x[j])ᵖ / C: the hinge loss of several classes.

    Weston & Watkins, "Support vector machines for multi-class pattern recognition" (1999), for p = 1.
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)
