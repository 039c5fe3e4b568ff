"""Normalisations on NumPy: tile by tile in cache, main memory is read twice for batch statistics, once for the others.

Sums are over tiles of a fixed size, their results added in order: they do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..array.sums import FEW, paired
from ..device.parallel import parallel_for
from ..nn import normalization as primitives
from ..nn.normalization import BatchNorm
from . import aligned
from .blocks import CPU_FLOATS, ROW, ones, row_dots, row_sums, unbuffered
from .small_normalization import normalise_few

BLOCK = 1 << 21  # bytes: see BUSY of `blocks`; one thread, too, takes less time than for blocks of a quarter
LONG = 1 << 9  # elements of a row that make up for what NumPy spends on beginning it
SMALL = 1 << 14  # elements: below, a few calls for all of them take less time than the tiles' many


def _alike(x: Any, weight: Any, bias: Any = None) -> bool:
    dtype = x.dtype
    fits = x.size > 0 and dtype in CPU_FLOATS and (weight is None or weight.dtype == dtype)
    return fits and (bias is None or bias.dtype == dtype)


def _supported(x: Any, weight: Any, bias: Any) -> bool:
    return x.size >= SMALL and _alike(x, weight, bias)


# --- over channels: batch normalisation -------------------------------------------------------------------------------
class _Channels:
    """(N, C, …) as rows: of channel-first memory (N, C, H·W), a channel's pixels side by side; else (…, k·C·h), by columns.

    By columns h are the pixels of small channel-first images, and k those of channel-last ones that make NumPy's inner
    loops long. Tiles, (rows, parts of a row, channels, band of rows), take up a block of cache.
    """

    def __init__(self, x: Any):
        last = np.moveaxis(x, 1, -1)
        self.axes_last = x.ndim == 2 or (last.flags.c_contiguous and not x.flags.c_contiguous)
        self.shape = last.shape if self.axes_last else x.shape
        channels, pixels = x.shape[1], x.size // x.shape[1]
        self.count, self.k, self.h = pixels, 1, 1 if self.axes_last else pixels // x.shape[0]
        if self.axes_last:
            while self.k * channels < 1 << 10 and pixels % (2 * self.k) == 0:
                self.k *= 2
        self.by_pixels, self.channels = self.h >= ROW, channels
        self.rows = x.size // (self.k * channels * self.h)
        wide = max(1, (1 << 13) // self.h, BLOCK // (x.itemsize * self.rows * self.h))
        per_tile = channels if self.k > 1 else min(channels, wide)
        most = max(1, BLOCK // (x.itemsize * self.k * per_tile * self.h))
        pairs = -(-self.rows // (2 * most))  # of bands, of one height: as many for either of two threads
        self.height = self.rows if self.rows <= most else -(-self.rows // (2 * pairs))
        self.is_small = x.nbytes <= 2 * BLOCK
        step = 1 if self.by_pixels else self.h  # parts of a row are channels, or columns
        self.tiles = [
            (
                slice(i, min(i + self.height, self.rows)),
                slice(c * step, (c + per_tile) * step) if self.k == 1 else slice(None),
                slice(c, min(c + per_tile, channels)),
                i // self.height,
            )
            for i in range(0, self.rows, self.height)
            for c in range(0, channels, per_tile)
        ]
        self.bands = -(-self.rows // self.height)
        self.most = (per_tile, self.h) if self.by_pixels else (self.k * per_tile * self.h,)

    def matrix(self, x: Any) -> Any:
        last = np.moveaxis(x, 1, -1) if self.axes_last else x
        return np.ascontiguousarray(last).reshape(
            (self.rows, self.channels, self.h) if self.by_pixels else (self.rows, -1)
        )

    def restore(self, matrix: Any) -> Any:
        x = matrix.reshape(self.shape)
        return np.moveaxis(x, -1, 1) if self.axes_last else x

    def expand(self, v: Any) -> Any:
        """One number for each of some channels, as rows are multiplied by."""
        if self.by_pixels:
            return v[:, None]
        return np.broadcast_to(v[:, None], (self.k, len(v), self.h)).reshape(-1)

    def sums(self, a: Any, b: Any = None) -> Any:
        """Σ a, or Σ a · b, over each channel of a tile; b may be overwritten."""
        if self.by_pixels:
            return paired(row_dots(a, ones((a.shape[-1],), a.dtype) if b is None else b)[..., 0], 0)
        if len(self.tiles) == 1:  # BLAS might split it between its threads
            columns = paired(a, 0) if b is None else _products(a, b)
        else:
            columns = _combinations(ones((1, len(a)), a.dtype), a if b is None else np.multiply(a, b, b))[0]
        return paired(columns.reshape(self.k, -1, self.h), (0, 2))

    def visit(self, work: Callable, dtype: Any) -> None:
        """`work(rows, part, channels, band, scratch)` for all tiles."""

        def run(start: int, stop: int) -> None:
            scratch = aligned.empty((min(self.height, self.rows), *self.most), dtype)
            for rows, part, channels, band in self.tiles[start:stop]:
                wide = (channels.stop - channels.start) * (1 if self.by_pixels else self.k * self.h)
                work(rows, part, channels, band, scratch[: rows.stop - rows.start, :wide])

        if self.is_small:  # to wake a thread would take as long
            unbuffered(self.most[-1], run, 0, len(self.tiles))
        else:
            unbuffered(self.most[-1], parallel_for, run, len(self.tiles))


def _products(a: Any, b: Any) -> Any:
    """Σᵢ aᵢ bᵢ, over the rows, a few at a time: `einsum` adds one term after the other, but has no need of a · b."""
    head = len(a) - len(a) % FEW
    tail = np.einsum("i...,i...->...", a[head:], b[head:])
    if not head:
        return tail
    a, b = (v[:head].reshape(-1, FEW, *v.shape[1:]) for v in (a, b))
    return tail + paired(np.einsum("ki...,ki...->k...", a, b), 0)


def _moments(x: Any, over: _Channels) -> tuple[Any, Any]:
    """Mean and biased variance (C,) by the formula of Chan, Golub & LeVeque (1979), which joins those of the tiles."""
    counts, means = np.zeros((over.bands, 1)), np.empty((over.bands, over.channels))
    squares = np.empty_like(means)

    def work(rows: slice, part: slice, channels: slice, band: int, scratch: Any) -> None:
        tile = x[rows, part]
        n = len(tile) * over.k * over.h
        mean = over.sums(tile) / n
        d = np.subtract(tile, over.expand(mean), scratch)
        counts[band] = n
        means[band, channels] = mean
        squares[band, channels] = over.sums(d, d)

    over.visit(work, x.dtype)
    mean = (counts * means).sum(0) / over.count
    return mean, (squares + counts * (means - mean) ** 2).sum(0) / over.count


def _apply(over: _Channels, x: Any, scale: Any, shift: Any, g: Any = None, slope: Any = None) -> Any:
    """scale · x + shift [+ slope · g], the factors (C,), as an array like x."""
    scale, shift = over.expand(scale.astype(x.dtype)), over.expand(shift.astype(x.dtype))
    slope = None if slope is None else over.expand(slope.astype(x.dtype))
    out = aligned.empty(x.shape, x.dtype)

    def work(rows: slice, part: slice, channels: slice, band: int, scratch: Any) -> None:
        tile = np.multiply(x[rows, part], scale[part], out[rows, part])
        tile += shift[part]
        if g is not None:
            tile += np.multiply(g[rows, part], slope[part], scratch)

    over.visit(work, x.dtype)
    return over.restore(out)


@primitives.batch_norm.on("cpu")
def batch_norm(x: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5) -> Any:
    if not _supported(x, weight, bias):
        return NotImplemented
    over = _Channels(x)
    matrix = over.matrix(x)
    mean, var = _moments(matrix, over)
    rstd = 1 / np.sqrt(var + eps)
    scale = rstd if weight is None else rstd * weight
    shift = -mean * scale if bias is None else bias - mean * scale

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g_y, g_mean, g_var = over.matrix(g[0]), g[1], g[2]
        sums = np.empty((2, over.bands, over.channels))
        centre = over.expand(mean.astype(x.dtype))

        def work(rows: slice, part: slice, channels: slice, band: int, scratch: Any) -> None:
            tile = g_y[rows, part]
            sums[0, band, channels] = over.sums(tile)
            sums[1, band, channels] = over.sums(tile, np.subtract(matrix[rows, part], centre[part], scratch))

        over.visit(work, matrix.dtype)
        sum_g, sum_gd = sums.sum(1)
        grad_x = None
        if need[0]:
            n = over.count
            slope = g_var * (2 / max(1, n - 1)) - scale * rstd * rstd * sum_gd / n
            grad_x = _apply(over, matrix, slope, (g_mean - scale * sum_g) / n - slope * mean, g_y, scale)
        return (grad_x, *_parameters(need, into, (rstd * sum_gd, sum_g), (weight, bias)))

    unbiased = var * (over.count / max(1, over.count - 1))
    return BatchNorm(_apply(over, matrix, scale, shift), mean.astype(x.dtype), unbiased.astype(x.dtype)), vjp


def _parameters(need: Any, into: Any, gradients: tuple, parameters: tuple) -> Iterator:
    """Gradients (float64) of the parameters, which are the arguments from the second on, written where asked."""
    for wanted, out, gradient, parameter in zip(need[1:], into[1:], gradients, parameters):
        if not wanted:
            yield None
            continue
        out = np.empty_like(parameter) if out is None else out
        out[...] = gradient.reshape(out.shape)
        yield out


@primitives.batch_norm_inference.on("cpu")
def batch_norm_inference(
    x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, /, *, eps: float = 1e-5
) -> Any:
    if not _supported(x, mean, var) or not _alike(x, weight, bias):
        return NotImplemented
    scale = 1 / np.sqrt(var + eps) if weight is None else weight / np.sqrt(var + eps)
    over = _Channels(x)
    y = _apply(over, over.matrix(x), scale, -mean * scale if bias is None else bias - mean * scale)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        _, pull = primitives.batch_norm_inference.generic(np, x, mean, var, weight, bias, eps=eps)
        return pull(g, need, into)

    return y, vjp


# --- over rows: layer, group, instance and RMS normalisation ----------------------------------------------------------
class _Rows:
    """An array as (N, K, c·h): N·K rows to normalise; the k-th row of a sample has c weights, each for h elements."""

    def __init__(self, x: Any, groups: int, per_group: int, repeat: int):
        self.h, self.shape = repeat, (x.size // (groups * per_group * repeat), groups, per_group * repeat)
        n, k, row = self.shape
        rows = max(1, BLOCK // (x.itemsize * row))
        many, few = (
            max(1, rows // k),
            min(rows, k),
        )  # samples in a block, or rows of one sample where not even that fits
        self.blocks = [
            (slice(i, min(i + many, n)), slice(j, min(j + few, k))) for i in range(0, n, many) for j in range(0, k, few)
        ]
        self.most = min(many, n), few, row
        self.empty = aligned.empty if len(self.blocks) > 1 else np.empty

    def expand(self, v: Any) -> Any:
        """The weights, short ones as often as a block has samples: products without a broadcast axis take half the time."""
        if v is None:
            return None
        v = np.repeat(v.reshape(-1), self.h).reshape(1, *self.shape[1:])
        if len(self.blocks) == 1 or v.size > LONG:
            return v
        out = aligned.empty((self.most[0], *self.shape[1:]), v.dtype)
        out[...] = v
        return out

    def folds(self, a: Any, *factors: Any) -> Any:
        """Sums of r · a for each weight, over a block (samples, groups, c·h), with each r (samples, groups, 1); None for 1."""
        # in one block BLAS might split it between its threads
        if self.h == self.shape[1] == 1 and len(self.blocks) > 1:
            r = np.empty((len(factors), len(a)), a.dtype)
            for row, factor in zip(r, factors):
                row[...] = 1 if factor is None else factor[:, 0, 0]
            return _combinations(r, a[:, 0])
        if self.h == 1:
            return [(paired(a, 0) if r is None else _products(r, a)).reshape(-1) for r in factors]
        of_weights = row_sums(a.reshape(-1, self.h)).reshape(*a.shape[:2], -1)
        return [paired(of_weights if r is None else of_weights * r, 0).reshape(-1) for r in factors]

    def visit(self, work: Callable, dtype: Any = None) -> None:
        """`work(place, index, scratch)` for all blocks, `place` being where in an array (N, K, c·h) the block is."""

        def run(start: int, stop: int) -> None:
            scratch = None if dtype is None else self.empty(self.most, dtype)
            for index in range(start, stop):
                work(self.blocks[index], index, scratch)

        unbuffered(self.shape[2], parallel_for, run, len(self.blocks))


def _normalise(over: _Rows, x: Any, weight: Any, bias: Any, eps: float, *, centred: bool) -> Any:
    n, k, row = over.shape
    source = np.ascontiguousarray(x).reshape(over.shape)
    y, w, b = over.empty(over.shape, x.dtype), over.expand(weight), over.expand(bias)
    rstd = np.empty((n, k, 1), x.dtype)
    mean: Any = np.empty_like(rstd) if centred else None
    size, row_eps = np.array(row, x.dtype), np.array(row * eps, x.dtype)

    def forward(place: tuple, index: int, scratch: None) -> None:
        a, out = source[place], y[place]
        if centred:
            a = np.subtract(a, np.divide(row_sums(a), size, mean[place]), out)
        np.multiply(a, np.sqrt(size / (row_dots(a, a) + row_eps), rstd[place]), out)
        if w is not None:
            out *= w[: len(a), place[1]]
        if b is not None:
            out += b[: len(a), place[1]]

    over.visit(forward)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g, grad_x = np.ascontiguousarray(g).reshape(over.shape), over.empty(over.shape, g.dtype)
        sums = np.zeros((3, len(over.blocks), k * row // over.h))  # of r g x, of g and of r m g for each weight
        squared = rstd * rstd / size
        scaled: Any = rstd * mean if centred else None

        def backward(place: tuple, index: int, scratch: Any) -> None:
            a, go, out = source[place], g[place], grad_x[place]
            products = np.multiply(go, a, out)
            if any(need[1:]):
                weights = slice(place[1].start * row // over.h, place[1].stop * row // over.h)
                found = [*over.folds(products, rstd[place]), *(over.folds(go, None, scaled[place]) if centred else ())]
                for total, part in zip(sums, found):
                    total[index, weights] = part
            if not need[0]:
                return
            # r (w g − c₁ − r² c₂ (x − m)), c₁ the mean of w g and c₂ that of w g (x − m)
            wide = None if w is None else w[: len(a), place[1]]
            # a short row of weights takes half the time of as many as the block has
            c1, c2 = (row_sums(v) if w is None else row_dots(v, w[:1, place[1]]) for v in (go, products))
            slope = (c2 - mean[place] * c1 if centred else c2) * squared[place]
            d = np.multiply(a, slope, scratch[: a.shape[0], : a.shape[1]])
            if centred:
                d += c1 / size - slope * mean[place]
            np.subtract(go if wide is None else np.multiply(go, wide, out), d, out)
            out *= rstd[place]

        over.visit(backward, g.dtype)
        of_products, of_g, of_means = sums.sum(1)
        gradients = _parameters(need, into, (of_products - of_means, of_g), (weight, bias))
        return (grad_x.reshape(x.shape) if need[0] else None, *gradients)

    return y.reshape(x.shape), vjp


def _combinations(r: Any, a: Any) -> Any:
    """Σᵢ rₖᵢ aᵢⱼ, (K, columns), a few rows at a time: by BLAS, in a third of the time of `_products`, and for two k no longer."""
    head = len(a) - len(a) % FEW
    tail = a[head:].T.dot(r[:, head:].T).T  # a method of a, which tells of it while a step is recorded
    if not head:
        return tail
    few = r[:, :head].reshape(len(r), -1, FEW).swapaxes(0, 1)
    return tail + paired(np.matmul(few, a[:head].reshape(-1, FEW, a.shape[1])), 0)


@primitives.layer_norm.on("cpu")
def layer_norm(x: Any, weight: Any = None, bias: Any = None, /, *, normalized_ndim: int = 1, eps: float = 1e-5) -> Any:
    if not _alike(x, weight, bias):
        return NotImplemented
    row = math.prod(x.shape[x.ndim - normalized_ndim :])
    if x.size < SMALL:
        return normalise_few(x, weight, bias, row, eps, centred=True)
    return _normalise(_Rows(x, 1, row, 1), x, weight, bias, eps, centred=True)


@primitives.group_norm.on("cpu")
def group_norm(x: Any, weight: Any = None, bias: Any = None, /, *, num_groups: int, eps: float = 1e-5) -> Any:
    if not _supported(x, weight, bias):
        return NotImplemented
    over = _Rows(x, num_groups, x.shape[1] // num_groups, math.prod(x.shape[2:]))
    return _normalise(over, x, weight, bias, eps, centred=True)


@primitives.rms_norm.on("cpu")
def rms_norm(x: Any, weight: Any = None, /, *, normalized_ndim: int = 1, eps: float | None = None) -> Any:
    if not _alike(x, weight):
        return NotImplemented
    row = math.prod(x.shape[x.ndim - normalized_ndim :])
    eps = primitives.default_eps(x) if eps is None else eps
    if x.size < SMALL:
        return normalise_few(x, weight, None, row, eps, centred=False)
    return _normalise(_Rows(x, 1, row, 1), x, weight, None, eps, centred=False)
