"""Softmax cross-entropy: the gradient of the logits is made in forward, while they are in the multiprocessor's memory.

Under `autocast` half-precision logits come as they are, the loss is float32: what needs float32 is computed in it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...kernels import cross_entropy as kernels
from ...kernels.toolchain.launch import FLOATS
from ..modes.autocast import FLOAT32, is_autocast_enabled
from ..nn import loss as primitives
from ..tape.autograd import is_grad_enabled
from . import replaces


@replaces(primitives.softmax_cross_entropy)
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
    """A target that is no class makes the loss NaN: to raise an IndexError would be to wait for the device."""
    classes = logits.shape[min(1, logits.ndim - 1)]
    if logits.dtype not in FLOATS or target.dtype.kind not in "iu" or not classes:
        return NotImplemented
    dtype = FLOAT32 if is_autocast_enabled() else logits.dtype
    if weight is not None and weight.dtype != dtype:
        return NotImplemented
    run = functools.partial(
        kernels.cross_entropy,
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        dtype=dtype,
    )
    # Made in forward, if what it is multiplied by in backward may come later: not a number for each row, which costs as much
    # as to make it, nor the factor of a gradient scaler, which is there to keep float16 from rounding it to 0.
    early = reduction != "none" and logits.dtype != np.float16 and is_grad_enabled()
    out, gradient = run(gradient=early)

    def grad_logits(g: Any) -> Any:
        nonlocal gradient
        if gradient is None:  # or no longer there
            return run(grad_loss=g)[1]
        grad, gradient = gradient, None
        return kernels.scale(grad, g)

    return out, (grad_logits,)
