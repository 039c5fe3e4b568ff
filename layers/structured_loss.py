"""Losses of pairs, triplets, sequences and several labels as modules, as in `torch.nn`; the formulas are in `functional`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor
from . import functional as F
from .loss import NLLLoss, _Loss, _WeightedLoss
from .similarity import PairwiseDistance

__all__ = [
    "CTCLoss",
    "CosineEmbeddingLoss",
    "GaussianNLLLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "NLLLoss2d",
    "PoissonNLLLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class _OfThree(_Loss):
    """A loss of three Tensors; the call says so to type checkers alone."""

    if TYPE_CHECKING:

        def __call__(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor: ...  # type: ignore[override]


class MarginRankingLoss(_OfThree):
    """Which of two should rank higher: max(0, margin − y (x₁ − x₂)) with y = ±1.

    Parameters
    ----------
    margin : float, default 0.0
        By how much it should.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.MarginRankingLoss()(weft.tensor([0.5]), weft.tensor([0.75]), weft.tensor([1])).item()
    0.25
    """

    def __init__(
        self, margin: float = 0.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ):
        super().__init__(size_average, reduce, reduction)
        number("margin", margin)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class CosineEmbeddingLoss(_OfThree):
    """Angles of pairs that are alike or not: 1 − cos where y = 1, max(0, cos − margin) where y = −1.

    Shapes: x₁, x₂ (N, D) or (D,), y (N,) or ().

    Parameters
    ----------
    margin : float, default 0.0
        The cosine that pairs that are not alike may have.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the pairs, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> x, y = weft.tensor([[1.0, 0.0]]), weft.tensor([[0.0, 1.0]])
    >>> nn.CosineEmbeddingLoss()(x, y, weft.tensor([1])).item()
    1.0
    """

    def __init__(
        self, margin: float = 0.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ):
        super().__init__(size_average, reduce, reduction)
        number("margin", margin)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_OfThree):
    """A positive should be nearer than a negative: max(0, d(a, p) − d(a, n) + margin), d(x, y) = ‖x − y + eps‖ₚ.

    Parameters
    ----------
    margin : float, default 1.0
        By how much, positive.
    p : float, default 2.0
        Exponent of the norm.
    eps : float, default 1e-6
        Added to the difference, so that no distance is 0.
    swap : bool, default False
        Whether the negative's distance from the positive counts where that is smaller.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the triplets, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> a, p, n = (weft.tensor([[x]]) for x in (0.0, 0.5, 1.0))
    >>> round(nn.TripletMarginLoss()(a, p, n).item(), 3)
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        number("margin", margin, above=0)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(_OfThree):
    """`TripletMarginLoss` with any distance d: max(0, d(a, p) − d(a, n) + margin).

    Parameters
    ----------
    distance_function : callable, optional
        d, of two Tensors; `PairwiseDistance()` unless given.
    margin : float, default 1.0
        By how much, positive.
    swap : bool, default False
        Whether the negative's distance from the positive counts where that is smaller.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the triplets, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> a, p, n = (weft.tensor([[x]]) for x in (0.0, 0.5, 1.0))
    >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=lambda x, y: abs(x - y).sum(axis=-1))
    >>> loss(a, p, n).item()
    0.5
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ):
        super().__init__(reduction=reduction)
        number("margin", margin, above=0)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class GaussianNLLLoss(_OfThree):
    """Negative log-likelihood of y under Gaussians of means x and variances v: ½ (ln v + (y − x)²/v).

    Parameters
    ----------
    full : bool, default False
        Whether to add ½ ln 2π.
    eps : float, default 1e-6
        The least that a variance counts as.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.GaussianNLLLoss()(weft.tensor([1.0]), weft.tensor([3.0]), weft.tensor([1.0])).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        number("eps", eps, 0)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts y under Poisson distributions: eˣ − y x of logarithms x of rates.

    Parameters
    ----------
    log_input : bool, default True
        False takes the rates themselves: x − y ln(x + eps).
    full : bool, default False
        Whether to add Stirling's y ln y − y + ½ ln 2πy ≈ ln y! where y > 1.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    eps : float, default 1e-8
        Keeps the logarithm from −∞.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> nn.PoissonNLLLoss()(weft.tensor([0.0]), weft.tensor([2.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        number("eps", eps)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """Every label should win against every class that is none: Σ_j Σ_{i no label} max(0, 1 − x[y_j] + x[i]) / C.

    Shapes: x and the labels y, which end before the first −1 of a row, (N, C) or (C,).

    Parameters
    ----------
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the examples, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> x, y = weft.tensor([0.0, 0.25, 0.5, 1.0]), weft.tensor([3, 0, -1, 1])
    >>> nn.MultiLabelMarginLoss()(x, y).item()
    0.875
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """Each class yes or no: the mean over the classes of −w (y ln σ(x) + (1 − y) ln(1 − σ(x))).

    Parameters
    ----------
    weight : Tensor, optional
        w (C,), of the classes; a buffer.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the examples, or the loss of each.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes do not fit.

    Examples
    --------
    >>> from weft import layers as nn
    >>> round(nn.MultiLabelSoftMarginLoss()(weft.zeros((1, 3)), weft.tensor([[1, 0, 1]])).item(), 3)
    0.693
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class CTCLoss(_Loss):
    """Connectionist temporal classification: −ln of the probability of all alignments of a target with a sequence.

    In the gradient PyTorch's convention holds, which is right through `log_softmax`: see `functional.ctc_loss`.

    Parameters
    ----------
    blank : int, default 0
        The class that stands for no label.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides each loss by its target's length, 1 at least, and takes the mean over the batch.
    zero_infinity : bool, default False
        Whether a target that is too long for its input has loss and gradient 0, not ∞ and NaN.

    Raises
    ------
    ValueError
        If an option is out of range; in a call, if the shapes or lengths do not fit, or a target holds the blank.

    References
    ----------
    Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural
    Networks" (2006).

    Examples
    --------
    >>> from weft import layers as nn
    >>> x = nn.functional.log_softmax(weft.zeros((5, 2, 4)), 2)
    >>> nn.CTCLoss()(x, weft.tensor([[1, 2], [3, 3]]), [5, 4], [2, 2]).shape
    ()
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(reduction=reduction)
        integer("blank", blank, 0)
        self.blank = blank
        self.zero_infinity = zero_infinity

    if TYPE_CHECKING:

        def __call__(  # type: ignore[override]
            self,
            log_probs: Tensor,
            targets: Tensor,
            input_lengths: Tensor | Sequence[int] | int,
            target_lengths: Tensor | Sequence[int] | int,
        ) -> Tensor: ...

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor | Sequence[int] | int,
        target_lengths: Tensor | Sequence[int] | int,
    ) -> Tensor:
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


class NLLLoss2d(NLLLoss):
    """PyTorch's deprecated name of `NLLLoss`, which takes (N, C, …) itself.

    Parameters
    ----------
    *args, **kwargs : Any
        As of `NLLLoss`.

    Examples
    --------
    >>> from weft import layers as nn
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     loss = nn.NLLLoss2d()
    >>> isinstance(loss, nn.NLLLoss)
    True
    """

    def __init__(self, *args: Any, **kwargs: Any):
        warnings.warn("`NLLLoss2d` is deprecated: say NLLLoss, which is the same", FutureWarning, stacklevel=2)
        super().__init__(*args, **kwargs)
