"""Convolutions on the host: tiles of the output in parallel, each lowered to matrix products; see `lowering`.

Outputs and gradients are channel-last in memory, (N, H, W, C) behind a view (N, C, H, W): products of pixels with
kernels come out like that, and elementwise operations and pooling keep the order. Channel-first inputs are copied once.
Sequences are images of height 1, and volumes (N, C, D, H, W) are N·D images, of which each reads several.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..array.sums import paired
from ..device.parallel import parallel_for
from ..nn import convolution as primitives
from ..nn.convolution import Geometry, Sequences, convolution, geometry, transposed, transposed_geometry
from . import aligned
from .blocks import CPU_FLOATS, unbuffered
from .lowering import Columns, Lowering, Planar, Pointwise, as_images, shares_padding
from .winograd import Winograd, WinogradVolumes

TERMS = 1 << 7  # of a bias's gradient that are added one after the other: more would drift
PARTIAL_BYTES = 1 << 25  # of partial sums of a weight's gradient


@primitives.conv.on("cpu")
def conv(
    x: Any, weight: Any, bias: Any = None, /, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    if not _suits(x, weight, bias):
        return NotImplemented
    return convolution(_maps(x), x, weight, bias, geometry(x, weight, stride, padding, dilation, groups))


@primitives.conv_transpose.on("cpu")
def conv_transpose(
    x: Any,
    weight: Any,
    bias: Any = None,
    /,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if not _suits(x, weight, bias):
        return NotImplemented
    where = transposed_geometry(x, weight, stride, padding, output_padding, dilation, groups)
    return transposed(_maps(x), x, weight, bias, where)


def _suits(x: np.ndarray, weight: np.ndarray, bias: Any) -> bool:
    if not weight.size or x.dtype not in CPU_FLOATS or x.ndim not in (3, 4, 5):
        return False
    return weight.dtype == x.dtype and (bias is None or bias.dtype == x.dtype)


def _few_pixels() -> Any:
    from .few_pixels import FewPixels  # not before there is a convolution: `import weft` stays cheap

    return FewPixels


def _maps(x: np.ndarray) -> Any:
    return Sequences(Host) if x.ndim == 3 else Host


class Host:
    """The three maps of `backend.nn.convolution`, of images and volumes."""

    @staticmethod
    def arrange(x: np.ndarray) -> np.ndarray:
        """x (N, C, …), channel-last in memory where there are many channels."""
        last = channels_last(x)
        if x.shape[1] < 16 or last.flags.c_contiguous:
            return x
        moved = aligned.empty(last.shape, x.dtype)
        images, (h, w, c) = list(np.ndindex(*last.shape[:-3])), last.shape[-3:]

        def run(start: int, stop: int) -> None:
            # Channels a multiple of 4096 bytes apart would displace each other in the first-level cache.
            staged = aligned.empty((c, h * w + 16), x.dtype)[:, : h * w].reshape(c, h, w).transpose(1, 2, 0)
            for i in images[start:stop]:
                np.copyto(staged, last[i])
                np.copyto(moved[i], staged)

        parallel_for(run, len(images))
        return channels_first(moved)

    @staticmethod
    def correlate(x: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        o = weight.shape[0]
        if _few_pixels().suits(len(x), x.shape[1], o, where):
            return _few_pixels().correlate(x, weight, bias, where)
        plan = lowering(where, x.shape[1], o, x.dtype)
        last = plan.images(channels_last(x))
        y = aligned.empty((x.shape[0], *where.output, o), x.dtype)
        images = plan.outputs(y)
        tiles, kernel = plan.tiles(len(images)), plan.kernel(plan.by_image(weight), bias)
        bias_row = None if bias is None else np.tile(bias, (1, 1, where.output[-1], 1))  # few long sums, not many short

        def run(start: int, stop: int) -> None:
            own = plan.beside()  # with this thread's buffers
            for tile in tiles[start:stop]:
                own.multiply(last, kernel, bias_row, tile, images)

        unbuffered(where.output[-1] * o, parallel_for, run, len(tiles))
        return channels_first(y)

    @staticmethod
    def weight_gradient(x: np.ndarray, g: np.ndarray, where: Geometry, into: Any) -> np.ndarray:
        if _few_pixels().suits(len(x), x.shape[1], g.shape[1], where):
            return _few_pixels().weight_gradient(x, g, where, into)
        shape = g.shape[1], x.shape[1] // where.groups, *where.kernel
        grad = np.empty(shape, x.dtype) if into is None else into
        plan = lowering(where, x.shape[1], g.shape[1], x.dtype)
        x, g = plan.images(channels_last(x)), plan.outputs(channels_last(g))
        tiles = plan.tiles(len(g))
        # A fixed number of partial sums, whatever the number of threads: the result may not depend on it.
        pieces = max(1, min(len(tiles), max(2, min(16, PARTIAL_BYTES // grad.nbytes))))
        totals = [np.zeros(plan.shape, x.dtype) for _ in range(pieces)]

        def run(start: int, stop: int) -> None:
            own = plan.beside()
            for piece in range(start, stop):
                for tile in tiles[len(tiles) * piece // pieces : len(tiles) * (piece + 1) // pieces]:
                    own.adjoint(x, g, tile, totals[piece])

        unbuffered(where.output[-1] * shape[0], parallel_for, run, pieces)
        by_image = grad if grad.ndim == 4 else np.empty_like(plan.by_image(grad))
        plan.kernel_adjoint(sum(totals[1:], totals[0]), by_image)
        if by_image is not grad:
            plan.by_image_adjoint(by_image, grad)
        return grad

    @staticmethod
    def input_gradient(g: np.ndarray, weight: np.ndarray, bias: Any, where: Geometry) -> np.ndarray:
        """A correlation of g with the flipped kernel: with strides, one for each phase of the axes."""
        if _few_pixels().suits(len(g), weight.shape[1], len(weight), where):
            return _few_pixels().input_gradient(g, weight, bias, where)
        parts = _parts(where)
        if len(parts) == 1 and max(where.stride) == 1:
            (phase, part), *_ = parts
            return Host.correlate(g, _flipped(weight, where.groups, phase), bias, part)
        image = aligned.empty((g.shape[0], *where.image, weight.shape[1] * where.groups), g.dtype)
        for phase, part in parts:
            pixels = channels_first(image[(slice(None), *(axis.pixels for axis in phase))])
            kernel = _flipped(weight, where.groups, phase)
            if kernel.size:
                pixels[...] = Host.correlate(g, kernel, bias, part)
            else:  # strides greater than the kernel: no window sees these pixels
                pixels[...] = 0 if bias is None else bias.reshape(-1, *(1,) * len(phase))
        return channels_first(image)

    @staticmethod
    def bias_gradient(g: np.ndarray) -> np.ndarray:
        """Σ over images and pixels: of a few images first, which rounds less. A second thread would read no faster."""
        if g.flags.c_contiguous:
            return paired(np.add.reduce(g.reshape(*g.shape[:2], math.prod(g.shape[2:])), -1), 0)
        last = as_images(channels_last(g))
        n, h, w, o = last.shape
        step = max(1, TERMS // max(1, h))
        rows, whole = np.empty((-(-n // step), w, o), g.dtype), n // step
        if h > TERMS:
            for i in range(n):
                rows[i] = paired(last[i], 0)
        else:
            np.add.reduce(last[: whole * step].reshape(whole, step * h, w, o), axis=1, out=rows[:whole])
            if whole < len(rows):
                np.add.reduce(last[whole * step :], axis=(0, 1), out=rows[whole])
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


@functools.lru_cache(maxsize=1024)
def _parts(where: Geometry) -> list[tuple[tuple[Phase, ...], Geometry]]:
    """The phases of the image, each with the correlation that gives it."""
    axes = zip(where.image, where.kernel, where.stride, where.before, where.dilation)
    return [(phase, _part(where, phase)) for phase in itertools.product(*(_phases(*axis) for axis in axes))]


def _part(where: Geometry, phase: tuple[Phase, ...]) -> Geometry:
    """The correlation of one phase's pixels."""
    output, before, dilation = zip(*(axis[2:] for axis in phase))
    kernel = tuple([len(range(k)[axis.taps]) for k, axis in zip(where.kernel, phase)])
    return Geometry(where.output, output, kernel, (1,) * len(phase), before, dilation, where.groups)


