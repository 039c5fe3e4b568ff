"""Normalisations, and the losses of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import weft

from ....layers import functional as F
from .elementwise import DTYPES, Attributes

__all__ = ["HOST", "OPERATORS"]


def batch_normalization(attributes: Attributes, x: Any, scale: Any, shift: Any, mean: Any, var: Any) -> Any:
    """By running statistics; in training mode by those of the batch, which are mixed into the running ones (var biased)."""
    eps, momentum = attributes.get("epsilon", 1e-5), attributes.get("momentum", 0.9)
    if not attributes.get("training_mode", 0):
        return F.batch_norm(x, mean, var, scale, shift, False, 0.0, eps)
    axes = tuple(i for i in range(x.ndim) if i != 1)
    now_mean, now_var = weft.mean(x, axis=axes), weft.var(x, axis=axes)
    y = F.batch_norm(x, None, None, scale, shift, True, 0.0, eps)
    return y, mean * momentum + now_mean * (1 - momentum), var * momentum + now_var * (1 - momentum)


def instance_normalization(attributes: Attributes, x: Any, scale: Any, shift: Any) -> Any:
    """Each plane by its own moments."""
    return F.instance_norm(x, None, None, scale, shift, True, 0.0, attributes.get("epsilon", 1e-5))


def group_normalization(attributes: Attributes, x: Any, scale: Any, shift: Any) -> Any:
    """Groups of channels; before version 21 scale and shift are those of groups."""
    groups = attributes["num_groups"]
    if attributes["opset"] < 21:
        each = x.shape[1] // groups
        scale, shift = scale.repeat_interleave(each), shift.repeat_interleave(each)
    return F.group_norm(x, groups, scale, shift, attributes.get("epsilon", 1e-5))


def _low(x: Any) -> bool:
    return weft.isdtype(x.dtype, "real floating") and x.dtype.itemsize < 4


def layer_normalization(attributes: Attributes, x: Any, scale: Any, shift: Any = None) -> Any:
    """All axes from `axis` on; besides the moments, mean and 1/σ, where they are asked for."""
    axis, eps = attributes.get("axis", -1) % x.ndim, attributes.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    if attributes["outputs"] == 1 and tuple(scale.shape) == shape and (shift is None or tuple(shift.shape) == shape):
        return F.layer_norm(x, shape, scale, shift, eps)
    axes = tuple(range(axis, x.ndim))
    work = x.astype(DTYPES[attributes.get("stash_type", 1)]) if _low(x) else x
    mean = weft.mean(work, axis=axes, keepdims=True)
    inverse = 1 / weft.sqrt(weft.mean((work - mean) ** 2, axis=axes, keepdims=True) + eps)
    y = ((work - mean) * inverse).astype(x.dtype) * scale
    return (y if shift is None else y + shift), mean, inverse


def rms_normalization(attributes: Attributes, x: Any, scale: Any) -> Any:
    """By the root of the mean square."""
    axis, eps = attributes.get("axis", -1) % x.ndim, attributes.get("epsilon", 1e-5)
    if tuple(scale.shape) == x.shape[axis:]:
        return F.rms_norm(x, x.shape[axis:], scale, eps)
    axes = tuple(range(axis, x.ndim))
    return x / weft.sqrt(weft.mean(x * x, axis=axes, keepdims=True) + eps) * scale


def lrn(attributes: Attributes, x: Any) -> Any:
    """By squares of neighbouring channels, fewer before than after where `size` is even."""
    n = attributes["size"]
    channels = x.shape[1]
    before = (n - 1) // 2
    squares = F.pad(weft.moveaxis(x * x, 1, -1), (before, n - 1 - before))
    total = sum((squares[..., i : i + channels] for i in range(1, n)), squares[..., :channels])
    alpha, beta, bias = attributes.get("alpha", 1e-4), attributes.get("beta", 0.75), attributes.get("bias", 1.0)
    return x / (bias + alpha / n * weft.moveaxis(total, -1, 1)) ** beta


def lp_normalization(attributes: Attributes, x: Any) -> Any:
    """By the norm along an axis; zeros stay zeros."""
    p, axis = attributes.get("p", 2), attributes.get("axis", -1)
    size = (
        weft.sum(weft.abs(x), axis=axis, keepdims=True)
        if p == 1
        else weft.sqrt(weft.sum(x * x, axis=axis, keepdims=True))
    )
    return weft.where(size == 0, weft.zeros_like(x), x / weft.where(size == 0, weft.ones_like(size), size))


def mean_variance(attributes: Attributes, x: Any) -> Any:
    """(x − μ)/σ over axes."""
    axes = tuple(attributes.get("axes", (0, 2, 3)))
    centred = x - weft.mean(x, axis=axes, keepdims=True)
    return centred / (
        weft.sqrt(weft.mean(x * x, axis=axes, keepdims=True) - weft.mean(x, axis=axes, keepdims=True) ** 2) + 1e-9
    )


def negative_log_likelihood(attributes: Attributes, log_p: Any, target: Any, weight: Any = None) -> Any:
    """−log p of the targets; ignored ones count for nothing."""
    ignored = attributes.get("ignore_index", -(2**40))  # which no class has
    how = attributes.get("reduction", b"mean").decode()
    return F.nll_loss(log_p, target, weight, ignore_index=ignored, reduction=how)


def softmax_cross_entropy(attributes: Attributes, scores: Any, target: Any, weight: Any = None) -> Any:
    """The loss, and log p where it is asked for."""
    log_p = F.log_softmax(scores, 1)
    loss = negative_log_likelihood(attributes, log_p, target, weight)
    return (loss, log_p) if attributes["outputs"] > 1 else loss


OPERATORS: dict[str, Callable[..., Any]] = {
    "BatchNormalization": batch_normalization, "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization, "LRN": lrn, "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization, "MeanVarianceNormalization": mean_variance,
    "NegativeLogLikelihoodLoss": negative_log_likelihood, "RMSNormalization": rms_normalization,
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {}
