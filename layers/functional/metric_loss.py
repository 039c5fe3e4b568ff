"""Losses of distances and ranks between vectors, with PyTorch's names and signatures."""

from __future__ import annotations

from collections.abc import Callable

from ...backend.array.elementwise import clip, divide, minimum, multiply, sqrt
from ...backend.array.indexing import where
from ...backend.array.manipulation import astype
from ...backend.array.reductions import sum
from ...backend.device.dtypes import is_integral
from ...backend.device.options import number
from ...backend.nn import margin_loss as primitives
from ...backend.tape.tensor import Tensor
from . import _check as check
from .distance import pairwise_distance
from .loss import REDUCTIONS, legacy_reduction, reduced
from .similarity import widened

__all__ = ["cosine_embedding_loss", "margin_ranking_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"]


def _check_alike(reduction: str, **tensors: Tensor) -> None:
    """Floating-point Tensors with as many axes each."""
    check.one_of("reduction", reduction, REDUCTIONS)
    for name, x in tensors.items():
        check.floating(name, x)
    if len({x.ndim for x in tensors.values()}) > 1:
        names = ", ".join(f"`{name}`" for name in tensors)
        raise ValueError(f"{names} must have as many axes each, got {[tuple(x.shape) for x in tensors.values()]}")


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Which of two should rank higher: max(0, margin − y (x₁ − x₂)) with y = 1 if the first, −1 if the second.

    Parameters
    ----------
    input1 : Tensor
        x₁, of any shape.
    input2 : Tensor
        x₂; the three broadcast, and have as many axes each.
    target : Tensor
        y = ±1.
    margin : float, default 0
        By how much it should.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over all elements, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the broadcast shape.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.margin_ranking_loss(weft.tensor([0.5]), weft.tensor([0.75]), weft.tensor([1])).item()
    0.25
    """
    number("margin", margin)
    reduction = legacy_reduction(size_average, reduce, reduction)
    if isinstance(target, Tensor) and is_integral(target.dtype):
        target = astype(target, input1.dtype)
    _check_alike(reduction, input1=input1, input2=input2, target=target)
    return primitives.margin_ranking_loss(input1, input2, target, margin=margin, reduction=reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Angles of pairs that are alike or not: 1 − cos where y = 1, max(0, cos − margin) where y = −1.

    cos = x₁ · x₂ / √((‖x₁‖² + ε)(‖x₂‖² + ε)) with ε = 10⁻¹².

    Parameters
    ----------
    input1 : Tensor
        x₁, (N, D) or (D,).
    input2 : Tensor
        x₂, likewise.
    target : Tensor
        y = ±1, (N,) or ().
    margin : float, default 0
        The cosine that pairs that are not alike may have, −1 … 1.
    size_average : bool, optional
        PyTorch's deprecated argument: False means `reduction="sum"`.
    reduce : bool, optional
        PyTorch's deprecated argument: False means `reduction="none"`.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the pairs, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the shape of y.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x, y = weft.tensor([[1.0, 0.0]]), weft.tensor([[0.0, 1.0]])
    >>> F.cosine_embedding_loss(x, y, weft.tensor([1])).item()
    1.0
    """
    number("margin", margin)
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_alike(reduction, input1=input1, input2=input2)
    if check.tensor("target", target).ndim not in (0, 1) or input1.ndim != target.ndim + 1:
        got = f"got {tuple(target.shape)} for {tuple(input1.shape)}"
        raise ValueError(f"`target` must have shape (N,) for `input1` (N, D), or () for (D,), {got}")
    x1, x2 = widened(input1), widened(input2)
    squares = [sum(multiply(x, x), axis=-1) + 1e-12 for x in (x1, x2)]
    cosine = divide(sum(multiply(x1, x2), axis=-1), sqrt(multiply(*squares)))
    loss = where(target == 1, 1 - cosine, where(target == -1, clip(cosine - margin, min=0.0), 0.0 * cosine))
    return reduced(astype(loss, input1.dtype, copy=False), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """A positive should be nearer than a negative: max(0, d(a, p) − d(a, n) + margin), d(x, y) = ‖x − y + eps‖ₚ.

    Parameters
    ----------
    anchor : Tensor
        a, (N, D) or (D,).
    positive : Tensor
        What is like it; the three broadcast, and have as many axes each.
    negative : Tensor
        What is not.
    margin : float, default 1.0
        By how much, positive.
    p : float, default 2
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

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, (N,) or ().

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    References
    ----------
    Balntas et al., "Learning Local Feature Descriptors with Triplets and Shallow Convolutional Neural Networks" (2016).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> a, p, n = (weft.tensor([[x]]) for x in (0.0, 0.5, 1.0))
    >>> round(F.triplet_margin_loss(a, p, n).item(), 3)
    0.5
    """
    number("p", p, infinite=True)
    number("eps", eps)
    reduction = legacy_reduction(size_average, reduce, reduction)

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with any distance d: max(0, d(a, p) − d(a, n) + margin).

    Parameters
    ----------
    anchor : Tensor
        a, (N, …).
    positive : Tensor
        What is like it, with as many axes.
    negative : Tensor
        What is not, with as many axes.
    distance_function : callable, optional
        d, of two Tensors; ‖x − y + 10⁻⁶‖₂ along the last axis unless given.
    margin : float, default 1.0
        By how much, positive.
    swap : bool, default False
        Whether the negative's distance from the positive counts where that is smaller.
    reduction : {"mean", "sum", "none"}, default "mean"
        The mean or the sum over the triplets, or the loss of each.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, in the shape of what d gives.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, or an option is out of range.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> a, p, n = (weft.tensor([[x]]) for x in (0.0, 0.5, 1.0))
    >>> city = lambda x, y: abs(x - y).sum(axis=-1)
    >>> F.triplet_margin_with_distance_loss(a, p, n, distance_function=city).item()
    0.5
    """
    if distance_function is None:
        return triplet_margin_loss(anchor, positive, negative, margin, swap=swap, reduction=reduction)
    return _triplet(anchor, positive, negative, distance_function, margin, swap, reduction)


def _triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    number("margin", margin, above=0)
    _check_alike(reduction, anchor=anchor, positive=positive, negative=negative)
    a, p, n = widened(anchor), widened(positive), widened(negative)
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = minimum(far, distance(p, n))
    return reduced(astype(clip(margin + near - far, min=0.0), anchor.dtype, copy=False), reduction)
