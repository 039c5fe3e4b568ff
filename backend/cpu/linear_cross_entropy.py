"""Linear cross-entropy on NumPy: a chunk of rows at a time, the classes in blocks that stay in cache.

The logits of a chunk of rows are computed a block of classes at a time and become e = exp(z) while they are in cache; when all
blocks are there, so is s = Σ_c e_c, and the gradient of the logits, e/s − 1_y, is multiplied by W and by x at once, without
having been written anywhere: 1/s goes into the rows of x. Three products in all, which is as few as there can be. A chunk is
stored class by class, (C, rows): the products with W then are those that BLAS does best.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..device.parallel import parallel_for
from ..nn import linear_cross_entropy as primitives
from ..tape.autograd import _mode, in_float32, is_grad_enabled
from .blocks import CPU_FLOATS, ones
from .loss import _valid

CHUNK = 50 << 20  # bytes of e for a chunk of rows
ROWS = 1024  # in a chunk, at most: more do not make the products faster
BLOCK = 1 << 20  # bytes of W and e for a block of classes, half of a second-level cache
GROUPS = 8  # of blocks, whose shares of grad_x are added in order, whatever the number of threads


class Gradients(NamedTuple):
    """Of x, W and b; None where they have not been asked for."""

    x: Any
    weight: Any
    bias: Any


@primitives.linear_cross_entropy.on("cpu")
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
    """The gradients are made in forward, and multiplied by the loss's in backward; those of single losses in backward."""
    options: dict[str, Any] = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    if x.dtype == weight.dtype and x.dtype.itemsize == 2:
        dtype = np.float32 if _mode.cast is not None else None
        static = {**options, "wanted": wanted, "dtype": dtype}
        return in_float32(_in_float32, np, (x, weight, target, bias, class_weight), static)
    floats = [a for a in (x, weight, bias, class_weight) if a is not None]
    if x.dtype not in CPU_FLOATS or any(a.dtype != x.dtype for a in floats) or not x.size or not weight.size:
        return NotImplemented
    if target.dtype.kind not in "iu" or (class_weight is not None and not class_weight.min() >= 0):
        return NotImplemented
    task = _Task(x, weight, target, bias, class_weight, **options)
    early = is_grad_enabled() and reduction != "none" and any(wanted)
    losses, made = task.run(*(wanted if early else (False, False)))
    prepared = made if early else None

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        nonlocal prepared
        of_x, of_weight, of_bias = need[0], need[1], bias is not None and need[3]
        found, prepared = prepared, None  # handed out once, to be kept or written to
        if found is None or (of_x and found.x is None) or ((of_weight or of_bias) and found.weight is None):
            rows = g if reduction == "none" else np.broadcast_to(g, target.shape)
            found = task.run(of_x, of_weight or of_bias, rows)[1]
        elif g.item() != 1:
            found = Gradients(*[a if a is None else np.multiply(a, g, a) for a in found])
        grads = (found.x, found.weight, None, found.bias, None)
        return tuple(_placed(a, to) if n else None for a, n, to in zip(grads, need, into))

    return losses, vjp


def _in_float32(xp: Any, *raw: Any, dtype: Any, **options: Any) -> Any:
    found = linear_cross_entropy(*raw, **options)
    return primitives.linear_cross_entropy.generic(xp, *raw, **options) if found is NotImplemented else found


def _placed(grad: Any, into: Any) -> Any:
    if grad is None or into is None:
        return grad
    into[...] = grad
    return into


