"""Losses, with PyTorch's names and signatures; the formulas stand with the primitives in `backend/nn/loss.py`.

`reduction` is "mean", "sum" or "none"; `size_average` and `reduce` are PyTorch's deprecated way of saying it, with its
warning. Integer and boolean targets are converted to the input's dtype where the loss is arithmetic (PyTorch refuses
some of them).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ...backend.array.manipulation import astype, broadcast_shape
from ...backend.array.reductions import mean, sum
from ...backend.device.dtypes import is_integral, is_real_floating
from ...backend.device.options import integer, number
from ...backend.nn import loss as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]

REDUCTIONS = ("none", "mean", "sum")


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """What the deprecated pair of arguments means, or `reduction` if neither is given."""
    if size_average is None and reduce is None:
        return reduction
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(f"`size_average` and `reduce` are deprecated: say reduction={meant!r}", stacklevel=3)
    return meant


def _prepare(input: Tensor, target: Tensor, reduction: str, *, same_shape: bool, allowed: tuple = REDUCTIONS) -> Tensor:
    """Check the arguments of a pointwise loss; the target in a floating-point dtype."""
    if reduction not in allowed:
        check.one_of("reduction", reduction, allowed)
    check.floating("input", input)
    if check.tensor("target", target).shape != input.shape:
        if same_shape:
            raise ValueError(
                f"`target` must have the shape of `input`, {tuple(input.shape)}, got {tuple(target.shape)}"
            )
        try:
            shape = broadcast_shape(input.shape, target.shape)
        except ValueError:
            wanted = f"a shape that broadcasts with that of `input`, {tuple(input.shape)}"
            raise ValueError(f"`target` must have {wanted}, got {tuple(target.shape)}") from None
        both = f"`target` of shape {tuple(target.shape)} and `input` of shape {tuple(input.shape)}"
        warnings.warn(f"{both} broadcast to {shape}, which is rarely what is meant; reshape one of them", stacklevel=3)
    return astype(target, input.dtype) if is_integral(target.data.dtype) else target


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """What `reduction` makes of the loss of each element."""
    return loss if reduction == "none" else sum(loss) if reduction == "sum" else mean(loss)


def _weighted(loss: Tensor, weight: Tensor, total: Any, reduction: str) -> Tensor:
    check.shape("weight", weight, loss.shape)
    loss = loss * weight
    if reduction == "none":
        return loss
    return sum(loss) if reduction == "sum" else sum(loss) / total


# --- regression -------------------------------------------------------------------------------------------------------
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error: (x − y)².

    The convention ½ (x − y)², whose gradient is x − y, is `0.5 * mse_loss(…)`.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y, in a shape that broadcasts with that of x; a warning says so where it differs.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    weight : Tensor, optional
        Multiplies each element's loss; the mean then divides by Σ weight.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.mse_loss(weft.tensor([1.0, 2.0]), weft.tensor([1.0, 4.0])).item()
    2.0
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=False)
    if weight is None:
        return primitives.mse_loss(input, target, reduction=reduction)
    return _weighted(primitives.mse_loss(input, target, reduction="none"), weight, sum(weight), reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute error: |x − y|.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y, in a shape that broadcasts with that of x; a warning says so where it differs.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    weight : Tensor, optional
        Multiplies each element's loss; the mean then divides by Σ weight.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.l1_loss(weft.tensor([1.0, 2.0]), weft.tensor([1.0, 4.0])).item()
    1.0
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=False)
    if weight is None:
        return primitives.l1_loss(input, target, reduction=reduction)
    return _weighted(primitives.l1_loss(input, target, reduction="none"), weight, sum(weight), reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Squared error near 0, absolute error far away: ½ (x − y)² where |x − y| ≤ δ, δ (|x − y| − δ/2) beyond.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y, in a shape that broadcasts with that of x; a warning says so where it differs.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    delta : float, default 1.0
        δ, positive: where the parabola becomes a straight line.
    weight : Tensor, optional
        Multiplies each element's loss; the mean divides by the number of elements, as PyTorch's does here.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    References
    ----------
    Huber, "Robust Estimation of a Location Parameter" (1964).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.huber_loss(weft.tensor([0.5, 3.0]), weft.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not (type(delta) is float and 0 < delta < math.inf):
        number("delta", delta, above=0)
    target = _prepare(input, target, reduction, same_shape=False)
    if weight is None:
        return primitives.huber_loss(input, target, reduction=reduction, delta=delta)
    loss = primitives.huber_loss(input, target, reduction="none", delta=delta)
    return _weighted(loss, weight, loss.size, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Huber's loss over β: (x − y)² / (2β) where |x − y| < β, |x − y| − β/2 beyond.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y, in a shape that broadcasts with that of x; a warning says so where it differs.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    beta : float, default 1.0
        β, not negative: where the parabola becomes a straight line; 0 gives |x − y|.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    References
    ----------
    Girshick, "Fast R-CNN" (2015).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.smooth_l1_loss(weft.tensor([0.5, 3.0]), weft.zeros(2), reduction="none")
    tensor([0.125, 2.5  ])
    """
    if not (type(beta) is float and 0 <= beta < math.inf):
        number("beta", beta)
        if beta < 0:
            raise ValueError(f"`beta` must not be negative, got {beta}")
    reduction = legacy_reduction(size_average, reduce, reduction)
    return primitives.smooth_l1_loss(
        input, _prepare(input, target, reduction, same_shape=False), reduction=reduction, beta=beta
    )


