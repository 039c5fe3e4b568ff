"""Linear cross-entropy in chunks of rows: one product, then losses and the gradient of the logits in their own memory.

A chunk's logits are overwritten by their gradient (`cross_entropy.cu`), of which two products make those of x and W, added up
in float32. Three products in all; of float16 four, whose gradients are made in backward, when the loss scale is known.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels import activation as activations
from ...kernels import cross_entropy as losses
from ...kernels import linear as linears
from ...kernels.toolchain.launch import FLOATS, empty, library_of
from ..device.gemm import gemm
from ..modes.autocast import FLOAT32, is_autocast_enabled
from ..nn import linear_cross_entropy as primitives
from ..tape.autograd import is_grad_enabled
from . import replaces

CHUNK = 1 << 26  # bytes of a chunk's logits
LEAST = 128  # rows of one, for products that are worth a launch


@replaces(primitives.linear_cross_entropy)
def linear_cross_entropy(
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
    """A target that is no class makes the loss NaN: to raise an IndexError would be to wait for the device."""
    floats = [a for a in (weight, bias) if a is not None]
    if x.dtype not in FLOATS or any(a.dtype != x.dtype for a in floats) or not x.size or not weight.size:
        return NotImplemented
    dtype = FLOAT32 if is_autocast_enabled() else x.dtype
    if target.dtype.kind not in "iu" or (class_weight is not None and class_weight.dtype != dtype):
        return NotImplemented
    xp = library_of(x)
    count = losses.count(target, class_weight, len(weight), ignore_index) if reduction == "mean" else None
    options: dict[str, Any] = {
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
        "count": count,
    }

    def run(of_x: bool, of_weight: bool, of_bias: bool, g: Any = None) -> tuple[Any, list]:
        """The loss, and the gradients in float32 but for that of x, of g · loss."""
        parts, step = [], max(LEAST, CHUNK // (len(weight) * x.itemsize))
        grad_x = empty(x.shape, x.dtype, like=x) if of_x else None
        grad_weight = empty(weight.shape, FLOAT32, like=x) if of_weight else None
        grad_bias = None
        for i in range(0, len(x), step):
            rows = x[i : i + step]
            z, _ = linears.forward(rows, weight, bias, keep=False)
            of_rows = g[i : i + step] if g is not None and reduction == "none" else g
            part, z = losses.cross_entropy(
                z,
                target[i : i + step],
                class_weight,
                gradient=of_x or of_weight or of_bias,
                grad_loss=of_rows,
                inplace=True,
                dtype=FLOAT32,
                **options,
            )
            parts.append(part)
            if grad_x is not None:
                gemm(xp, z, weight, out=grad_x[i : i + step])
            if grad_weight is not None:
                gemm(xp, z.T, rows, out=grad_weight, accumulate=i > 0)
            if of_bias:
                summed = activations.column_sums(z, out=empty(len(weight), FLOAT32, like=x))
                grad_bias = summed if grad_bias is None else grad_bias + summed
        if reduction == "none":
            return xp.concatenate(parts).astype(dtype, copy=False), [grad_x, grad_weight, grad_bias]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total.astype(dtype, copy=False), [grad_x, grad_weight, grad_bias]

    # What float16 cannot hold is lost before the loss scale comes, and single losses have gradients of their own.
    early = is_grad_enabled() and reduction != "none" and x.dtype != np.float16 and any(wanted)
    loss, made = run(*wanted, wanted[1] and bias is not None) if early else run(False, False, False)
    prepared = made if early else None

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        nonlocal prepared
        needed = need[0], need[1], bias is not None and need[3]
        found, prepared = prepared, None  # handed out once, to be kept or written to
        if found is None or any(n and a is None for n, a in zip(needed, found)):
            found = run(*needed, g)[1]
        else:
            for grad in found:
                if grad is not None:
                    losses.scale(grad, g)
        grad_x, grad_weight, grad_bias = found
        return (
            grad_x if need[0] else None,
            _placed(grad_weight, into[1], weight) if need[1] else None,
            None,
            _placed(grad_bias, into[3], bias) if needed[2] else None,
            None,
        )[: len(need)]

    return loss, vjp


def _placed(grad: Any, into: Any, like: Any) -> Any:
    """A gradient in float32, where it belongs, or in the dtype that it should have."""
    if into is None:
        return grad.astype(like.dtype, copy=False)
    into[...] = grad
    return into