def _flipped(weight: np.ndarray, groups: int, phase: tuple[Phase, ...]) -> np.ndarray:
    """Some taps of a weight (O, C/G, …), flipped and with inputs and outputs exchanged, (C, O/G, …)."""
    o, c, *kernel = weight.shape
    by_group, flip = weight.reshape(groups, o // groups, c, *kernel), (slice(None, None, -1),) * len(phase)
    every = (slice(None),) * 3
    exchanged = by_group[(*every, *(axis.taps for axis in phase))][every + flip].swapaxes(1, 2)
    return exchanged.reshape(c * groups, o // groups, *exchanged.shape[3:])


def channels_last(x: np.ndarray) -> np.ndarray:
    """A view (N, H, W, C) or (N, D, H, W, C); `np.moveaxis` would take ten times as long."""
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x.transpose(0, 2, 3, 4, 1)


def channels_first(x: np.ndarray) -> np.ndarray:
    """The inverse."""
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x.transpose(0, 4, 1, 2, 3)


@functools.lru_cache(maxsize=1024)
def lowering(where: Geometry, channels: int, features: int, dtype: np.dtype) -> Lowering:
    """The fastest that can do it, as measured."""
    unit_steps = max(where.stride + where.dilation) == where.groups == 1
    if unit_steps and max(where.kernel) == 1 and where.padded == where.image and not any(where.before):
        return Pointwise(where, channels, features, dtype)
    if channels // where.groups < 16:
        return Planar(where, channels, features, dtype)
    three_high, read = where.kernel[-2] == 3 and where.output[-2] > 1, channels * math.prod(where.kernel[:-2])
    if unit_steps and three_high and shares_padding(where) and read * features >= 768:
        three_deep = len(where.kernel) == 3 and where.kernel[0] == 3 and where.output[0] % 2 == 0
        return (WinogradVolumes if three_deep else Winograd)(where, channels, features, dtype)
    return Columns(where, channels, features, dtype)
