"""Softmax cross-entropy on NumPy: the logits are visited once; their gradient is made while they are in cache."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy import divide

from ..nn import loss as primitives
from ..tape.autograd import is_grad_enabled
from ..tape.recording import as_one, shown
from .blocks import BLOCK, CPU_FLOATS, blockwise, exp_rows, over_rows, row_dots, row_sums

SMALL = 1 << 12  # logits: below, BLAS uses one thread, and calls cost more than the work
FEW_CLASSES = 128
SAFE = (
    3000  # Σ x²: below, no x is beyond ±55, nor two further apart than 78: exp(x), and SMALL of them by one, are normal
)


@primitives.softmax_cross_entropy.on("cpu")
def softmax_cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    /,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    if logits.dtype not in CPU_FLOATS or target.dtype.kind not in "iu" or not logits.size:
        return NotImplemented
    if reduction == "mean" and weight is None and not label_smoothing and logits.ndim == 2 and logits.size <= SMALL:
        found = _small_mean(logits, target, ignore_index)
        if found is not None:
            return found
    x = logits if logits.ndim < 3 else np.moveaxis(logits, 1, -1)
    shape, classes = x.shape, x.shape[-1]
    x = np.ascontiguousarray(x).reshape(-1, classes)
    labels = target.reshape(-1, 1).astype(np.intp, copy=False)
    valid = _valid(labels, classes, ignore_index)
    if valid is not None:
        labels = np.where(valid, labels, 0)
    own = x.dtype.type(1) if weight is None else weight[labels]  # how much each row counts
    own = own if valid is None else own * valid
    count, hot, even = _shares(own, valid, len(x), classes, label_smoothing, reduction == "mean", x.dtype)
    even = even if label_smoothing else None
    losses, gradient = _visit(x, labels, hot, even, weight, valid)

    def grad_logits(g: Any) -> Any:
        grad = gradient
        if reduction == "none":
            grad = grad * g.reshape(-1, 1)
        elif not _is_one(g):
            grad = blockwise(lambda a, out: np.multiply(a, g, out), 1, grad)[0]
        grad = grad.reshape(shape)
        return grad if logits.ndim < 3 else np.moveaxis(grad, -1, 1)

    if reduction == "none":
        return losses.reshape(target.shape), (grad_logits,)
    total = np.add.reduce(losses, axis=None)
    return total if count or reduction == "sum" else total * math.nan, (grad_logits,)


def _small_mean(x: Any, labels: Any, ignore_index: int) -> Any:
    """The mean of −ln p_y and its pullback in as few calls as will do, for x (N, C) so small that calls are what costs.

    None if a label is no class, or where exp(x) is not safe: the general form sees to that.
    """
    rows, classes = x.shape
    if classes > FEW_CLASSES or 0 <= ignore_index < classes:
        return None
    flat = x.reshape(-1)
    if not (flat.dot(flat) < SAFE or (x.max() < 38 and x.min() > -38)):
        return None
    ones, square, each, share, table = _constants(rows, classes, x.itemsize)
    try:
        hot = (table.take if type(labels) is np.ndarray else shown(table).take)(labels, 0)
    except (IndexError, TypeError):  # TypeError for uint64, which is no index to NumPy
        return None
    p = np.exp(x)
    divide(p, p.dot(square), p)  # by sums of the same shape: that is cheaper than to broadcast them
    loss = np.log((p * hot).dot(ones)).dot(share)
    if loss != loss:  # NaN
        return None
    if not is_grad_enabled():
        return loss, None
    p -= hot
    p *= each
    return loss, (lambda g: p if _is_one(g) else p * g,)


def _is_one(g: Any) -> bool:
    return bool(g.item() == 1 if type(g) is np.ndarray else g == 1)  # while a step is recorded, no number can be read


@functools.lru_cache(maxsize=64)
def _constants(rows: int, classes: int, itemsize: int) -> tuple[Any, ...]:
    """Ones (C) and (C, C), 1/N as (), −1/N as (N), and what is 1 at each label (2C, C): the first half for classes, NaN for others.

    Negative labels, which count from the end, find NaN, too.
    """
    dtype = np.dtype(f"f{itemsize}")
    each = np.asarray(1 / rows, dtype)
    table = np.full((2 * classes, classes), np.nan, dtype)
    table[:classes] = np.eye(classes)
    ones = np.ones(classes, dtype)
    return ones, np.ones((classes, classes), dtype), each, np.full(rows, -each), table


@as_one()
def _shares(
    own: Any, valid: Any, rows: int, classes: int, smoothing: float, is_mean: bool, dtype: Any
) -> tuple[Any, Any, Any]:
    """How many rows count, and what −ln p of the class itself and of every class counts in each row."""
    count = own.sum().item() if own.ndim else rows
    scale = 1 / count if is_mean and count else 1.0
    hot = np.asarray(own * ((1 - smoothing) * scale), dtype)
    even = np.asarray((1 if valid is None else valid) * (smoothing * scale / classes), dtype)
    return np.asarray(count), hot, even


def _valid(labels: Any, classes: int, ignore_index: int) -> Any:
    """Which labels (N, 1) count, or None if all do. As unsigned numbers, negative ones are the largest."""
    unsigned = labels.view(np.uintp)
    if unsigned.take(unsigned.argmax()) < classes:
        if not 0 <= ignore_index < classes:
            return None
    else:
        primitives.check_targets(labels, classes, ignore_index)
    return labels != ignore_index


@functools.lru_cache(maxsize=64)
def _row_starts(rows: int, classes: int) -> Any:
    return np.arange(0, rows * classes, classes)[:, None]


def _visit(x: Any, labels: Any, hot: Any, even: Any, weight: Any, valid: Any) -> tuple[Any, Any]:
    """ℓ = −hot ln p_y − even Σ w ln p of each row, and dℓ/dx = p (hot + even Σ w) − hot 1_y − even w where wanted.

    x (N, C); labels and ℓ (N, 1); hot and even (N, 1) or (); w (C,), or None for ones; even None for 0. `valid` (N, 1) says
    which rows count, None if all do: 0 stands for x in the others, which may be NaN or infinite.
    """
    losses, gradient = np.empty((len(x), 1), x.dtype), np.empty_like(x) if is_grad_enabled() else None
    if x.nbytes <= BLOCK:
        _block(x if valid is None else np.where(valid, x, x.dtype.type(0)), labels, hot, even, weight, losses, gradient)
        return losses, gradient

    def visit(i: int, j: int) -> None:
        h = hot[i:j] if hot.ndim else hot
        r = even[i:j] if even is not None and even.ndim else even
        a = x[i:j] if valid is None else np.where(valid[i:j], x[i:j], x.dtype.type(0))
        _block(a, labels[i:j], h, r, weight, losses[i:j], None if gradient is None else gradient[i:j])

    over_rows(visit, len(x), x.itemsize * x.shape[1])
    return losses, gradient


def _block(x: Any, labels: Any, hot: Any, even: Any, weight: Any, losses: Any, gradient: Any) -> None:
    rows, classes = x.shape
    e = np.empty_like(x) if gradient is None else gradient
    flat, at = e.reshape(-1), labels + _row_starts(rows, classes)
    shift = exp_rows(x, e)
    s = row_sums(e)
    if shift is None:  # ln(s/e_y), not ln s − x_y: nothing cancels where the loss is small
        nll = np.log(s / flat.take(at))
    else:
        nll = np.log(s) + (shift - x.reshape(-1).take(at))
    np.multiply(nll, hot, losses)
    total = hot
    if even is not None:
        total_weight = classes if weight is None else weight.sum()
        lse = np.log(s) if shift is None else np.log(s) + shift
        losses += even * (total_weight * lse - (row_sums(x) if weight is None else row_dots(x, weight[None])))
        total = hot + total_weight * even
    if gradient is not None:
        e *= total / s
        flat[at] -= hot
        if even is not None:
            e -= even if weight is None else even * weight