class _Task:
    """The rows that count, and what each counts for: ℓ = hot · (lse − z_y) + even · Σ_c w_c (lse − z_c)."""

    def __init__(
        self,
        x: Any,
        weight: Any,
        target: Any,
        bias: Any,
        class_weight: Any,
        *,
        ignore_index: int,
        label_smoothing: float,
        reduction: str,
    ):
        self.weight, self.bias, self.class_weight, self.reduction = weight, bias, class_weight, reduction
        self.count, classes, dtype = len(x), len(weight), x.dtype
        labels = target.astype(np.intp, copy=False)
        valid = _valid(labels, classes, ignore_index)
        self.kept = None if valid is None or valid.all() else np.flatnonzero(valid)
        self.x, self.labels = (x, labels) if self.kept is None else (x[self.kept], labels[self.kept])
        own = np.ones(len(self.x), dtype) if class_weight is None else class_weight[self.labels]
        self.divisor = own.sum().item() if reduction == "mean" else 1.0
        scale = 1 / self.divisor if self.divisor else 1.0
        self.hot = own * dtype.type((1 - label_smoothing) * scale)
        self.even = label_smoothing * scale / classes
        self.weights = classes if class_weight is None else class_weight.sum().item()
        self.rows, self.step = _sizes(len(self.x), classes, x.shape[1], dtype.itemsize)

    def run(self, of_x: bool, of_weight: bool, g: Any = None) -> tuple[Any, Gradients]:
        """The loss, reduced, and the gradients, of the rows' losses times g (N) if given; of W with that of b."""
        x, weight, dtype = self.x, self.weight, self.x.dtype
        losses = np.empty(len(x), dtype)
        grad_x = np.empty_like(x, order="C") if of_x else None
        grad_weight = np.zeros_like(weight, order="C") if of_weight else None
        grad_bias = np.zeros_like(self.bias) if of_weight and self.bias is not None else None
        g = None if g is None else (g if self.kept is None else g[self.kept])
        e = np.empty((len(weight), self.rows), dtype) if len(x) else None
        made = Gradients(grad_x, grad_weight, grad_bias)
        for i in range(0, len(x), self.rows):
            self._chunk(slice(i, min(i + self.rows, len(x))), e, losses, g, made)
        if self.even and (of_x or of_weight):
            self._smooth(g, made)
        if self.kept is not None:
            losses, grad_x = _spread(losses, self.kept, self.count), _spread(grad_x, self.kept, self.count)
        if self.reduction != "none":
            total = losses.sum(dtype=np.float64).astype(dtype)
            losses = np.asarray(total if self.divisor else total * math.nan)
        return losses, Gradients(grad_x, grad_weight, grad_bias)

    def _chunk(self, at: slice, memory: Any, losses: Any, g: Any, made: Gradients) -> None:
        x, hot, labels = np.ascontiguousarray(self.x[at]), self.hot[at], self.labels[at]
        n = len(x)
        e = memory.reshape(-1)[: len(self.weight) * n].reshape(-1, n)  # (C, n)
        s, shift = self._exponentials(x, e)
        place = labels, np.arange(n)
        if shift is None:  # ln(s/e_y), not ln s − z_y: nothing cancels where the loss is small
            lse, nll = np.log(s), np.log(s / e[place])
        else:
            z_y = np.vecdot(x, self.weight[labels]) + (0 if self.bias is None else self.bias[labels])
            lse = np.log(s) + shift
            nll = np.maximum(lse - z_y, 0)
        losses[at] = hot * nll
        if self.even:
            mean, offset = self._weighted()
            losses[at] += self.even * (self.weights * lse - (x @ mean + offset))
        if made.x is None and made.weight is None:
            return
        total = hot + self.even * self.weights
        e[place] -= s * np.divide(hot, total, out=np.zeros(n), where=total != 0)
        factor = (total / s if g is None else g[at] * total / s).astype(x.dtype)
        self._products(x, e, factor, at, made)

    def _weighted(self) -> tuple[Any, float]:
        """Σ_c w_c W_c and Σ_c w_c b_c."""
        w = ones(len(self.weight), self.weight.dtype) if self.class_weight is None else self.class_weight
        return w @ self.weight, 0.0 if self.bias is None else float(w @ self.bias)

    def _exponentials(self, x: Any, e: Any) -> tuple[Any, Any]:
        """Write e = exp(z − shift) for the logits z of rows x; return Σ_c e (n) and the shift, None for 0."""
        x_t = np.ascontiguousarray(x.T)
        blocks = -(-len(e) // self.step)
        sums, shifts = np.empty((blocks, len(x))), np.zeros((blocks, len(x)), x.dtype)

        def run(start: int, stop: int) -> None:
            for k in range(start, stop):
                of = slice(k * self.step, (k + 1) * self.step)
                z = np.matmul(self.weight[of], x_t, out=e[of])
                if self.bias is not None:
                    z += self.bias[of, None]
                if not (z.max() < 30 and z.min() > -30):
                    top = z.max(axis=0)
                    shifts[k] = np.where(np.isneginf(top), 0, top)
                    z -= shifts[k]
                np.exp(z, out=z)
                sums[k] = ones((1, len(z)), z.dtype) @ z

        parallel_for(run, blocks)
        if not shifts.any():
            return sums.sum(axis=0), None
        shift = shifts.max(axis=0)
        factors = np.exp(shifts - shift)
        for k in range(blocks):
            e[k * self.step : (k + 1) * self.step] *= factors[k]
        return (sums * factors).sum(axis=0), shift

    def _products(self, x: Any, e: Any, factor: Any, at: slice, made: Gradients) -> None:
        """Of the gradient of the logits, eᵀ · factor: with W to grad_x[at]; with x added to grad_W, summed to grad_b."""
        blocks = -(-len(e) // self.step)
        groups = min(GROUPS, blocks)
        scaled, shares = x * factor[:, None], np.zeros((groups, *x.shape), x.dtype)

        def run(start: int, stop: int) -> None:
            for group in range(start, stop):
                for k in range(blocks * group // groups, blocks * (group + 1) // groups):
                    of = slice(k * self.step, (k + 1) * self.step)
                    if made.x is not None:
                        shares[group] += e[of].T @ self.weight[of]
                    if made.weight is not None:
                        made.weight[of] += e[of] @ scaled
                    if made.bias is not None:
                        made.bias[of] += e[of] @ factor

        parallel_for(run, groups)
        if made.x is not None:
            np.multiply(shares.sum(axis=0), factor[:, None], out=made.x[at])

    def _smooth(self, g: Any, made: Gradients) -> None:
        """What −even w adds to the gradient of each row's logits."""
        rows = np.full(len(self.x), self.even, self.x.dtype) if g is None else self.even * g
        w = np.ones(len(self.weight), self.x.dtype) if self.class_weight is None else self.class_weight
        if made.x is not None:
            made.x[...] -= np.outer(rows, self._weighted()[0])
        if made.weight is not None:
            made.weight[...] -= np.outer(w, rows @ self.x)
        if made.bias is not None:
            made.bias[...] -= w * rows.sum()


def _sizes(rows: int, classes: int, width: int, itemsize: int) -> tuple[int, int]:
    """Rows of a chunk, chunks being about equal, and classes of a block."""
    most = max(16, min(ROWS, CHUNK // (classes * itemsize)) // 16 * 16)
    chunks = max(1, math.ceil(rows / most))
    n = max(1, min(most, rows, 16 * math.ceil(rows / chunks / 16)))
    return n, max(64, BLOCK // (itemsize * (width + n)))


def _spread(a: Any, kept: Any, count: int) -> Any:
    """The rows where they belong, among rows of zeros."""
    if a is None:
        return None
    full = np.zeros((count, *a.shape[1:]), a.dtype)
    full[kept] = a
    return full
