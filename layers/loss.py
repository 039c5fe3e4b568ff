"""Losses as modules, as in `torch.nn`; the functions and their formulas are in `functional`.

`reduction` is "mean", "sum" or "none"; `size_average` and `reduce` are PyTorch's deprecated way of saying it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backend.device.options import integer, number
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
    """A module of two Tensors, the input and its target, that gives one; the call says so to type checkers alone."""

    reductions: tuple[str, ...] = REDUCTIONS

    if TYPE_CHECKING:

        def __call__(self, input: Tensor, target: Tensor) -> Tensor: ...

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"):
        for name, value in (("size_average", size_average), ("reduce", reduce)):
            if not isinstance(value, bool | None):
                raise TypeError(
                    f"`{name}` must be True, False or None, got {value!r}; perhaps reduction={value!r} is meant"
                )
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
    """Squared error: (x − y)².

    The convention of many textbooks, ½ (x − y)², whose gradient is x − y, is half of it: `0.5 * nn.MSELoss()(x, y)`;
    and summed over outputs but averaged over the N examples: `0.5 * nn.MSELoss(reduction="sum")(x, y) / N`.

    Parameters
    ----------
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.MSELoss()(weft.tensor([1.0, 2.0]), weft.tensor([1.0, 4.0])).item()
    2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """Absolute error: |x − y|.

    Parameters
    ----------
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.L1Loss()(weft.tensor([1.0, 2.0]), weft.tensor([1.0, 4.0])).item()
    1.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """Squared error near 0, absolute error far away: ½ (x − y)² where |x − y| ≤ δ, δ (|x − y| − δ/2) beyond.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    delta : float, default 1.0
        δ, positive: where the parabola becomes a straight line.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if `delta` is not positive or the shapes do not fit.

    References
    ----------
    Huber, "Robust Estimation of a Location Parameter" (1964).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.HuberLoss(reduction="none")(weft.tensor([0.5, 3.0]), weft.zeros(2))
    tensor([0.125, 2.5  ])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction)
        number("delta", delta, above=0)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(_Loss):
    """Huber's loss over β: (x − y)² / (2β) where |x − y| < β, |x − y| − β/2 beyond.

    Parameters
    ----------
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    beta : float, default 1.0
        β, not negative: where the parabola becomes a straight line; 0 gives |x − y|.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if `beta` is negative or the shapes do not fit.

    References
    ----------
    Girshick, "Fast R-CNN" (2015).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.SmoothL1Loss(reduction="none")(weft.tensor([0.5, 3.0]), weft.zeros(2))
    tensor([0.125, 2.5  ])
    """

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0
    ):
        super().__init__(size_average, reduce, reduction)
        number("beta", beta, 0)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities x: −w (y ln x + (1 − y) ln(1 − x)).

    Logarithms are cut off at −100, as in PyTorch. Of logits, `BCEWithLogitsLoss` is faster and more accurate.

    Parameters
    ----------
    weight : Tensor, optional
        w, which broadcasts to the shape of x. It is a buffer: it moves with the module.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.BCELoss(reduction="none")(weft.tensor([0.5, 0.0]), weft.tensor([1.0, 1.0])).numpy().round(3)
    array([  0.693, 100.   ], dtype=float32)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross-entropy of logits x: −w (p y ln σ(x) + (1 − y) ln(1 − σ(x))).

    Its gradient, without weights, is σ(x) − y.

    Parameters
    ----------
    weight : Tensor, optional
        w, which broadcasts to the shape of x. It is a buffer: it moves with the module.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    pos_weight : Tensor, optional
        p, of the positive examples of each class; broadcasts to the shape of x. A buffer, too.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
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
    """Cross-entropy of logits x: −Σ_c w_c q_c ln softmax(x)_c.

    Logits are (N, C), (C,) or (N, C, …). The target holds class indices (N), () or (N, …), or probabilities q in the
    shape of x. The gradient for one example is softmax(x) − q.

    Parameters
    ----------
    weight : Tensor, optional
        w (C), of the classes. It is a buffer: it moves with the module.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    ignore_index : int, default -100
        The class index that does not count.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by Σ w[y]; "none" gives the loss of each example.
    label_smoothing : float, default 0.0
        ε in [0, 1]: q ← (1 − ε) q + ε/C.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if `label_smoothing` is outside [0, 1] or the shapes do not fit.

    Examples
    --------
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
        integer("ignore_index", ignore_index)
        self.ignore_index = ignore_index
        check.probability("label_smoothing", label_smoothing)
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
    """Negative log-likelihood −w[y] x[y] of log-probabilities x and class indices y.

    Log-probabilities are (N, C), (C,) or (N, C, …), class indices (N), () or (N, …).

    Parameters
    ----------
    weight : Tensor, optional
        w (C), of the classes. It is a buffer: it moves with the module.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    ignore_index : int, default -100
        The class index that does not count.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by Σ w[y]; "none" gives the loss of each example.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.NLLLoss()(weft.tensor([[-3.0, -0.05]]), weft.tensor([0])).item()
    3.0
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, size_average, reduce, reduction)
        integer("ignore_index", ignore_index)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class KLDivLoss(_Loss):
    """Kullback–Leibler divergence KL(y ‖ eˣ) of log-probabilities x: y (ln y − x).

    Parameters
    ----------
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "batchmean" divides the sum by the length of the first axis, which gives the divergence; "mean" by the
        number of elements (PyTorch warns of this at each call, weft does not).
    log_target : bool, default False
        Whether the target is ln y.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.KLDivLoss(reduction="batchmean")(weft.zeros((1, 2)), weft.tensor([[1.0, 0.0]])).item()
    0.0
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
    """Hinge loss of a support-vector machine: max(0, 1 − y x) with y = ±1.

    (Not in PyTorch.)

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    References
    ----------
    Cortes & Vapnik, "Support-Vector Networks" (1995).

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.HingeLoss(reduction="none")(weft.tensor([0.5, 1.0]), weft.tensor([1, 1]))
    tensor([0.5, 0. ])
    """

    def __init__(self, reduction: str = "mean"):
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_loss(input, target, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """Logistic regression with signs for labels: ln(1 + exp(−y x)) with y = ±1.

    Parameters
    ----------
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> round(nn.SoftMarginLoss()(weft.tensor([0.0]), weft.tensor([1])).item(), 3)
    0.693
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class HingeEmbeddingLoss(_Loss):
    """Distances x of pairs that are alike or not: x where y = 1, max(0, margin − x) where y = −1.

    Parameters
    ----------
    margin : float, default 1.0
        How far apart pairs that are not alike should be.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.HingeEmbeddingLoss(reduction="none")(weft.tensor([0.25, 0.25]), weft.tensor([1, -1]))
    tensor([0.25, 0.75])
    """

    def __init__(
        self, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ):
        super().__init__(size_average, reduce, reduction)
        number("margin", margin)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """Hinge loss of several classes: w[y] Σ_{j ≠ y} max(0, margin − x[y] + x[j])ᵖ / C.

    Scores x are (N, C) or (C,), class indices y (N) or ().

    Parameters
    ----------
    p : {1, 2}, default 1
        The exponent.
    margin : float, default 1.0
        By how much the right class should win.
    weight : Tensor, optional
        w (C), of the classes. It is a buffer: it moves with the module.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the examples, or the loss of each.

    Raises
    ------
    ValueError
        If `reduction` is another word; in a call, if `p` is neither 1 nor 2 or the shapes do not fit.

    References
    ----------
    Weston & Watkins, "Support Vector Machines for Multi-Class Pattern Recognition" (1999), for p = 1.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.MultiMarginLoss()(weft.tensor([[0.5, 0.25]]), weft.tensor([0])).item()
    0.375
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
        check.one_of("p", p, (1, 2))
        number("margin", margin)
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)