# --- distributions ----------------------------------------------------------------------------------------------------
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of probabilities x: −w (y ln x + (1 − y) ln(1 − x)).

    Logarithms are cut off at −100, as in PyTorch. Of logits, `binary_cross_entropy_with_logits` is faster and more
    accurate.

    Parameters
    ----------
    input : Tensor
        x in [0, 1], of any shape and a real floating-point dtype.
    target : Tensor
        y in [0, 1], in the shape of x.
    weight : Tensor, optional
        w, which broadcasts to the shape of x.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the shape of x.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, an option is out of range, or x is outside [0, 1]: on a GPU, which it would have to wait
        for, such losses are NaN.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.binary_cross_entropy(weft.tensor([0.5, 0.0]), weft.tensor([1.0, 1.0]), reduction="none").numpy().round(3)
    array([  0.693, 100.   ], dtype=float32)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=True)
    _check_no_wider("weight", weight, input)
    primitives.check_probabilities(input.data)
    return primitives.binary_cross_entropy(input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of logits x: −w (p y ln σ(x) + (1 − y) ln(1 − σ(x))).

    Its gradient, without weights, is σ(x) − y.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y in [0, 1], in the shape of x.
    weight : Tensor, optional
        w, which broadcasts to the shape of x.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.
    pos_weight : Tensor, optional
        p, of the positive examples of each class; broadcasts to the shape of x.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the shape of x.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.binary_cross_entropy_with_logits(weft.tensor([1e4, -1e4]), weft.tensor([1.0, 0.0])).item()
    0.0
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=True)
    _check_no_wider("weight", weight, input)
    return primitives.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction=reduction)


def _check_no_wider(name: str, x: Tensor | None, input: Tensor) -> None:
    """That x broadcasts to the shape of the input: not the other way round, which would count its elements several times."""
    if x is None:
        return
    shape, wanted = x.shape, input.shape
    if len(shape) > len(wanted) or any(n not in (1, m) for n, m in zip(reversed(shape), reversed(wanted))):
        raise ValueError(f"`{name}` must broadcast to the shape of `input`, {tuple(wanted)}, got {tuple(shape)}")


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback–Leibler divergence KL(y ‖ eˣ) of log-probabilities x: y (ln y − x).

    Parameters
    ----------
    input : Tensor
        x, log-probabilities of any shape and a real floating-point dtype.
    target : Tensor
        y, probabilities in a shape that broadcasts with that of x; a warning says so where it differs. Negative ones give
        NaN.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none", "batchmean"}, default "mean"
        "batchmean" divides the sum by the length of the first axis, which gives the divergence; "mean" by the
        number of elements (PyTorch warns of this at each call, weft does not).
    log_target : bool, default False
        Whether the target is ln y.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.kl_div(weft.zeros((1, 2)), weft.tensor([[1.0, 0.0]]), reduction="batchmean").item()
    0.0
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=False, allowed=(*REDUCTIONS, "batchmean"))
    return primitives.kl_div(input, target, reduction=reduction, log_target=log_target)


