"""Products of recurrent layers on NumPy: of all steps at once, and of one step after the other with the same weights.

What the gates are made of lies gate by gate, (gates, rows, H), so that each is one piece of memory at every step. σ(z) is
½ (1 + tanh(z/2)): the rows of weights and biases that belong to such gates are halved, and one call of `tanh` does for all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device.parallel import num_threads, parallel_for
from ..device.products import matmul
from ..nn.recurrent import unroll
from ..tape.recording import as_one
from . import aligned
from .linear import column_sums
from .window_products import has_small_products

__all__ = ["Adjoint", "Inputs", "Product", "gradients", "half", "of_gates", "walk"]

# With AVX-512, OpenBLAS does not pack the matrices of a product of at most 10⁶ multiply-adds. Packing the weights at every
# step takes a third of its time, so they are cut into blocks of so many columns, if their number is a multiple of that.
BLOCKS, SMALL = (64, 32), 1_000_000
ROWS = 96  # of x that are fastest multiplied together in this way
WORTHWHILE = (
    1 << 24
)  # multiply-adds of the product of x with one gate's weight, from which on rows that repeat are looked for
SEQUENCES = 16  # sequences: products with fewer rows take longer for each
WORK = 1 << 22  # multiply-adds of a step and a thread: calls of less time are what threads wait for


def _block(rows: int, depth: int, columns: int, blocks: Sequence[int] = BLOCKS) -> int:
    """How many columns a block has: all where that is as good."""
    return next((b for b in blocks if columns % b == 0 and _is_small(rows, depth, b)), columns)


def _is_small(rows: int, depth: int, columns: int) -> bool:
    return rows * depth * columns <= SMALL and has_small_products()


@functools.lru_cache
def half(dtype: Any) -> np.ndarray:
    """½, as an array, which ufuncs take as it is."""
    return np.asarray(0.5, dtype)


def _cut(weight: Any, biases: Sequence[Any], order: Sequence[int], halved: int, block: int) -> np.ndarray:
    """(gates, H / block, K, block) of a weight (gates · H, K), with one more row for the sum of the biases, if there are any.

    Gates come in this order; those before `halved` are multiplied by ½.
    """
    width, depth = len(weight) // len(order), weight.shape[1]
    cut = aligned.empty((len(order), width // block, depth + bool(biases), block), weight.dtype)
    bias = sum(biases)
    for k, gate in enumerate(order):
        rows = slice(gate * width, (gate + 1) * width)
        cut[k, :, :depth] = weight[rows].reshape(-1, block, depth).swapaxes(1, 2)
        if biases:
            cut[k, :, depth] = bias[rows].reshape(-1, block)
    cut[:halved] *= half(weight.dtype)
    return cut


class Inputs:
    """The rows of x (rows, K), which are multiplied with a weight, each distinct one once where that pays.

    Text is a few characters or words again and again, and so are the rows that an embedding makes of it: if a quarter of
    them or fewer are distinct, products are with these. It takes the time of a few products with a row to find out. What
    depends on which they are is recorded as one call.
    """

    def __init__(self, x: np.ndarray, width: int):
        is_worthwhile = len(x) * x.shape[1] * width >= WORTHWHILE and x.shape[1] * x.itemsize >= 8
        self.x, self.which = x, _equal_rows(x) if is_worthwhile else None

    def project(self, weight: Any, biases: Sequence[Any], order: Sequence[int], halved: int, out: np.ndarray) -> None:
        """x Wₖᵀ + b for all gates, to (gates, rows, H)."""
        if self.which is None:
            _project(self.x, weight, biases, order, halved, out)
        else:
            _project_rows(out, self.x, self.which, weight, biases, order, halved)

    def gradients(self, d: np.ndarray, weight: Any, biases: Sequence[Any]) -> None:
        """Write dᵀ x to `weight` and the sum of d (rows, ·) to each of `biases`, those that are not None."""
        if self.which is None:
            _gradients_of_rows(Rows(self.x, None), d, weight, biases)
        else:
            _gradients(d, self.x, self.which, out=(weight, *biases))


@as_one(may_fail=False)
def _equal_rows(x: np.ndarray) -> np.ndarray:
    """For each row, a number that equal rows share, counted from 0; −1 for all if more than a quarter are distinct."""
    keys = np.ascontiguousarray(x[:, : 8 // x.itemsize]).view(np.uint64)[:, 0]
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) * 4 <= len(x) and np.array_equal(x, x[first[which]]):  # not if there is a NaN
        return which
    return np.full_like(which, -1)


@as_one(writes=True, may_fail=False)
def _project_rows(
    out: np.ndarray, x: np.ndarray, which: np.ndarray, weight: Any, biases: Sequence[Any], order: Any, halved: int
) -> None:
    Rows(x, which).project(weight, biases, order, halved, out)


@as_one(may_fail=False)
def _gradients(d: np.ndarray, x: np.ndarray, which: np.ndarray, *, out: tuple) -> tuple:
    _gradients_of_rows(Rows(x, which), d, out[0], out[1:])
    return out


class Rows:
    """The distinct rows of x, and which of them each row is, by what `_equal_rows` has found; all of them if it has not."""

    def __init__(self, x: np.ndarray, which: Any):
        self.x, self.which = x, None
        if which is not None and which[0] >= 0:
            first = np.empty(which.max() + 1, which.dtype)
            first[which[::-1]] = np.arange(len(x))[::-1]  # of several, the last number stays
            self.x, self.which = x[first], which

    def project(self, weight: Any, biases: Sequence[Any], order: Sequence[int], halved: int, out: np.ndarray) -> None:
        """As that of `Inputs`."""
        if self.which is None:
            _project(self.x, weight, biases, order, halved, out)
            return
        found = np.empty((len(order), len(self.x), out.shape[2]), out.dtype)
        _project(self.x, weight, biases, order, halved, found)
        for of_gate, to in zip(found, out):
            np.take(of_gate, self.which, 0, to, "clip")

    def summed(self, d: np.ndarray) -> np.ndarray:
        """What makes the gradient of the weight with these rows: the sum of d (rows, ·) over those that are equal."""
        if self.which is None:
            return d
        return np.matmul(np.equal.outer(np.arange(len(self.x)), self.which).astype(d.dtype), d)


def _gradients_of_rows(x: Rows, d: np.ndarray, weight: Any, biases: Sequence[Any]) -> None:
    if weight is None and all(bias is None for bias in biases):
        return
    summed = x.summed(d)
    if weight is not None:
        matmul(summed.T, x.x, weight)
    for bias in biases:
        if bias is not None:
            column_sums(summed, bias)


def _project(
    x: np.ndarray, weight: Any, biases: Sequence[Any], order: Sequence[int], halved: int, out: np.ndarray
) -> None:
    """The bias is one column more of x, which costs no visit."""
    biases, (count, features) = [b for b in biases if b is not None], x.shape
    depth, width = features + bool(biases), out.shape[2]
    wide = aligned.empty((count, features + 16), x.dtype)[:, :depth]
    wide[:, :features] = x
    wide[:, features:] = 1
    block = _block(ROWS, depth, width, BLOCKS[1:])
    each = ROWS if block < width and count >= ROWS else count
    cut = _cut(weight, biases, order, halved, block)
    whole = count // each * each
    for rows, n in ((slice(0, whole), each), (slice(whole, count), count - whole)):
        if n:
            to = out[:, rows].reshape(len(order), -1, n, width // block, block).transpose(1, 0, 3, 2, 4)
            _spread(wide[rows].reshape(-1, 1, 1, n, depth), cut, to)


def _spread(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    parallel_for(lambda start, stop: np.matmul(a[start:stop], b, out[start:stop]), len(a))


def of_gates(rows: int, width: int, dtype: Any) -> np.ndarray:
    """Memory for (rows, width): products that read it by columns lose a tenth where rows are a multiple of 4 KiB apart."""
    return aligned.empty((rows, width + 16), dtype)[:, :width]


class Product:
    """h (n, K) ↦ h Wₖᵀ for a weight (gates · H, K): (gates, n, H), always in the same memory, for `some` of the rows.

    `is_alike`: whether a row comes out alike however many there are.
    """

    def __init__(self, weight: np.ndarray, rows: int, order: Sequence[int], halved: int):
        gates, width = len(order), len(weight) // len(order)
        block = _block(rows, weight.shape[1], width)
        self.weight, self.is_alike = _cut(weight, (), order, halved, block), _is_small(rows, weight.shape[1], block)
        self.found = aligned.empty((gates, rows, width), weight.dtype)
        self.blocks = self.found.reshape(gates, rows, -1, block).swapaxes(1, 2)

    def __call__(self, h: np.ndarray, some: slice) -> np.ndarray:
        np.matmul(h, self.weight, self.blocks[:, :, some])
        return self.found[:, some]


class Adjoint:
    """d (n, gates · H) ↦ d W for a weight (gates · H, K): (n, K), always in the same memory, for `some` of the rows."""

    def __init__(self, weight: np.ndarray, rows: int, gates: int):
        width, depth = len(weight) // gates, weight.shape[1]
        block = _block(rows, width, depth)
        self.weight = aligned.copy(weight.reshape(gates, width, -1, block).swapaxes(1, 2))
        self.is_alike = _is_small(rows, width, block)
        self.parts = aligned.empty((gates, rows, depth), weight.dtype)
        self.blocks = self.parts.reshape(gates, rows, -1, block).swapaxes(1, 2)
        self.found = aligned.empty((rows, depth), weight.dtype)

    def __call__(self, d: np.ndarray, some: slice) -> np.ndarray:
        of_gates = d.reshape(len(d), len(self.parts), 1, -1).transpose(1, 2, 0, 3)
        np.matmul(of_gates, self.weight, self.blocks[:, :, some])
        return np.add.reduce(self.parts[:, some], 0, out=self.found[some])


def gradients(
    need: Sequence[bool], into: Sequence[Any], x: Inputs, h: Any, weight_ih: Any, d_ih: Any, d_hh: Any
) -> tuple:
    """Of x, weight_ih, weight_hh, bias_ih and bias_hh; the last four are written to `into` where that is given."""
    grad_x = matmul(d_ih, weight_ih) if need[0] else None
    grad_hh = matmul(d_hh.T, h, into[1]) if need[2] else None
    shape = weight_ih.shape
    grad_ih = _place(need[1], into[0], shape, d_ih.dtype)
    bias_ih, bias_hh = (_place(need[i + 1], into[i], shape[:1], d_ih.dtype) for i in (2, 3))
    is_shared = d_hh is d_ih
    x.gradients(d_ih, grad_ih, (bias_ih, bias_hh if is_shared else None))
    if bias_hh is not None and not is_shared:
        column_sums(d_hh, bias_hh)
    return grad_x, grad_ih, grad_hh, bias_ih, bias_hh


def _place(is_needed: bool, into: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Where a gradient is written, if it is."""
    return (np.empty(shape, dtype) if into is None else into) if is_needed else None


def walk(
    step: Callable, states: Sequence[Any], batch_sizes: Sequence[int], reverse: bool = False, work: int = 0
) -> Sequence[Any]:
    """`unroll` of step(rows, some, *states), `rows` being those of the step in what is packed, and `some` those of the states.

    `work` multiply-adds for each row of a step, 0 if a row does not come out alike however many there are.
    """
    count = batch_sizes[0]
    parts = min(num_threads(), count // SEQUENCES, work * count // WORK)
    if parts < 2 or count != batch_sizes[-1]:
        return unroll(np, lambda rows, *now: step(rows, slice(0, len(now[0])), *now), states, batch_sizes, reverse)
    found = [np.empty_like(state) for state in states]

    def run(start: int, stop: int) -> None:
        some = slice(count * start // parts, count * stop // parts)
        n = some.stop - some.start

        def of_some(rows: slice, *now: Any) -> tuple:
            first = rows.start // n * count
            return step(slice(first + some.start, first + some.stop), some, *now)

        last = unroll(np, of_some, [state[some] for state in states], (n,) * len(batch_sizes), reverse)
        for to, state in zip(found, last):
            to[some] = state

    parallel_for(run, parts)
    return found
