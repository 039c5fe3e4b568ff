"""Losses: PyTorch's names, arguments, defaults and semantics. x is the input, y the target, ℓ the loss of one element.

`reduction` is "none" (ℓ itself), "sum", "mean" (over what each docstring says) or, for `kl_div`, "batchmean". The mean
of nothing is NaN, with gradient 0: a batch of ignored targets does no harm.
Gradients flow to input and target; class weights and other weights are constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array.elementwise import unbroadcast
from ..device import dtypes
from ..device.devices import kind
from ..tape.autograd import _mode, primitive
from ..tape.recording import as_one
from ..tape.tensor import Tensor
from .activation import _sigmoid, _softplus

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "check_probabilities",
    "check_targets",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "readable",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax_cross_entropy",
]


# By type of array: the array as NumPy's, or None where that would make a device wait. `backend/cuda` adds the emulator's.
readable: dict[type, Callable[[Any], Any]] = {np.ndarray: lambda x: x}


# By type of array: (what, indices, count, ignored) → has the device remember what cannot be looked at, see `faults.tell`.
noted: dict[type, Callable[[str, Any, int, int | None], None]] = {}


def note_outside(what: str, indices: Any, count: int, ignored: int | None = None) -> None:
    """Have a device that is not to be waited for look at indices itself, if it can."""
    note = noted.get(type(indices))
    if note is not None:
        note(what, indices, count, ignored)


def read(x: Any) -> Any:
    """A raw array as NumPy's if it can be looked at for nothing, as on a CPU and in the emulator; else None."""
    look = readable.get(type(x))
    return None if look is None else look(x)


def _reduced(xp: Any, loss: Any, reduction: str, count: Any, axis: int | None = None) -> tuple[Any, Callable]:
    """The reduced loss, and the function that turns its gradient into that of `loss`. A mean divides by `count`.

    The gradient broadcasts against the input, which has one more axis than the loss if `axis` is given.
    """
    if reduction == "none":
        return loss, lambda g: g if axis is None else xp.expand_dims(g, axis=axis)
    total = xp.sum(loss)
    if reduction == "sum":
        return total, lambda g: g
    if isinstance(count, int):
        return (total / count, lambda g: g / count) if count else (total * math.nan, lambda g: 0 * g)
    nothing = count == 0
    safe = xp.where(nothing, xp.ones_like(count), count)
    return xp.where(nothing, xp.full_like(total, math.nan), total / safe), lambda g: g / safe


def _pointwise(xp: Any, loss: Any, reduction: str, *arguments: tuple[Any, Callable]) -> Any:
    """The reduced loss and its pullbacks; `arguments` are pairs of an array and a function that gives dℓ/d(array)."""
    shape = loss.shape
    count = (shape[0] if shape else 1) if reduction == "batchmean" else math.prod(shape)
    out, spread = _reduced(xp, loss, reduction, count)

    def pullback(like: Any, slope: Callable) -> Callable:
        return lambda g: unbroadcast(xp, xp.broadcast_to(spread(g) * slope(), shape), like)  # a slope may be smaller

    return out, tuple(pullback(*a) for a in arguments)


# --- regression -------------------------------------------------------------------------------------------------------
@primitive(precision="full")
def mse_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """ℓ = (x − y)²; the mean is over all elements.

    >>> weft.backend.nn.loss.mse_loss(weft.tensor([1.0, 2.0]), weft.tensor([1.0, 4.0]))
    tensor(2.)
    """
    d = input - target
    return _pointwise(xp, d * d, reduction, (input, lambda: 2 * d), (target, lambda: -2 * d))


@primitive(precision="full")
def l1_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """ℓ = |x − y|, whose derivative at 0 is 0; the mean is over all elements."""
    d = input - target
    return _pointwise(xp, xp.abs(d), reduction, (input, lambda: xp.sign(d)), (target, lambda: -xp.sign(d)))


@primitive(precision="full")
def huber_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean", delta: float = 1.0) -> Any:
    """ℓ = ½ (x − y)² where |x − y| ≤ δ, δ (|x − y| − δ/2) beyond. Huber (1964)."""
    d = input - target
    size = xp.abs(d)
    inner = xp.minimum(size, delta)
    loss = inner * (size - 0.5 * inner)
    return _pointwise(
        xp, loss, reduction, (input, lambda: xp.clip(d, -delta, delta)), (target, lambda: -xp.clip(d, -delta, delta))
    )