# --- classes ----------------------------------------------------------------------------------------------------------
def _check_classes(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> None:
    """Checks for class indices `target` of shape (N), () or (N, …) for `input` (N, C), (C,) or (N, C, …)."""
    shape = input.shape
    required = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if target.shape != required:
        wanted = f"class indices of shape {tuple(required)} for `input` of shape {tuple(shape)}"
        raise ValueError(f"`target` must hold {wanted}, got {tuple(target.shape)}")
    if not is_integral(target.data.dtype) or str(target.data.dtype).endswith("bool"):
        raise TypeError(
            f"`target` must have an integer dtype to hold class indices, got {target.dtype}; convert it: target.long()"
        )
    _check_class_options(input, weight, reduction)


def _is_matrix_and_indices(input: Tensor, target: Tensor) -> bool:
    """Whether these are logits (N, C) and indices (N), the common case, which needs no further check."""
    try:
        x, y = input.data, target.data
        return x.ndim == 2 and y.shape == x.shape[:1] and x.dtype.kind == "f" and y.dtype.kind in "iu"
    except AttributeError:
        return False


def _classes(input: Tensor) -> int:
    return input.shape[1] if input.ndim > 1 else input.shape[0]


def _check_class_options(input: Tensor, weight: Tensor | None, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        check.one_of("reduction", reduction, REDUCTIONS)
    if weight is not None:
        check.shape("weight", weight, (_classes(input),))


def _check_input(input: Tensor, target: Tensor) -> None:
    check.floating("input", input)
    check.tensor("target", target)
    if not input.ndim:
        raise ValueError("`input` must have shape (C,), (N, C) or (N, C, …), got ()")


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood −w[y] x[y] of log-probabilities x and class indices y.

    Parameters
    ----------
    input : Tensor
        x, (N, C), (C,) or (N, C, …).
    target : Tensor
        Class indices y (N), () or (N, …).
    weight : Tensor, optional
        w (C), of the classes.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    ignore_index : int, default -100
        The class index that does not count: loss and gradient of such a row are 0, whatever x is there.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by Σ w[y]; "none" gives the loss of each example.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, a loss for each example.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.
    IndexError
        If an index is no class. On a GPU, which it would have to wait for, loss and gradient of that row are NaN, and
        whoever waits next says so: `item`, `numpy`, `synchronize`, `Trainer` at the end of the epoch.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.nll_loss(weft.tensor([[-3.0, -0.05]]), weft.tensor([0])).item()
    3.0
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_input(input, target)
    _check_classes(input, target, weight, reduction)
    if ignore_index != -100:
        integer("ignore_index", ignore_index)
    primitives.check_targets(target.data, _classes(input), ignore_index)
    return primitives.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of logits x: −Σ_c w_c q_c ln softmax(x)_c.

    The gradient for one example is softmax(x) − q.

    Parameters
    ----------
    input : Tensor
        x, (N, C), (C,) or (N, C, …).
    target : Tensor
        Class indices y (N), () or (N, …), or probabilities q in the shape and of a floating-point dtype like x.
    weight : Tensor, optional
        w (C), of the classes.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    ignore_index : int, default -100
        The class index that does not count: loss and gradient of such a row are 0, whatever x is there.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by Σ w[y]; "none" gives the loss of each example.
    label_smoothing : float, default 0.0
        ε in [0, 1]: q ← (1 − ε) q + ε/C.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, a loss for each example.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, an option is out of range, or there is an `ignore_index` ≥ 0 with probabilities.
    IndexError
        If an index is no class. On a GPU, which it would have to wait for, loss and gradient of that row are NaN, and
        whoever waits next says so: `item`, `numpy`, `synchronize`, `Trainer` at the end of the epoch.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.cross_entropy(weft.tensor([[0.0, 50.0]]), weft.tensor([0])).item()
    50.0
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    is_usual = _is_matrix_and_indices(input, target) and weight is None
    is_plain = is_usual and ignore_index == -100 and not label_smoothing and reduction == "mean"
    if is_plain and target.device == "cpu":  # where the primitive looks at the indices
        return primitives.softmax_cross_entropy(input, target)  # keywords cost a small model a tenth of its loss
    if ignore_index != -100:
        integer("ignore_index", ignore_index)
    if not is_usual or reduction not in REDUCTIONS:
        _check_input(input, target)
        if target.shape == input.shape and is_real_floating(target.data.dtype):
            _check_class_options(input, weight, reduction)
            if ignore_index >= 0:
                raise ValueError(
                    f"`ignore_index` must be negative where `target` holds probabilities, got {ignore_index}: there is no "
                    "index to ignore; set the probabilities of rows that do not count to 0"
                )
        else:
            _check_classes(input, target, weight, reduction)
    if target.device != "cpu" and is_integral(target.data.dtype):  # there, the primitive looks at them
        primitives.check_targets(target.data, _classes(input), ignore_index)
    if type(label_smoothing) is not float or not 0 <= label_smoothing <= 1:
        check.probability("label_smoothing", label_smoothing)
    return primitives.softmax_cross_entropy(
        input, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
    )


# --- margins ----------------------------------------------------------------------------------------------------------
def hinge_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Hinge loss of a support-vector machine: max(0, 1 − y x) with y = ±1.

    (Not in PyTorch.)

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y = ±1, in the shape of x.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the shape of x.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    References
    ----------
    Cortes & Vapnik, "Support-Vector Networks" (1995).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.hinge_loss(weft.tensor([0.5, 1.0]), weft.tensor([1, 1]), reduction="none")
    tensor([0.5, 0. ])
    """
    return primitives.hinge_loss(input, _prepare(input, target, reduction, same_shape=True), reduction=reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Logistic regression with signs for labels: ln(1 + exp(−y x)) with y = ±1.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y = ±1, in a shape that broadcasts with that of x; a warning says so where it differs.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> round(F.soft_margin_loss(weft.tensor([0.0]), weft.tensor([1])).item(), 3)
    0.693
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    return primitives.soft_margin_loss(input, _prepare(input, target, reduction, same_shape=False), reduction=reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Distances x of pairs that are alike or not: x where y = 1, max(0, margin − x) where y = −1.

    Parameters
    ----------
    input : Tensor
        x, of any shape and a real floating-point dtype.
    target : Tensor
        y = ±1, in a shape that broadcasts with that of x; a warning says so where it differs.
    margin : float, default 1.0
        How far apart pairs that are not alike should be.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape of x and y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.hinge_embedding_loss(weft.tensor([0.25, 0.25]), weft.tensor([1, -1]), reduction="none")
    tensor([0.25, 0.75])
    """
    number("margin", margin)
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = _prepare(input, target, reduction, same_shape=False)
    return primitives.hinge_embedding_loss(input, target, margin=margin, reduction=reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Hinge loss of several classes: w[y] Σ_{j ≠ y} max(0, margin − x[y] + x[j])ᵖ / C.

    Parameters
    ----------
    input : Tensor
        x, (N, C) or (C,).
    target : Tensor
        Class indices y, (N) or ().
    p : {1, 2}, default 1
        The exponent.
    margin : float, default 1.0
        By how much the right class should win.
    weight : Tensor, optional
        w (C), of the classes.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the examples, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, a loss for each example.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.
    IndexError
        If an index is no class. On a GPU, which it would have to wait for, loss and gradient of that row are NaN, and
        whoever waits next says so: `item`, `numpy`, `synchronize`, `Trainer` at the end of the epoch.

    References
    ----------
    Weston & Watkins, "Support Vector Machines for Multi-Class Pattern Recognition" (1999), for p = 1.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.multi_margin_loss(weft.tensor([[0.5, 0.25]]), weft.tensor([0])).item()
    0.375
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check.one_of("p", p, (1, 2))
    number("margin", margin)
    _check_input(input, target)
    if input.ndim > 2:
        raise ValueError(f"`input` must have shape (N, C) or (C,), got {tuple(input.shape)}")
    _check_classes(input, target, weight, reduction)
    primitives.check_targets(target.data, _classes(input), None)
    return primitives.multi_margin_loss(input, target, weight, p=p, margin=margin, reduction=reduction)
