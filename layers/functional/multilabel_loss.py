"""Losses of examples that have several labels each, with PyTorch's names and signatures."""

from __future__ import annotations

from ...backend.array.reductions import mean
from ...backend.device.dtypes import is_integral
from ...backend.nn import margin_loss as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from .loss import REDUCTIONS, binary_cross_entropy_with_logits, legacy_reduction, reduced

__all__ = ["multilabel_margin_loss", "multilabel_soft_margin_loss"]


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Every label should win against every class that is none: Σ_j Σ_{i no label} max(0, 1 − x[y_j] + x[i]) / C.

    Parameters
    ----------
    input : Tensor
        x, (N, C) or (C,).
    target : Tensor
        The labels y in the shape of x: class indices, which end before the first −1 of a row.
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
        If a label is no class. On a GPU, which it would have to wait for, the loss of that row is NaN.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x, y = weft.tensor([0.0, 0.25, 0.5, 1.0]), weft.tensor([3, 0, -1, 1])
    >>> F.multilabel_margin_loss(x, y).item()
    0.875
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check.one_of("reduction", reduction, REDUCTIONS)
    check.floating("input", input)
    if check.tensor("target", target).shape != input.shape or input.ndim not in (1, 2):
        shapes = f"got {tuple(target.shape)} and {tuple(input.shape)}"
        raise ValueError(f"`target` must have the shape of `input`, (N, C) or (C,), {shapes}")
    if not is_integral(target.dtype) or str(target.dtype) == "bool":
        raise TypeError(f"`target` must have an integer dtype, got {target.dtype}; convert it: target.long()")
    primitives.check_labels(target.data, input.shape[-1])
    return primitives.multilabel_margin_loss(input, target, reduction=reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Each class yes or no: the mean over the classes of −w (y ln σ(x) + (1 − y) ln(1 − σ(x))).

    Parameters
    ----------
    input : Tensor
        x, (…, C).
    target : Tensor
        y in the shape of x, 1 for a label, 0 for none.
    weight : Tensor, optional
        w, which broadcasts with x: (C,), of the classes.
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

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> round(F.multilabel_soft_margin_loss(weft.zeros((1, 3)), weft.tensor([[1, 0, 1]])).item(), 3)
    0.693
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    check.one_of("reduction", reduction, REDUCTIONS)
    check.floating("input", input)
    if not input.ndim:
        raise ValueError("`input` must have an axis of classes, (…, C), got ()")
    loss = binary_cross_entropy_with_logits(input, target, weight, reduction="none")
    return reduced(mean(loss, axis=-1), reduction)