@primitive(precision="full")
def smooth_l1_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """ℓ = (x − y)²/(2β) where |x − y| < β, |x − y| − β/2 beyond: Huber's loss over β, and `l1_loss` for β = 0."""
    if not beta:
        return l1_loss.generic(xp, input, target, reduction=reduction)
    d = input / beta - target / beta
    size = xp.abs(d)
    inner = xp.minimum(size, 1.0)
    loss = beta * (inner * (size - 0.5 * inner))
    return _pointwise(
        xp, loss, reduction, (input, lambda: xp.clip(d, -1.0, 1.0)), (target, lambda: -xp.clip(d, -1.0, 1.0))
    )


# --- distributions ----------------------------------------------------------------------------------------------------
def _log(xp: Any, x: Any) -> Any:
    """max(ln x, −100), PyTorch's floor, without asking for ln 0."""
    zero = x == 0
    return xp.where(zero, xp.full_like(x, -100.0), xp.maximum(xp.log(xp.where(zero, xp.ones_like(x), x)), -100.0))


@as_one()
def check_probabilities(x: Any) -> None:
    """Raise ValueError if numbers are outside [0, 1] or NaN, if they can be `read`."""
    x = read(x)
    if x is None or not x.size:
        return
    with np.errstate(invalid="ignore"):
        if x.min() >= 0 and x.max() <= 1:  # NaN is neither
            return
        wrong = x[~((x >= 0) & (x <= 1))]
    raise ValueError(
        f"`input` must hold probabilities in [0, 1], got {wrong[0]}; of logits, binary_cross_entropy_with_logits is the loss"
    )


@primitive(precision="full")
def binary_cross_entropy(xp: Any, input: Any, target: Any, weight: Any = None, /, *, reduction: str = "mean") -> Any:
    """ℓ = −w (y ln x + (1 − y) ln(1 − x)) of probabilities x, with logarithms no less than −100."""
    w = 1.0 if weight is None else weight
    log_x, log_rest = _log(xp, input), _log(xp, 1 - input)

    def slope() -> Any:
        return w * (input - target) / xp.maximum(input * (1 - input), 1e-12)

    loss = -w * (target * log_x + (1 - target) * log_rest)
    return _pointwise(xp, loss, reduction, (input, slope), (target, lambda: w * (log_rest - log_x)))


@primitive(precision="full")
def binary_cross_entropy_with_logits(
    xp: Any, input: Any, target: Any, weight: Any = None, pos_weight: Any = None, /, *, reduction: str = "mean"
) -> Any:
    """ℓ = −w (p y ln σ(x) + (1 − y) ln(1 − σ(x))), with p = `pos_weight`, which broadcasts from the last axis.

    Computed as w ((1 − y) x + (1 + (p − 1) y) ln(1 + e⁻ˣ)).
    """
    w = 1.0 if weight is None else weight
    excess = 0.0 if pos_weight is None else pos_weight - 1
    scale, log_rest = 1 + excess * target, _softplus(xp, -input)

    def slope() -> Any:
        return w * ((1 - target) - scale * _sigmoid(xp, -input))

    loss = w * ((1 - target) * input + scale * log_rest)
    return _pointwise(xp, loss, reduction, (input, slope), (target, lambda: w * (excess * log_rest - input)))


