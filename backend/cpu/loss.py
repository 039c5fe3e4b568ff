"""Softmax cross-entropy on NumPy: one visit to the logits, one exponential each, and the gradient made while they are in cache."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import loss
from ..autograd import is_grad_enabled
from .blocks import FLOATS, blockwise, exp_rows, over_rows, row_dots, row_sums


@loss.softmax_cross_entropy.on("cpu")
def _(
    logits: Any,
    target: Any,
    weight: Any = None,
    /,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    if logits.dtype not in FLOATS or target.dtype.kind not in "iu" or not logits.size:
        return NotImplemented
    x = logits if logits.ndim < 3 else np.moveaxis(logits, 1, -1)
    shape, classes = x.shape, x.shape[-1]
    x = np.ascontiguousarray(x).reshape(-1, classes)
    labels = target.reshape(-1, 1).astype(np.intp, copy=False)
    valid = _valid(labels, classes, ignore_index)
    if valid is not None:
        labels = np.where(valid, labels, 0)
    own = np.ones(labels.shape, x.dtype) if weight is None else weight[labels]
    if valid is not None:
        own *= valid
    count = len(x) if valid is None and weight is None else own.sum().item()
    scale = 1 / count if reduction == "mean" and count else 1.0
    hot = own * ((1 - label_smoothing) * scale)
    even = (own > 0 if valid is None else valid) * (label_smoothing * scale / classes) if label_smoothing else None
    losses, gradient = _visit(x, labels, hot, even, weight)

    def grad_logits(g: Any) -> Any:
        grad = gradient
        if reduction == "none":
            grad = grad * g.reshape(-1, 1)
        elif g.item() != 1:
            grad = blockwise(lambda a, out: np.multiply(a, g, out), 1, grad)[0]
        grad = grad.reshape(shape)
        return grad if logits.ndim < 3 else np.moveaxis(grad, -1, 1)

    if reduction == "none":
        return losses.reshape(target.shape), (grad_logits,)
    total = np.add.reduce(losses, axis=None)
    return total if count or reduction == "sum" else total * math.nan, (grad_logits,)


def _valid(labels: Any, classes: int, ignore_index: int) -> Any:
    """Which labels (N, 1) count, or None if all do. As unsigned numbers, negative ones are the largest."""
    unsigned = labels.reshape(-1).view(np.uintp)
    if not 0 <= ignore_index < classes and unsigned[unsigned.argmax()] < classes:
        return None
    return labels != ignore_index


@functools.lru_cache(maxsize=64)
def _row_starts(rows: int, classes: int) -> Any:
    return np.arange(0, rows * classes, classes)[:, None]


def _visit(x: Any, labels: Any, hot: Any, even: Any, weight: Any) -> tuple[Any, Any]:
    """ℓ = −hot ln p_y − even Σ w ln p of each row, and dℓ/dx = p (hot + even Σ w) − hot 1_y − even w if gradients are enabled.

    x (N, C); labels, hot, even (or None for zeros) and ℓ (N, 1); w (C,) or None for ones.
    """
    rows, classes = x.shape
    losses, gradient = np.empty_like(hot), np.empty_like(x) if is_grad_enabled() else None
    total_weight = classes if weight is None else weight.sum()
    weight = np.ones(classes, x.dtype) if weight is None and even is not None else weight

    def visit(i: int, j: int) -> None:
        a, h = x[i:j], hot[i:j]
        at = labels[i:j] + _row_starts(j - i, classes)
        e = np.empty_like(a) if gradient is None else gradient[i:j]
        shift = exp_rows(a, e)
        s = row_sums(e)
        if shift is None:  # ln(s/e_y), not ln s − x_y: nothing cancels where the loss is small
            losses[i:j] = np.log(s / e.reshape(-1).take(at)) * h
        else:
            losses[i:j] = (np.log(s) + (shift - a.reshape(-1).take(at))) * h
        if even is not None:
            lse = np.log(s) + (0 if shift is None else shift)
            losses[i:j] += even[i:j] * (total_weight * lse - row_dots(a, weight[None]))
        if gradient is not None:
            e *= (h if even is None else h + total_weight * even[i:j]) / s
            e.reshape(-1)[at] -= h
            if even is not None:
                e -= even[i:j] * weight

    over_rows(visit, rows, x.itemsize * classes)
    return losses, gradient
