"""Connectionist temporal classification: −ln of the probability of all alignments of a target with a sequence.

Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural Networks"
(2006). The target y₁ … y_L stands as l = (blank, y₁, blank, …, y_L, blank) of S = 2L + 1 states. A path stays, moves by one
state, or by two if that skips the blank between different labels; it starts in one of the first two states and ends in
one of the last two. In logarithms throughout, with 0 standing as −∞:

    α_t(s) = x_t(l_s) + ln Σ exp α_{t−1}(s'),  s' ∈ {s, s−1, s−2 if allowed}
    β_t(s) = ln Σ exp (x_{t+1}(l_s') + β_{t+1}(s')),  s' ∈ {s, s+1, s+2 if allowed}
    ln p = ln Σ exp α_T(s) over the last two states,  posterior γ_t(s) = exp(α_t(s) + β_t(s) − ln p)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..tape.autograd import primitive
from ..tape.recording import as_one
from .loss import _reduced, note_outside, read

__all__ = ["check_alignment", "ctc_loss"]


@as_one()
def check_alignment(
    targets: Any, target_lengths: Any, input_lengths: Any, steps: int, classes: int, blank: int
) -> None:
    """Raise if lengths are too large or labels no classes, or blank, if these can be `read`."""
    given, lengths = read(targets), read(target_lengths)
    for name, most, raw in (
        ("input_lengths", steps, input_lengths),
        ("target_lengths", targets.shape[1], target_lengths),
    ):
        seen = read(raw)
        if seen is not None and seen.size and (seen.min() < 0 or seen.max() > most):
            raise ValueError(f"`{name}` must be in [0, {most}], got {seen.tolist()}")
    if given is None or lengths is None:
        note_outside("targets", targets, classes)
        return
    labels = given[np.arange(given.shape[1]) < lengths[:, None]]
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise IndexError(f"`targets` must hold classes in [0, {classes}), got {wrong[0]}")
    if (labels == blank).any():
        raise ValueError(f"`targets` must not hold the blank, {blank}: it stands between labels by itself; remove it")


def _log_sum(xp: Any, *terms: Any) -> Any:
    """ln Σ exp, −∞ of nothing but −∞."""
    most = terms[0]
    for x in terms[1:]:
        most = xp.maximum(most, x)
    nothing = most == -math.inf
    most = xp.where(nothing, xp.zeros_like(most), most)
    total = sum(xp.exp(x - most) for x in terms)
    return xp.where(
        nothing, xp.full_like(most, -math.inf), most + xp.log(xp.where(nothing, xp.ones_like(total), total))
    )


def _moved(xp: Any, x: Any, by: int) -> Any:
    """x(s − by), −∞ where there is no such state."""
    n = min(abs(by), x.shape[1])
    edge = xp.full((x.shape[0], n), -math.inf, dtype=x.dtype, device=x.device)
    return xp.concat((edge, x[:, : x.shape[1] - n]) if by > 0 else (x[:, n:], edge), axis=1)


def _states(xp: Any, targets: Any, lengths: Any, classes: int, blank: int) -> tuple[Any, Any, Any, Any]:
    """(l, whether a path may skip to each state, whether it may end there, whether all labels are classes)."""
    n, most = targets.shape
    place = xp.arange(most, dtype=xp.int64, device=targets.device)
    is_label = place < xp.expand_dims(lengths, axis=1)
    exists = xp.all(~is_label | ((targets >= 0) & (targets < classes)), axis=1)
    blanks = xp.full_like(targets, blank)
    labels = xp.where(is_label & (targets >= 0) & (targets < classes), targets, blanks)
    states = (
        xp.concat((xp.reshape(xp.stack((blanks, labels), axis=2), (n, 2 * most)), blanks[:, :1]), axis=1)
        if most
        else (xp.full((n, 1), blank, dtype=targets.dtype, device=targets.device))
    )
    index = xp.arange(2 * most + 1, dtype=xp.int64, device=targets.device)
    none = xp.full((n, 2), -1, dtype=states.dtype, device=states.device)
    before = xp.concat((none, states), axis=1)[:, : 2 * most + 1]
    skips = (index % 2 == 1) & (index > 1) & (states != before)
    end = 2 * xp.expand_dims(lengths, axis=1)
    return states, skips, (index == end) | (index == end - 1), exists


@primitive(precision="full")
def ctc_loss(
    xp: Any,
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    /,
    *,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """ℓ = −ln p of x (T, N, C), y (N, L), and the lengths (N) of both; the mean is over N, of ℓ / max(1, target length).

    Where no alignment is possible ℓ is ∞ and its gradient NaN, or both 0 if `zero_infinity`. The gradient is PyTorch's,
    exp x − Σ_s γ(s) [l_s = c]: that by the numbers whose log-softmax is x. It is the derivative −Σ_s γ(s) [l_s = c] plus
    a term that log-softmax would add, and adds nothing to; of x that are no logarithms of probabilities it is not the derivative.
    """
    steps, _, classes = log_probs.shape
    states, skips, ends, exists = _states(xp, xp.astype(targets, xp.int64), target_lengths, classes, blank)
    forever = xp.full(states.shape, -math.inf, dtype=log_probs.dtype, device=log_probs.device)
    x = xp.take_along_axis(log_probs, xp.broadcast_to(states, (steps, *states.shape)), axis=2)
    runs = [xp.expand_dims(input_lengths > t, axis=1) for t in range(steps)]

    def onward(a: Any, by: int, may_skip: Any) -> Any:
        return _log_sum(xp, a, _moved(xp, a, by), xp.where(may_skip, _moved(xp, a, 2 * by), forever))

    index = xp.arange(states.shape[1], dtype=xp.int64, device=log_probs.device)
    alpha = [
        xp.where(index == 0, xp.zeros_like(forever), forever)
    ]  # before the first step: a path may stay or move by one
    for t in range(steps):
        ahead = onward(alpha[-1], 1, skips) if t else _log_sum(xp, alpha[0], _moved(xp, alpha[0], 1))
        alpha.append(xp.where(runs[t], x[t, ...] + ahead, alpha[-1]))
    last = xp.where(ends, alpha[-1], forever)
    most = xp.max(last, axis=1, keepdims=True)
    impossible = most == -math.inf
    most = xp.where(impossible, xp.zeros_like(most), most)
    total = xp.sum(xp.exp(last - most), axis=1, keepdims=True)
    log_p = most + xp.log(xp.where(impossible, xp.ones_like(total), total))
    infinity = xp.full_like(log_p, 0.0 if zero_infinity else math.inf)
    loss = xp.squeeze(xp.where(impossible, infinity, -log_p), axis=1)
    exists = xp.where(exists, xp.ones_like(loss), xp.full_like(loss, math.nan))
    scale = exists
    if reduction == "mean":
        scale = exists / xp.astype(xp.clip(target_lengths, min=1), loss.dtype)
    out, spread = _reduced(xp, loss * scale, reduction, loss.shape[0])

    def grad_log_probs(g: Any) -> Any:
        beta, onto = xp.where(ends, xp.zeros_like(forever), forever), xp.astype(skips, xp.int64)
        may_leave = (
            xp.concat((onto, xp.zeros((onto.shape[0], 2), dtype=onto.dtype, device=onto.device)), axis=1)[:, 2:] == 1
        )
        hot = xp.astype(
            xp.expand_dims(states, axis=2) == xp.arange(classes, dtype=xp.int64, device=log_probs.device),
            log_probs.dtype,
        )
        grads = []
        for t in reversed(range(steps)):
            if t + 1 < steps:
                beta = xp.where(runs[t + 1], onward(x[t + 1, ...] + beta, -1, may_leave), beta)
            posterior = xp.exp(alpha[t + 1] + beta - log_p)
            posterior = xp.where(impossible, xp.zeros_like(posterior), posterior)
            slope = xp.exp(log_probs[t, ...]) - xp.squeeze(xp.matmul(xp.expand_dims(posterior, axis=1), hot), axis=1)
            none = xp.full_like(slope, 0.0 if zero_infinity else math.nan)
            slope = xp.where(impossible, none, slope)
            grads.append(xp.where(runs[t], slope, xp.zeros_like(slope)))
        factor = xp.expand_dims(spread(g) * scale, axis=1)
        return factor * xp.stack(grads[::-1], axis=0)

    return out, (grad_log_probs,)