@primitive(precision="full")
def kl_div(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """ℓ = y (ln y − x) of log-probabilities x, 0 where y = 0, NaN where y < 0; with `log_target`, y stands as ln y.

    "mean" is over all elements, as in PyTorch; "batchmean", the sum over the first axis' length, is the divergence.
    """
    if log_target:
        y, log_y, present = xp.exp(target), target, 1.0
    else:
        y, positive = target, ~(target <= 0)  # or NaN, which stays
        present = xp.astype(positive, target.dtype)
        log_y = xp.log(xp.where(positive, target, xp.ones_like(target)))
        log_y = xp.where(target < 0, xp.full_like(log_y, math.nan), log_y)
    loss = y * (log_y - input)

    def slope_target() -> Any:
        return loss + y if log_target else present * (log_y + 1) - input

    return _pointwise(xp, loss, reduction, (input, lambda: -y), (target, slope_target))


# --- margins ----------------------------------------------------------------------------------------------------------
@primitive(precision="full")
def hinge_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """ℓ = max(0, 1 − y x) with y = ±1 (not in PyTorch); the derivative at the kink is 0."""
    margin = 1 - target * input
    active = xp.astype(margin > 0, margin.dtype)
    return _pointwise(
        xp, margin * active, reduction, (input, lambda: -target * active), (target, lambda: -input * active)
    )


@primitive(precision="full")
def soft_margin_loss(xp: Any, input: Any, target: Any, /, *, reduction: str = "mean") -> Any:
    """ℓ = ln(1 + exp(−y x)) with y = ±1."""
    z = -target * input
    return _pointwise(
        xp,
        _softplus(xp, z),
        reduction,
        (input, lambda: -target * _sigmoid(xp, z)),
        (target, lambda: -input * _sigmoid(xp, z)),
    )


@primitive(precision="full")
def hinge_embedding_loss(xp: Any, input: Any, target: Any, /, *, margin: float = 1.0, reduction: str = "mean") -> Any:
    """ℓ = x where y = 1, max(0, margin − x) where y = −1: both elsewhere, added."""
    near, far, zero = target != -1, target != 1, xp.zeros_like(input)
    clamped = xp.where(input > margin, zero, margin - input)
    loss = xp.where(near, input, zero) + xp.where(far, clamped, zero)  # chosen, as 0 · ∞ is NaN

    def slope() -> Any:
        return xp.astype(near, input.dtype) - xp.astype(far & (input <= margin), input.dtype)

    return _pointwise(xp, loss, reduction, (input, slope))


@primitive(precision="full")
def multi_margin_loss(
    xp: Any, input: Any, target: Any, weight: Any = None, /, *, p: int = 1, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """ℓ = w[y] Σ_{j ≠ y} max(0, margin − x[y] + x[j])ᵖ / C for x (N, C) or (C,), y (N,) or (); p is 1 or 2.

    The mean is over N.
    """
    axis = input.ndim - 1
    classes, index = input.shape[-1], xp.expand_dims(xp.astype(target, xp.int64), axis=axis)
    index, exists = _existing(xp, input, index, axis)
    hot = _one_hot(xp, input, index, axis)
    gap = margin - xp.sum(input * hot, axis=axis, keepdims=True) + input
    active = xp.astype(gap > 0, input.dtype) * (1 - hot)
    scale = (exists if weight is None else exists * _weight_of(xp, weight, index)) / classes
    loss = xp.sum(scale * active * gap**p, axis=axis)
    out, spread = _reduced(xp, loss, reduction, math.prod(loss.shape), axis)

    def grad_input(g: Any) -> Any:
        slope = scale * active * (p * gap ** (p - 1))
        return spread(g) * (slope - hot * xp.sum(slope, axis=axis, keepdims=True))

    return out, (grad_input,)


# --- classes ----------------------------------------------------------------------------------------------------------
@as_one()
def check_targets(target: Any, classes: int, ignore_index: int | None = -100) -> None:
    """Raise IndexError if a class index is neither in [0, classes) nor `ignore_index`, if it can be `read`.

    Elsewhere, on a GPU and in a recording, which would have to wait, loss and gradient of the row become NaN, and the
    device remembers the first.
    """
    seen = read(target)
    if seen is None:
        note_outside("target", target, classes, ignore_index)
        return
    target = seen
    if not target.size:
        return
    # As unsigned numbers the negative ones are the largest; `argmax` finds them faster than `max` does.
    unsigned = target.view(f"u{target.itemsize}")
    if unsigned.flat[unsigned.argmax()] < classes:
        return
    is_wrong = (target < 0) | (target >= classes)
    wrong = np.flatnonzero(is_wrong if ignore_index is None else is_wrong & (target != ignore_index))
    if len(wrong):
        other = "" if ignore_index is None else f", or ignore_index={ignore_index} for what does not count"
        raise IndexError(
            f"`target` must hold classes in [0, {classes}){other}; at position {wrong[0]}, got {target.flat[wrong[0]]}"
        )


def _one_hot(xp: Any, like: Any, index: Any, axis: int) -> Any:
    """1 at `index` along `axis`, 0 elsewhere, in the shape and dtype of `like`."""
    shape = tuple(n if i == axis else 1 for i, n in enumerate(like.shape))
    classes = xp.reshape(xp.arange(like.shape[axis], dtype=xp.int64, device=like.device), shape)
    return xp.astype(index == classes, like.dtype)


def _weight_of(xp: Any, weight: Any, index: Any) -> Any:
    return xp.reshape(xp.take(weight, xp.reshape(index, (-1,)), axis=0), index.shape)


def _counted(xp: Any, like: Any, target: Any, weight: Any, ignore_index: int, axis: int) -> tuple[Any, Any, Any]:
    """(index along `axis`, whether it counts, its weight), each of length 1 along `axis`.

    The weight is 0 where the row does not count, and NaN where the index is no class.
    """
    index = xp.expand_dims(xp.astype(target, xp.int64), axis=axis)
    valid = index != ignore_index
    index, exists = _existing(xp, like, xp.where(valid, index, xp.zeros_like(index)), axis)
    own = exists if weight is None else exists * _weight_of(xp, weight, index)
    return index, valid, xp.where(valid, own, xp.zeros_like(own))


def _existing(xp: Any, like: Any, index: Any, axis: int) -> tuple[Any, Any]:
    """(index, with 0 in the place of what is no class; 1 where it is one, NaN where not)."""
    exists = (index >= 0) & (index < like.shape[axis])
    one = xp.ones(index.shape, dtype=like.dtype, device=like.device)
    return xp.where(exists, index, xp.zeros_like(index)), xp.where(exists, one, xp.full_like(one, math.nan))


def _count(xp: Any, own: Any) -> Any:
    """Σ of the weights of rows; of those that have no class, nothing: they do not change the others' gradients."""
    return xp.sum(xp.where(xp.isnan(own), xp.zeros_like(own), own))


@primitive(precision="full")
def nll_loss(
    xp: Any, input: Any, target: Any, weight: Any = None, /, *, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    """ℓ = −w[y] x[y] of log-probabilities x (N, C), (C,) or (N, C, …) and class indices y (N), () or (N, …).

    The mean divides by Σ w[y] over the targets other than `ignore_index`, whose ℓ and gradient are 0 whatever x is.
    """
    axis = 1 if input.ndim > 1 else 0
    index, valid, own = _counted(xp, input, target, weight, ignore_index, axis)
    picked = xp.take_along_axis(input, index, axis=axis)
    picked = xp.where(valid, picked, xp.zeros_like(picked))  # which may be NaN or infinite where it does not count
    out, spread = _reduced(xp, xp.squeeze(-own * picked, axis=axis), reduction, _count(xp, own), axis)
    return out, (lambda g: -spread(g) * own * _one_hot(xp, input, index, axis),)


def _has_class_indices(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> bool:
    """Where a kernel reads half logits: at 4 bytes each, forward and backward, and about 20 if they are converted first."""
    if _mode.level or kind(logits.device) not in ("cuda", "emulator"):
        return False
    return dtypes.is_integral(target.dtype) and (weight is None or weight.dtype.itemsize <= 4)


@primitive(precision="full", reads_halves=_has_class_indices)
def softmax_cross_entropy(
    xp: Any,
    logits: Any,
    target: Any,
    weight: Any = None,
    /,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """ℓ = −Σ_c w_c q_c ln softmax(x)_c, which is torch.nn.functional.cross_entropy.

    x is (N, C), (C,) or (N, C, …), softmax runs over C. The target holds either class indices of shape (N), () or
    (N, …), then q is one-hot; or probabilities q in the shape of x. Label smoothing makes q ← (1 − ε) q + ε/C.
    The mean divides by Σ w[y] over the indices other than `ignore_index`, whose ℓ and gradient are 0, whatever x is (in
    PyTorch the gradient of such a row is NaN if x is NaN or infinite); of probabilities, by N ….

    grad_x = p Σ_c w_c q_c − w q, with p = softmax(x).
    """
    axis = 1 if logits.ndim > 1 else 0
    classes, ε = logits.shape[axis], label_smoothing
    soft = target.shape == logits.shape and "float" in str(target.dtype)
    if not soft:
        check_targets(target, classes, ignore_index)
        index, valid, own = _counted(xp, logits, target, weight, ignore_index, axis)
        logits = xp.where(valid, logits, xp.zeros_like(logits))  # NaN and ∞ of rows that do not count would stay
        valid = xp.astype(valid, logits.dtype)
    z = logits - xp.max(logits, axis=axis, keepdims=True)
    log_p = z - xp.log(xp.sum(xp.exp(z), axis=axis, keepdims=True))
    w = 1.0 if weight is None else xp.reshape(weight, (classes,) + (1,) * (logits.ndim - 1 - axis))
    if soft:
        q = w * ((1 - ε) * target + ε / classes)
        loss, count = -xp.sum(q * log_p, axis=axis), math.prod(target.shape) // classes
    else:
        # picked, not multiplied by a one-hot q: a class that is ruled out by x = −∞ would give 0 · ∞
        loss = (ε - 1) * own * xp.take_along_axis(log_p, index, axis=axis)
        if ε:
            loss = loss - (ε / classes) * valid * xp.sum(w * log_p, axis=axis, keepdims=True)
        loss, count = xp.squeeze(loss, axis=axis), _count(xp, own)
    out, spread = _reduced(xp, loss, reduction, count, axis)

    def grad_logits(g: Any) -> Any:
        wq = q if soft else (1 - ε) * own * _one_hot(xp, logits, index, axis) + (ε / classes) * w * valid
        return spread(g) * (xp.exp(log_p) * xp.sum(wq, axis=axis, keepdims=True) - wq)

    return out, (grad_logits, lambda g: (ε - 1) * spread(g) * w * log_p)
