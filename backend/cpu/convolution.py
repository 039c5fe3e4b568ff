"""Convolutions on the host: tiles of the output in parallel, each lowered to matrix products; see `lowering`.

Outputs and gradients are channel-last in memory, (N, H, W, C) behind a view (N, C, H, W): products of pixels with
kernels come out like that, and elementwise operations and pooling keep the order. Channel-first inputs are copied once.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..array.sums import paired
from ..device.parallel import parallel_for
from ..nn import convolution as primitives
from ..nn.convolution import Geometry, convolution, geometry, transposed, transposed_geometry
from . import aligned
from .blocks import CPU_FLOATS, unbuffered
from .lowering import Columns, Lowering, Planar, Pointwise, shares_padding
from .winograd import Winograd

TERMS = 1 << 7  # of a bias's gradient that are added one after the other: more would drift
PARTIAL_BYTES = 1 << 25  # of partial sums of a weight's gradient


@primitives.conv2d.on("cpu")
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    /,
    *,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Any:
    if not _suits(x, weight, bias):
        return NotImplemented
    return convolution(Host, x, weight, bias, geometry(x, weight, stride, padding, dilation, groups))


@primitives.conv_transpose2d.on("cpu")
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    /,
    *,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    output_padding: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Any:
    if not _suits(x, weight, bias):
        return NotImplemented
    where = transposed_geometry(x, weight, stride, padding, output_padding, dilation, groups)
    return transposed(Host, x, weight, bias, where)


def _suits(x: np.ndarray, weight: np.ndarray, bias: Any) -> bool:
    if not weight.size or x.dtype not in CPU_FLOATS:
        return False
    return weight.dtype == x.dtype and (bias is None or bias.dtype == x.dtype)


class Host:
    """The three maps of `backend.nn.convolution`."""

    @staticmethod
    def arrange(x: np.ndarray) -> np.ndarray:
        """x (N, C, H, W), channel-last in memory where there are many channels."""
        n, c, h, w = x.shape
        last = x.transpose(0, 2, 3, 1)
        if c < 16 or last.flags.c_contiguous:
            return x
        moved = aligned.empty(last.shape, x.dtype)

        def run(start: int, stop: int) -> None:
            # Channels a multiple of 4096 bytes apart would displace each other in the first-level cache.
            staged = aligned.empty((c, h * w + 16), x.dtype)[:, : h * w].reshape(c, h, w)
            for i in range(start, stop):
                np.copyto(staged, x[i])
                np.copyto(moved[i], staged.transpose(1, 2, 0))

        parallel_for(run, n)
        return moved.transpose(0, 3, 1, 2)

    @staticmethod
    def correlate(x: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        n, o = x.shape[0], weight.shape[0]
        plan = lowering(where, x.shape[1], o, x.dtype)
        last, y, tiles = x.transpose(0, 2, 3, 1), aligned.empty((n, *where.output, o), x.dtype), plan.tiles(n)
        kernel = plan.kernel(weight, bias)
        bias_row = None if bias is None else np.tile(bias, (1, 1, where.output[1], 1))  # few long sums, not many short

        def run(start: int, stop: int) -> None:
            own = copy.copy(plan)  # with this thread's buffers
            for tile in tiles[start:stop]:
                own.multiply(last, kernel, bias_row, tile, y)

        unbuffered(where.output[1] * o, parallel_for, run, len(tiles))
        return y.transpose(0, 3, 1, 2)

    @staticmethod
    def weight_gradient(x: np.ndarray, g: np.ndarray, where: Geometry, into: Any) -> np.ndarray:
        shape = g.shape[1], x.shape[1] // where.groups, *where.kernel
        grad = np.empty(shape, x.dtype) if into is None else into
        plan = lowering(where, x.shape[1], g.shape[1], x.dtype)
        x, g, tiles = x.transpose(0, 2, 3, 1), g.transpose(0, 2, 3, 1), plan.tiles(x.shape[0])
        # A fixed number of partial sums, whatever the number of threads: the result may not depend on it.
        pieces = max(1, min(len(tiles), max(2, min(16, PARTIAL_BYTES // grad.nbytes))))
        totals = [np.zeros(plan.shape, x.dtype) for _ in range(pieces)]

        def run(start: int, stop: int) -> None:
            own = copy.copy(plan)
            for piece in range(start, stop):
                for tile in tiles[len(tiles) * piece // pieces : len(tiles) * (piece + 1) // pieces]:
                    own.adjoint(x, g, tile, totals[piece])

        unbuffered(where.output[1] * shape[0], parallel_for, run, pieces)
        plan.kernel_adjoint(sum(totals[1:], totals[0]), grad)
        return grad

    @staticmethod
    def input_gradient(g: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        """A correlation of g with the flipped kernel: with strides, one for each phase of the rows and columns."""
        axes = zip(where.image, where.kernel, where.stride, where.before, where.dilation)
        phases = list(itertools.product(*(_phases(*axis) for axis in axes)))
        kernels = (_flipped(weight, where.groups, down.taps, across.taps) for down, across in phases)
        if where.stride == (1, 1):
            return Host.correlate(g, next(kernels), bias, _part(where, *phases[0]))
        image = aligned.empty((g.shape[0], *where.image, weight.shape[1] * where.groups), g.dtype).transpose(0, 3, 1, 2)
        for (down, across), kernel in zip(phases, kernels):
            pixels = image[:, :, down.pixels, across.pixels]
            if kernel.size:
                pixels[...] = Host.correlate(g, kernel, bias, _part(where, down, across))
            else:  # strides greater than the kernel: no window sees these pixels
                pixels[...] = 0 if bias is None else bias[:, None, None]
        return image

    @staticmethod
    def bias_gradient(g: np.ndarray) -> np.ndarray:
        """Σ over images and pixels: of a few images first, whatever the number of threads, which also rounds less."""
        n, o, h, w = g.shape
        if g.flags.c_contiguous:
            return paired(np.add.reduce(g.reshape(n, o, h * w), -1), 0)
        last = g.transpose(0, 2, 3, 1)
        step = max(1, TERMS // max(1, h))
        rows = np.empty((-(-n // step), w, o), g.dtype)

        def run(start: int, stop: int) -> None:
            for i in range(start, stop):
                if h <= TERMS:
                    np.add.reduce(last[i * step : (i + 1) * step], axis=(0, 1), out=rows[i])
                else:
                    rows[i] = paired(last[i], 0)

        parallel_for(run, len(rows))
        return paired(rows, (0, 1))


class Phase(NamedTuple):
    """Every S-th pixel along an axis, and the correlation that gives its gradient: of which taps, and how they lie."""

    pixels: slice
    taps: slice
    output: int
    before: int
    dilation: int


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> Iterator[Phase]:
    """The S phases of an axis.

    Pixel i = S·m + a takes part in output o by tap k where S·o + D·k = i + P. With c = gcd(S, D) such taps lie S/c
    apart, and their outputs −D/c: a correlation, with dilation D/c, of the flipped taps.
    """
    common = math.gcd(stride, dilation)
    for a in range(min(stride, size)):
        first = next((k for k in range(min(kernel, stride)) if (dilation * k - a - before) % stride == 0), kernel)
        taps = slice(first, None, stride // common)
        reach = dilation // common * (len(range(kernel)[taps]) - 1)
        padding = reach - (a + before - dilation * first) // stride
        yield Phase(slice(a, None, stride), taps, -(-(size - a) // stride), padding, dilation // common)


def _part(where: Geometry, down: Phase, across: Phase) -> Geometry:
    """The correlation of one phase's pixels."""
    output, before, dilation = zip(down[2:], across[2:])
    kernel = len(range(where.kernel[0])[down.taps]), len(range(where.kernel[1])[across.taps])
    return Geometry(where.output, output, kernel, (1, 1), before, dilation, where.groups)


def _flipped(weight: np.ndarray, groups: int, rows: slice, columns: slice) -> np.ndarray:
    """Some taps of a weight (O, C/G, KH, KW), flipped and with inputs and outputs exchanged, (C, O/G, …)."""
    o, c, *kernel = weight.shape
    by_group = weight.reshape(groups, o // groups, c, *kernel)[..., rows, columns]
    exchanged = by_group[..., ::-1, ::-1].swapaxes(1, 2)
    return exchanged.reshape(c * groups, o // groups, *exchanged.shape[3:])


def lowering(where: Geometry, channels: int, features: int, dtype: np.dtype) -> Lowering:
    """The fastest that can do it, as measured."""
    unit_steps = where.stride == where.dilation == (1, 1) and where.groups == 1
    if unit_steps and where.kernel == (1, 1) and where.padded == where.image and where.before == (0, 0):
        return Pointwise(where, channels, features, dtype)
    if channels // where.groups < 16:
        return Planar(where, channels, features, dtype)
    three_high = where.kernel[0] == 3 and where.output[0] > 1
    if unit_steps and three_high and shares_padding(where) and channels * features >= 1024:
        return Winograd(where, channels, features, dtype)
    return Columns(where, channels, features, dtype)
