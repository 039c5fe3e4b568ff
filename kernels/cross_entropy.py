"""Launchers of `cross_entropy.cu`: softmax cross-entropy, losses and the gradient of the logits from one launch."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from . import reductions
from .toolchain.launch import FLOATS, Kernel, empty, library_of, on_16_bytes

__all__ = ["count", "cross_entropy", "scale"]

# what is below 2⁻¹²⁶ may become 0: exponentials would take twice the instructions to keep it
_kernel = functools.partial(Kernel, "cross_entropy.cu", options=("-ftz=true",))
cross_entropy_rows = _kernel("cross_entropy_rows", FLOATS, (32, 256, 512))
cross_entropy_columns = _kernel("cross_entropy_columns", FLOATS)
cross_entropy_few = _kernel("cross_entropy_few", FLOATS, (False, True))
sum_of_weights = _kernel("sum_of_weights")
sum_of_values = _kernel("sum_of_values", FLOATS)

FLOAT32 = FLOATS[0]
BLOCK = 256  # threads of a block, where a row has none of its own
TINY = 128  # bytes of a row: up to here one thread does it all
WARP, SMALL = 4096, 32768  # bytes of a row up to which one warp, and 256 threads, are enough for it
CACHE = 112 * 1024  # bytes of a row that stay in shared memory: two blocks share a multiprocessor's 227 KiB
COLUMNS = 32  # positions behind the classes: fewer are not worth reading side by side
SHARE = 1 << 14  # values that one block sums


def cross_entropy(
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    gradient: bool = True,
    grad_loss: Any = None,
    inplace: bool = False,
    dtype: np.dtype | None = None,
    count: Any = None,
) -> tuple[Any, Any]:
    """(loss, grad_logits) of logits (N, C), (C,) or (N, C, …), integer targets (N), () or (N, …) and weights (C) or None.

    The loss has the shape of the target, or () if reduced, and `dtype`: that of the logits unless given; a mean divides by
    Σ w_y over the rows that count and is NaN if that is 0; for part of the rows, `count` is that of all. `grad_loss`, in the
    shape of the loss, multiplies the gradient.
    `grad_logits` is None unless `gradient`; with `inplace` it replaces the logits where these are contiguous. A target that
    is neither a class nor `ignore_index` makes loss and gradient of its row NaN. Nothing waits for the device.
    """
    xp = library_of(logits)
    target = xp.ascontiguousarray(target, dtype=np.int64).reshape(target.shape)
    weight, grad_loss = (None if a is None else xp.ascontiguousarray(a, dtype=FLOAT32) for a in (weight, grad_loss))
    dtype = logits.dtype if dtype is None else dtype
    x, inner = _layout(xp, logits)
    classes = logits.shape[min(1, logits.ndim - 1)]
    if reduction == "mean" and count is None:
        count = _count(target, weight, classes, ignore_index)
    losses = empty(target.shape, FLOAT32, like=x)
    grad = None if not gradient else x if inplace else empty(x.shape, x.dtype, like=x)
    _launch(
        (x, target, weight, count, grad_loss, losses, grad),
        classes,
        inner,
        (np.int64(ignore_index), np.float32(label_smoothing), np.bool_(reduction == "none")),
    )
    if grad is not None and inner == 1 and logits.ndim > 2:  # classes come last
        grad = xp.moveaxis(grad, -1, 1)
    if reduction == "none":
        return losses.astype(dtype, copy=False), grad
    return _total(losses, count, dtype), grad


def count(target: Any, weight: Any, classes: int, ignore_index: int) -> Any:
    """What a mean over these rows divides by, Σ w_y of those that count, on their device."""
    xp = library_of(target)
    target = xp.ascontiguousarray(target, dtype=np.int64)
    return _count(
        target, None if weight is None else xp.ascontiguousarray(weight, dtype=FLOAT32), classes, ignore_index
    )


def scale(values: Any, factor: Any) -> Any:
    """values ← factor · values for contiguous values and a factor (); returns them."""
    reductions.scale(values, factor.astype(np.float32, copy=False))
    return values


def _layout(xp: Any, logits: Any) -> tuple[Any, int]:
    """The logits in contiguous memory, and how many positions lie behind the classes there: 1 if these come last."""
    moved, inner = (logits, 1) if logits.ndim < 3 else (xp.moveaxis(logits, 1, -1), math.prod(logits.shape[2:]))
    if moved.flags.c_contiguous or inner < COLUMNS:
        x, inner = xp.ascontiguousarray(moved), 1
    else:
        x = xp.ascontiguousarray(logits)
    return (x if on_16_bytes(x) else x.copy()), inner


def _launch(arrays: tuple, classes: int, inner: int, options: tuple) -> None:
    x, target = arrays[:2]
    rows, size = target.size, classes * x.itemsize
    blocks = math.ceil(rows / BLOCK)
    if inner > 1:
        cross_entropy_columns[x.dtype](
            blocks, BLOCK, *arrays, np.int64(rows), np.int32(classes), np.int64(inner), *options
        )
        return
    if size <= TINY:
        padded = size % 16 == 0  # the same class of many rows would lie in one bank
        pitch = (size + 4 * padded) // x.itemsize
        sizes = (
            np.int64(rows),
            np.int32(classes),
            np.int32(pitch),
            np.uint32(-(-(1 << 32) // (size // 4)) if padded else 0),
        )
        shared = -(-BLOCK * pitch * x.itemsize // 16) * 16
        cross_entropy_few[x.dtype, padded](blocks, BLOCK, *arrays, *sizes, *options, shared=shared)
        return
    threads = 32 if size <= WARP else 256 if size <= SMALL else 512
    teams = BLOCK // 32 if threads == 32 else 1
    kept = min(size, CACHE) // 16
    cross_entropy_rows[x.dtype, threads](
        math.ceil(rows / teams),
        teams * threads,
        *arrays,
        np.int64(rows),
        np.int32(classes),
        np.int32(kept),
        *options,
        shared=teams * kept * 16,
    )


def _count(target: Any, weight: Any, classes: int, ignore_index: int) -> Any:
    """Σ w_y over the rows that count, as one float32."""
    blocks = max(1, math.ceil(target.size / SHARE))
    partial = empty(blocks, FLOAT32, like=target)
    sizes = (np.int64(target.size), np.int32(classes), np.int64(ignore_index))
    sum_of_weights(blocks, BLOCK, target, weight, partial, *sizes)
    return partial if blocks == 1 else _total(partial, None, FLOAT32)


def _total(values: Any, count: Any, dtype: np.dtype) -> Any:
    """Σ values / count, as one number, in two steps where they are many."""
    blocks = math.ceil(values.size / SHARE)
    if blocks > 1:
        partial = empty(blocks, FLOAT32, like=values)
        sum_of_values[FLOAT32](blocks, BLOCK, values, None, partial, np.int64(values.size))
        values = partial
    out = empty((), dtype, like=values)
    sum_of_values[dtype](1, BLOCK, values, count, out, np.int64(values.size))
    return out
