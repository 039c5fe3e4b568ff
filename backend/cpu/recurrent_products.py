"""Products of recurrent layers on NumPy: of all steps at once, and of one step after the other with the same weights.

What the gates are made of lies gate by gate, (gates, rows, H), so that each is one piece of memory at every step. σ(z) is
½ (1 + tanh(z/2)): the rows of weights and biases that belong to such gates are halved, and one call of `tanh` does for all.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..array.sums import paired
from . import aligned
from .linear import column_sums
from .window_products import has_small_products

__all__ = ["Adjoint", "Product", "Sums", "gradients", "half", "of_gates", "project"]

# With AVX-512, OpenBLAS does not pack the matrices of a product of at most 10⁶ multiply-adds. Packing the weights at every
# step takes a third of its time, so they are cut into blocks of so many columns, if their number is a multiple of that.
BLOCKS, SMALL = (64, 32), 1_000_000
ROWS = 96  # of many, that are fastest multiplied together in this way


def _block(rows: int, depth: int, columns: int, blocks: Sequence[int] = BLOCKS) -> int:
    """How many columns a block has: all where that is as good."""
    fitting = (b for b in blocks if columns % b == 0 and rows * depth * b <= SMALL)
    return next(fitting, columns) if has_small_products() else columns


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


def project(
    x: np.ndarray, weight: Any, biases: Sequence[Any], order: Sequence[int], halved: int, out: np.ndarray
) -> None:
    """x Wₖᵀ + b for all gates, to (gates, rows, H). The bias is one column more of x, which costs no visit."""
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
            np.matmul(wide[rows].reshape(-1, 1, 1, n, depth), cut, to)


def of_gates(rows: int, width: int, dtype: Any) -> np.ndarray:
    """Memory for (rows, width): products that read it by columns lose a tenth where rows are a multiple of 4 KiB apart."""
    return aligned.empty((rows, width + 16), dtype)[:, :width]


class Product:
    """h (n, K) ↦ h Wₖᵀ for a weight (gates · H, K): (gates, n, H), always in the same memory, for n ≤ rows."""

    def __init__(self, weight: np.ndarray, rows: int, order: Sequence[int], halved: int):
        gates, width = len(order), len(weight) // len(order)
        block = _block(rows, weight.shape[1], width)
        self.weight = _cut(weight, (), order, halved, block)
        self.found = aligned.empty((gates, rows, width), weight.dtype)
        self.blocks = self.found.reshape(gates, rows, -1, block).swapaxes(1, 2)

    def __call__(self, h: np.ndarray) -> np.ndarray:
        np.matmul(h, self.weight, self.blocks[:, :, : len(h)])
        return self.found[:, : len(h)]


class Adjoint:
    """d (n, gates · H) ↦ d W for a weight (gates · H, K): (n, K), always in the same memory, for n ≤ rows."""

    def __init__(self, weight: np.ndarray, rows: int, gates: int):
        width, depth = len(weight) // gates, weight.shape[1]
        block = _block(rows, width, depth)
        self.weight = aligned.copy(weight.reshape(gates, width, -1, block).swapaxes(1, 2))
        self.parts = aligned.empty((gates, rows, depth), weight.dtype)
        self.blocks = self.parts.reshape(gates, rows, -1, block).swapaxes(1, 2)
        self.found = aligned.empty((rows, depth), weight.dtype)

    def __call__(self, d: np.ndarray) -> np.ndarray:
        n = len(d)
        of_gates = d.reshape(n, len(self.parts), 1, -1).transpose(1, 2, 0, 3)
        np.matmul(of_gates, self.weight, self.blocks[:, :, :n])
        return np.add.reduce(self.parts[:, :n], 0, out=self.found[:n])


class Sums:
    """Σ over all rows of what comes step by step, each while it is in cache."""

    def __init__(self, steps: int, width: int, dtype: Any):
        self.of_steps, self.count = np.empty((steps, width), dtype), 0

    def add(self, d: np.ndarray) -> None:
        """The next step's (n, width)."""
        self.of_steps[self.count] = paired(d, 0)
        self.count += 1

    def total(self, out: Any) -> Any:
        """The sum, written to `out` if there is one."""
        return column_sums(self.of_steps, out)


def gradients(
    need: Sequence[bool],
    into: Sequence[Any],
    x: Any,
    h: Any,
    weight_ih: Any,
    d_ih: Any,
    d_hh: Any,
    sums: Sums,
    sums_hh: Sums | None = None,
) -> tuple:
    """Of x, weight_ih, weight_hh, bias_ih and bias_hh; the last four are written to `into` where that is given."""
    return (
        np.matmul(d_ih, weight_ih) if need[0] else None,  # `dot` would copy what has gaps
        np.matmul(d_ih.T, x, out=into[0]) if need[1] else None,
        np.matmul(d_hh.T, h, out=into[1]) if need[2] else None,
        sums.total(into[2]) if need[3] else None,
        (sums_hh or sums).total(into[3]) if need[4] else None,
    )
