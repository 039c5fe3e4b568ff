"""Convolutions on the host: tiles of the output in parallel, each lowered to matrix products; see `lowering`.

Outputs and gradients are channel-last in memory, (N, H, W, C) behind a view (N, C, H, W): products of pixels with kernels come out
like that, and elementwise operations and pooling keep the order. Channel-first inputs are copied to it once.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..convolution import Geometry, conv2d, conv_transpose2d, convolution, geometry, transposed, transposed_geometry
from ..parallel import parallel_for
from .lowering import lowering
from .products import aligned

PARTIAL_BYTES = 1 << 26  # of partial sums of a weight's gradient


@conv2d.on("cpu")
def _(
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


@conv_transpose2d.on("cpu")
def _(
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


def _suits(x: np.ndarray, *others: Any) -> bool:
    return x.dtype in (np.float32, np.float64) and all(o is None or o.dtype == x.dtype for o in others)


class Host:
    """The three maps of `backend.convolution`."""

    @staticmethod
    def arrange(x: np.ndarray) -> np.ndarray:
        """x (N, C, H, W), channel-last in memory where there are many channels."""
        n, c, h, w = x.shape
        last = x.transpose(0, 2, 3, 1)
        if c < 16 or last.flags.c_contiguous:
            return x
        copied = aligned(last.shape, x.dtype)

        def run(start: int, stop: int) -> None:
            # Channels a multiple of 4096 bytes apart would displace each other in the first-level cache.
            staged = aligned((c, h * w + 16), x.dtype)[:, : h * w].reshape(c, h, w)
            for i in range(start, stop):
                np.copyto(staged, x[i])
                np.copyto(copied[i], staged.transpose(1, 2, 0))

        parallel_for(run, n)
        return copied.transpose(0, 3, 1, 2)

    @staticmethod
    def correlate(x: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        n, o = x.shape[0], weight.shape[0]
        plan = lowering(where, x.shape[1], o, x.dtype)
        last, y, tiles = x.transpose(0, 2, 3, 1), aligned((n, *where.output, o), x.dtype), plan.tiles(n)
        kernel = plan.kernel(weight, bias)
        bias_row = (
            None if bias is None else np.tile(bias, (1, 1, where.output[1], 1))
        )  # one long sum instead of many short ones

        def run(start: int, stop: int) -> None:
            own = copy.copy(plan)  # with this thread's buffers
            for tile in tiles[start:stop]:
                own.multiply(last, kernel, bias_row, tile, y)

        parallel_for(run, len(tiles))
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
                    own.adjoint(x, tile, g, totals[piece])

        parallel_for(run, pieces)
        plan.kernel_adjoint(sum(totals[1:], totals[0]), grad)
        return grad

    @staticmethod
    def input_gradient(g: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        """A correlation of g with the flipped kernel; with strides, one for each residue of the image's rows and columns.

        Image row i = S·m + a takes part in output row o by kernel row k where S·o + D·k = i + P. Such k follow each other at
        distance S/gcd(S, D), and their o at distance −D/gcd(S, D): a correlation with some of the kernel's rows.
        """
        o, c, *_ = weight.shape
        by_group = weight.reshape(where.groups, o // where.groups, c, *where.kernel).swapaxes(1, 2)
        down, across = (
            _phases(*axis) for axis in zip(where.image, where.kernel, where.stride, where.before, where.dilation)
        )
        image = aligned((g.shape[0], *where.image, c * where.groups), g.dtype).transpose(0, 3, 1, 2)
        for (rows, taps_h, *vertical), (columns, taps_w, *horizontal) in itertools.product(down, across):
            kernel = by_group[:, :, :, taps_h, taps_w][..., ::-1, ::-1]
            if not kernel.size:  # strides greater than the kernel: pixels that no window sees
                image[:, :, rows, columns] = 0 if bias is None else bias[:, None, None]
                continue
            kernel = kernel.reshape(c * where.groups, o // where.groups, *kernel.shape[3:])
            output, before, dilation = zip(vertical, horizontal)
            part = Geometry(where.output, output, kernel.shape[2:], (1, 1), before, dilation, where.groups)
            correlation = Host.correlate(g, kernel, bias, part)
            if where.stride == (1, 1):
                return correlation
            image[:, :, rows, columns] = correlation
        return image

    @staticmethod
    def bias_gradient(g: np.ndarray) -> np.ndarray:
        """Σ over images and pixels: of each image first, which rounds less and does not depend on the number of threads."""
        last = g.transpose(0, 2, 3, 1)
        sums = np.empty((g.shape[0], g.shape[1]), g.dtype)

        def run(start: int, stop: int) -> None:
            for i in range(start, stop):
                np.add.reduce(np.add.reduce(last[i]), out=sums[i])

        parallel_for(run, g.shape[0])
        return sums.sum(axis=0)


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> Iterator[tuple]:
    """For each residue of an axis: its part of the image and of the kernel; the size, padding and dilation of the correlation."""
    common = math.gcd(stride, dilation)
    for a in range(min(stride, size)):
        first = next((k for k in range(min(kernel, stride)) if (dilation * k - a - before) % stride == 0), kernel)
        taps = len(range(first, kernel, stride // common))
        reach = dilation // common * max(taps - 1, 0)
        padding = reach - (a + before - dilation * first) // stride
        yield (
            slice(a, None, stride),
            slice(first, None, stride // common),
            -(-(size - a) // stride),
            padding,
            dilation // common,
        )
