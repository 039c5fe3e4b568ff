"""The last projection of a classifier and its loss as one operation, so that the logits need never be in memory."""

from __future__ import annotations

from typing import Any

from ..device.gemm import gemm
from ..tape.autograd import _mode, primitive
from .loss import softmax_cross_entropy

__all__ = ["linear_cross_entropy"]


@primitive(precision="low")
def linear_cross_entropy(
    xp: Any,
    x: Any,
    weight: Any,
    target: Any,
    bias: Any = None,
    class_weight: Any = None,
    /,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    wanted: tuple[bool, bool] = (True, True),
) -> Any:
    """ℓ = `softmax_cross_entropy` of the logits z = x Wᵀ + b, for x (N, in), W (C, in), b (C) and class indices y (N).

    With g_z the gradient of the logits: grad_x = g_z W, grad_W = g_zᵀ x, grad_b = Σ g_z. `wanted` says whether those of x
    and W are likely to be asked for, which decides what a device prepares, and no result. Inside `autocast` the loss is
    float32.
    """
    logits = gemm(xp, x, xp.matrix_transpose(weight))
    if bias is not None:
        logits = logits + bias
    if _mode.cast is not None and xp.isdtype(logits.dtype, "real floating") and logits.dtype.itemsize < 4:
        logits = xp.astype(logits, xp.float32)
    loss, (pull, _) = softmax_cross_entropy.generic(
        xp,
        logits,
        target,
        class_weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
    )

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g_z = xp.astype(pull(g), x.dtype)
        grad_x = gemm(xp, g_z, weight) if need[0] else None
        grad_weight = gemm(xp, xp.matrix_transpose(g_z), x) if need[1] else None
        grad_bias = xp.sum(g_z, axis=0) if bias is not None and need[3] else None
        return grad_x, grad_weight, None, grad_bias, None

    return loss, vjp
