"""The last projection and its loss in one operation, with PyTorch's name and signature."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array.manipulation import reshape
from ...backend.device.dtypes import float32, is_integral, is_real_floating
from ...backend.modes.autocast import is_autocast_enabled
from ...backend.nn import linear_cross_entropy as primitives
from ...backend.nn.loss import check_targets
from ...backend.tape.tensor import Tensor
from . import _check as check
from .linear import linear
from .loss import REDUCTIONS, cross_entropy

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """Cross-entropy of the logits x Wᵀ + b, which are never in memory: `cross_entropy(linear(x, W, b), y, …)`.

    They are computed for some rows at a time, and their gradients with them. It can be differentiated as often as
    you like, also by `weft.grad`, where PyTorch's chunked path cannot.

    Parameters
    ----------
    input : Tensor
        x, (N, in) or (in,).
    linear_weight : Tensor
        W, (C, in); or (C, d₁, …, in) for N·d₁·… losses.
    target : Tensor
        Class indices y (N), () or (N, d₁, …), or probabilities in the shape of the logits (N, C), (C,) or (N, C, d₁, …).
    linear_bias : Tensor, optional
        b, (C,) or (C, d₁, …).
    weight : Tensor, optional
        w (C), of the classes.
    reduction : {"mean", "sum", "none"}, default "mean"
        "mean" divides the sum by Σ w[y]; "none" gives the loss of each example.
    ignore_index : int, optional
        The class index that does not count, −100 unless given. There is none among probabilities.
    label_smoothing : float, default 0.0
        ε in [0, 1]: q ← (1 − ε) q + ε/C.
    options : LinearCrossEntropyOptions, optional
        PyTorch's choice of sizes and precision of its chunks. It changes nothing here: there is one path, which chooses
        sizes itself and adds up in float32.

    Returns
    -------
    Tensor
        0-d; with `reduction="none"`, a loss for each example.

    Raises
    ------
    TypeError
        If one is not a Tensor of a fitting dtype.
    ValueError
        If the shapes do not fit, an option is out of range, or there is an `ignore_index` with probabilities.
    IndexError
        If an index is no class. On a GPU, which it would have to wait for, loss and gradient of that row are NaN.

    Notes
    -----
    The logits are in memory for probabilities, for several losses per row (d₁, …), and for class weights inside `autocast`.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> x, table, y = weft.randn(6, 8), weft.randn(100, 8), weft.tensor([0, 99, 5, 5, 7, -100])
    >>> loss = F.linear_cross_entropy(x, table, y)
    >>> bool(abs(loss - F.cross_entropy(x @ table.T, y)) < 1e-5)
    True
    """
    logits = _check_arguments(input, linear_weight, linear_bias)
    if options is not None and not hasattr(options, "batch_chunk_size"):
        raise TypeError(f"`options` must be a LinearCrossEntropyOptions or None, got {options!r:.60}")
    check.tensor("target", target)
    is_soft = target.shape == logits and is_real_floating(target.data.dtype)
    if is_soft and ignore_index is not None:
        raise ValueError(f"`ignore_index` must be None where `target` holds probabilities, got {ignore_index}")
    if ignore_index is not None:
        check.integer("ignore_index", ignore_index)
    index = -100 if ignore_index is None else ignore_index
    if is_soft or len(logits) > 2 or (weight is not None and is_autocast_enabled()):
        return _composed(input, linear_weight, target, linear_bias, weight, logits, reduction, index, label_smoothing)
    check.one_of("reduction", reduction, REDUCTIONS)
    check.probability("label_smoothing", label_smoothing)
    if weight is not None:
        check.shape("weight", weight, linear_weight.shape[:1])
        check.same_dtype("weight", weight, "input", input)
    if target.shape != input.shape[:-1]:
        wanted = f"class indices of shape {tuple(input.shape[:-1])} for `input` of shape {tuple(input.shape)}"
        raise ValueError(f"`target` must hold {wanted}, got {tuple(target.shape)}")
    if not is_integral(target.data.dtype) or str(target.data.dtype).endswith("bool"):
        raise TypeError(
            f"`target` must have an integer dtype to hold class indices, got {target.dtype}; convert it: target.long()"
        )
    check_targets(target.data, len(linear_weight), index)
    is_one = input.ndim == 1
    loss = primitives.linear_cross_entropy(
        reshape(input, (1, -1)) if is_one else input,
        linear_weight,
        reshape(target, (1,)) if is_one else target,
        linear_bias,
        weight,
        ignore_index=index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        wanted=(input.requires_grad, linear_weight.requires_grad),
    )
    return reshape(loss, ()) if is_one and reduction == "none" else loss


def _check_arguments(input: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[int, ...]:
    """The shape of the logits."""
    check.floating("input", input)
    check.floating("linear_weight", weight)
    if not 1 <= input.ndim <= 2:
        raise ValueError(
            f"`input` must have shape (in,) or (N, in), got {tuple(input.shape)}; flatten its leading axes"
        )
    if weight.ndim < 2 or weight.shape[-1] != input.shape[-1]:
        wanted = f"(C, {input.shape[-1]}) or (C, d₁, …, {input.shape[-1]}) for `input` of shape {tuple(input.shape)}"
        raise ValueError(f"`linear_weight` must have shape {wanted}, got {tuple(weight.shape)}")
    if weight.ndim > 2 and input.ndim == 1:
        raise ValueError(
            f"`input` must have shape (N, in) with a `linear_weight` of shape {tuple(weight.shape)}, "
            f"got {tuple(input.shape)}"
        )
    check.same_dtype("linear_weight", weight, "input", input)
    if bias is not None:
        check.shape("linear_bias", bias, weight.shape[:-1])
        check.same_dtype("linear_bias", bias, "input", input)
    return (*input.shape[:-1], *weight.shape[:-1])


def _composed(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    shape: tuple[int, ...],
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    outputs = math.prod(linear_weight.shape[:-1])
    if linear_weight.ndim > 2:
        linear_weight = reshape(linear_weight, (outputs, linear_weight.shape[-1]))
        linear_bias = None if linear_bias is None else reshape(linear_bias, (outputs,))
    logits = reshape(linear(input, linear_weight, linear_bias), shape)
    if logits.data.dtype.itemsize < 4 and is_autocast_enabled():
        logits = logits.to(float32)
    return cross_entropy(
        logits, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
