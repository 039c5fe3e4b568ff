"""Losses that ask for a margin between two numbers: of a pair, and of each label against each class that is none."""

from __future__ import annotations

import math
from typing import Any

from ..tape.autograd import primitive
from ..tape.recording import as_one
from .loss import _pointwise, _reduced, note_outside, read

__all__ = ["check_labels", "margin_ranking_loss", "multilabel_margin_loss"]


@primitive(precision="full")
def margin_ranking_loss(
    xp: Any, input1: Any, input2: Any, target: Any, /, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """ℓ = max(0, margin − y (x₁ − x₂)) with y = ±1; the derivative at the kink is that of the slope, as in PyTorch."""
    d = input1 - input2
    gap = margin - target * d
    active = xp.astype(gap >= 0, gap.dtype)
    return _pointwise(
        xp,
        gap * active,
        reduction,
        (input1, lambda: -target * active),
        (input2, lambda: target * active),
        (target, lambda: -d * active),
    )


@as_one()
def check_labels(target: Any, classes: int) -> None:
    """Raise IndexError if a label before the first −1 of its row is no class, if labels can be `read`."""
    seen = read(target)
    if seen is None:
        note_outside("target", target, classes, -1)
        return
    counts = (seen == -1).cumsum(axis=-1) == 0
    wrong = seen[counts & ((seen < 0) | (seen >= classes))]
    if wrong.size:
        raise IndexError(f"`target` must hold classes in [0, {classes}), then −1 as the end of a row, got {wrong[0]}")


@primitive(precision="full")
def multilabel_margin_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """ℓ = Σ_j Σ_{i no label} max(0, 1 − x[y_j] + x[i]) / C, over the labels y_j before the first −1 of a row.

    x and y are (N, C) or (C,); the mean is over N.
    """
    classes, axis = input.shape[-1], input.ndim - 1
    ended = xp.cumulative_sum(xp.astype(target == -1, xp.int64), axis=axis)
    is_class = (target >= 0) & (target < classes)
    counts = xp.astype(ended == 0, input.dtype)
    known = xp.where(is_class, target, xp.zeros_like(target))
    index = xp.arange(classes, dtype=target.dtype, device=input.device)
    hot = xp.astype(xp.expand_dims(known, axis=-1) == index, input.dtype) * xp.expand_dims(counts, axis=-1)
    rest = xp.astype(xp.sum(hot, axis=-2) == 0, input.dtype)  # (…, C): 1 where the class is no label
    own = xp.sum(hot * xp.expand_dims(input, axis=-2), axis=-1)
    gap = 1 - xp.expand_dims(own, axis=-1) + xp.expand_dims(input, axis=-2)  # (…, labels, C)
    one = xp.ones_like(counts)
    exists = xp.where(is_class | (counts == 0), one, xp.full_like(one, math.nan))
    active = xp.astype(gap > 0, input.dtype) * xp.expand_dims(counts * exists, axis=-1) * xp.expand_dims(rest, axis=-2)
    active = active / classes
    loss = xp.sum(active * gap, axis=(-2, -1))
    out, spread = _reduced(xp, loss, reduction, math.prod(loss.shape), axis)

    def grad_input(g: Any) -> Any:
        of_labels = xp.sum(xp.sum(active, axis=-1, keepdims=True) * hot, axis=-2)
        return spread(g) * (xp.sum(active, axis=-2) - of_labels)

    return out, (grad_input,)
