"""Convolutions as matrix products of columns, in one of two ways.

`Implicit`: half precision with one group; columns exist in shared memory and registers only (`Pairs`: of few channels). `Device`:
everything else, and products of images as they lie; columns exist in memory for a piece of the batch at a time, and what they cost
is reading and writing them. Its pieces are ranges of output positions (for the gradient of the image, of pixels) counted through
the whole batch, so that products are as large as the workspace allows, whatever the sizes of batch and images, and their rows
begin at multiples of 16 bytes. Sums over pieces are taken in order, in float32. What products leave in memory for others to add to
is float32 too, so that half precision is rounded once, at the end.

Both are for images. Sequences are images of height 1 (`Sequences`), and volumes batches of images (`Volumes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...kernels import convolution as kernels
from ...kernels import implicit_gemm
from ...kernels.activation import column_sums
from ...kernels.channel_last import channel_last, pixel_pairs
from ...kernels.toolchain.launch import FLOATS, contiguous, empty, library_of, on_16_bytes
from ..device.gemm import gemm
from ..nn import convolution as primitives
from ..nn.convolution import Geometry, Sequences, convolution, geometry, transposed, transposed_geometry
from . import replaces

IMPLICIT = True  # False: everything goes through columns in memory, to measure what they cost
WORKSPACE = 128 << 20  # bytes of columns and their products that exist at a time
LIMIT = 1 << 30  # pixels of a plane, or of a piece: the kernels count them in 32 bits
FARTHEST = LIMIT // 2  # that windows may be apart: kernels add it to such a count
SUMS = np.dtype(np.float32)  # of products that more is added to

Pair = tuple[int, int]


@replaces(primitives.conv)
def conv(
    x: Any, weight: Any, bias: Any = None, /, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    where = geometry(x, weight, stride, padding, dilation, groups)
    if not _suits(where, x, weight, bias):
        return NotImplemented
    return convolution(_maps(where, x, weight, weight.shape[0]), x, weight, bias, where)


@replaces(primitives.conv_transpose)
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
    where = transposed_geometry(x, weight, stride, padding, output_padding, dilation, groups)
    if not _suits(where, x, weight, bias):
        return NotImplemented
    return transposed(_maps(where, x, weight, weight.shape[1]), x, weight, bias, where)


def _suits(where: Geometry, x: Any, *others: Any) -> bool:
    if x.ndim not in (3, 4, 5):
        return False
    areas = math.prod(where.image), math.prod(where.output)
    same = x.dtype in FLOATS and all(o is None or o.dtype == x.dtype for o in others)
    return same and min(areas) > 0 and max(areas) <= LIMIT and max(where.stride) <= FARTHEST


def _maps(where: Geometry, x: Any, weight: Any, features: int) -> Any:
    """What runs; the result has `features` channels."""
    if len(where.image) == 1:
        x, weight = x[:, :, None], weight[:, :, None]
        return Sequences(_maps(where.as_images, x, weight, features))
    if len(where.image) == 3:
        return Volumes
    if IMPLICIT and not _is_product(where, x) and implicit_gemm.suits(x, weight, where):
        return (Pairs if Pairs.suits(weight.shape, where) else Implicit)(weight.shape, features)
    return Device


class Implicit:
    """The three maps of `backend.nn.convolution` on channel-last images, which `arrange` makes and the backward pass keeps."""

    arrange = staticmethod(channel_last)
    correlate = staticmethod(implicit_gemm.correlate)
    input_gradient = staticmethod(implicit_gemm.adjoint)

    def __init__(self, shape: tuple[int, ...], features: int):
        self.shape, self.features = shape, features  # channels have been filled up, where they are no multiples of 8

    def weight_gradient(self, x: Any, g: Any, where: Geometry, into: Any) -> Any:
        grad = empty(self.shape, x.dtype, like=x) if into is None or not into.flags.c_contiguous else into
        return implicit_gemm.weight_gradient(x, g, where, grad)

    def bias_gradient(self, g: Any) -> Any:
        return column_sums(g.reshape(math.prod(g.shape[:-1]), g.shape[-1]))[: self.features]


class Pairs(Implicit):
    """The same of 4 channels or fewer, and windows that begin an even number of pixels apart: by pairs of neighbouring pixels.

    A pixel of its own would fill 16 bytes with 8 channels. Where windows begin at odd pixels, so do those of the pairs, with a tap
    of zeros in front.
    """

    FEW = 4  # channels; there are more features

    @classmethod
    def suits(cls, shape: tuple[int, ...], where: Geometry) -> bool:
        even = where.stride[1] % 2 == 0 and where.dilation[1] == 1
        return shape[1] <= cls.FEW < shape[0] and even and _pairs(where).kernel[1] < where.kernel[1]

    def arrange(self, x: Any) -> Any:
        return pixel_pairs(x) if x.shape[1] <= self.FEW else channel_last(x)

    def correlate(self, x: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        taps = pixel_pairs(weight, where.before[1] % 2).transpose(0, 3, 1, 2)
        return implicit_gemm.correlate(x, taps, bias, _pairs(where))

    def weight_gradient(self, x: Any, g: Any, where: Geometry, into: Any) -> Any:
        grad = empty(self.shape, x.dtype, like=x) if into is None else into
        pairs, front = _pairs(where), where.before[1] % 2
        wide = empty((*self.shape[:3], 2 * pairs.kernel[1]), grad.dtype, like=x)
        grad[...] = implicit_gemm.weight_gradient(x, g, pairs, wide)[..., front : front + self.shape[3]]
        return grad

    def bias_gradient(self, g: Any) -> Any:
        return super().bias_gradient(g if self.features > self.FEW else g.reshape(*g.shape[:2], -1, self.FEW))


def _pairs(where: Geometry) -> Geometry:
    """Where windows go, if a pair of pixels is a pixel."""
    (h, w), (kh, kw), (top, left) = where.image, where.kernel, where.before
    front = left % 2
    return where._replace(
        image=(h, (w + 1) // 2),
        kernel=(kh, (kw + front + 1) // 2),
        stride=(where.stride[0], where.stride[1] // 2),
        before=(top, (left + front) // 2),
    )


class Device:
    """The three maps of `backend.nn.convolution`."""

    @staticmethod
    def arrange(x: Any) -> Any:
        return contiguous(x)

    @staticmethod
    def correlate(x: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        (n, c), o = x.shape[:2], weight.shape[0]
        y = empty((n, o, *where.output), x.dtype, like=x)
        if _is_product(where, x):
            return _multiply(weight.reshape(o, c), x, bias, y)
        kinds = _heights(c, o, where), (x.dtype, SUMS)
        pieces = list(_ranges(n * math.prod(where.output), _positions(*kinds)))
        space, taps = Workspace(x, *kinds, pieces), _rows(weight, where)
        for start, stop in pieces:
            columns, values = space.piece(stop - start)
            kernels.im2col(x, where, start, stop, columns)
            gemm(library_of(x), taps, _by_group(columns, where), out=_by_group(values, where))
            kernels.col2im(values, _plain(where), y, start, stop, start, bias)
        return y

    @staticmethod
    def input_gradient(g: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        (n, o), c = g.shape[:2], weight.shape[1] * where.groups
        image = empty((n, c, *where.image), g.dtype, like=g)
        if _is_product(where, g):
            return _multiply(weight.reshape(o, c).T, g, bias, image)
        kinds = _heights(c, o, where), (SUMS, g.dtype)
        pieces = list(_pixel_ranges(where, n, _positions(*kinds)))
        sources = [kernels.positions_of(where, *piece) for piece in pieces]
        space, taps = Workspace(g, *kinds, sources), _rows(weight, where).swapaxes(-1, -2)
        for (start, stop), (first, last) in zip(pieces, sources):
            columns, values = space.piece(last - first)
            kernels.im2col(g, _plain(where), first, last, values)
            gemm(library_of(g), taps, _by_group(values, where), out=_by_group(columns, where))
            kernels.col2im(columns, where, image, start, stop, first, bias)
        return image

    @staticmethod
    def weight_gradient(x: Any, g: Any, where: Geometry, into: Any) -> Any:
        (n, c), o = x.shape[:2], g.shape[1]
        shape = o, c // where.groups, *where.kernel
        grad = empty(shape, x.dtype, like=x) if into is None or not into.flags.c_contiguous else into
        if IMPLICIT and _is_product(where, x) and implicit_gemm.suits(x, grad, where) and on_16_bytes(x, g):
            return implicit_gemm.pointwise_weight_gradient(x, g, grad)
        kinds = _heights(c, o, where), (x.dtype, x.dtype)
        pieces = list(_ranges(n * math.prod(where.output), _positions(*kinds)))
        total = grad if len(pieces) < 2 or x.dtype == SUMS else empty(shape, SUMS, like=x)
        if not pieces:
            grad[...] = 0
        space = Workspace(x, *kinds, pieces)
        for i, (start, stop) in enumerate(pieces):
            columns, values = space.piece(stop - start)
            kernels.im2col(x, where, start, stop, columns)
            kernels.im2col(g, _plain(where), start, stop, values)
            by_position = _by_group(columns, where).swapaxes(-1, -2)
            gemm(library_of(x), _by_group(values, where), by_position, out=_rows(total, where), accumulate=i > 0)
        if total is not grad:
            grad[...] = total
        return grad

    @staticmethod
    def bias_gradient(g: Any) -> Any:
        return kernels.sum_channels(g)


class Volumes:
    """The three maps for volumes (N, C, D, H, W): each of the N·Do images of the output reads KD images, as channels of one."""

    @staticmethod
    def arrange(x: Any) -> Any:
        return contiguous(x)

    @staticmethod
    def correlate(x: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        images, taps, plane = _read(x, where), _by_image(weight), where.along(slice(1, None))
        maps = _maps(plane, images, taps, len(taps))
        y = maps.correlate(maps.arrange(images), taps, bias, plane)
        return contiguous(y.reshape(len(x), where.output[0], *y.shape[1:]).swapaxes(1, 2))

    @staticmethod
    def input_gradient(g: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        """Each image of x from the images of g that read it, as channels of one, so that their sum is rounded once."""
        n, groups, plane, c = len(g), where.groups, where.along(slice(1, None)), weight.shape[1]
        x = library_of(g).zeros((n, where.image[0], groups * c, *where.image[1:]), dtype=g.dtype)
        if bias is not None:
            x[...] = bias[:, None, None]
        by_group = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])  # (G, O/G, C/G, KD, KH, KW)
        for first in range(min(where.stride[0], where.image[0])):  # images so far apart are read with the same taps
            taps, images = _readers(g, where, first)
            if images is None:
                continue
            kernel = contiguous(by_group[:, :, :, taps].transpose(0, 3, 1, 2, 4, 5))
            kernel = kernel.reshape(images.shape[1], c, *plane.kernel)
            maps, written = _maps(plane, images, kernel, c), x[:, first :: where.stride[0]]
            found = maps.input_gradient(maps.arrange(images), kernel, bias, plane)
            written[...] = found.reshape(written.shape)
        return contiguous(x.swapaxes(1, 2))

    @staticmethod
    def weight_gradient(x: Any, g: Any, where: Geometry, into: Any) -> Any:
        images, of_output, plane = _read(x, where), _as_images(g), where.along(slice(1, None))
        o, c, kernel = g.shape[1], x.shape[1] // where.groups, where.kernel
        like = empty((o, kernel[0] * c, *kernel[1:]), x.dtype, like=x)
        maps = _maps(plane, images, like, o)
        grad = maps.weight_gradient(maps.arrange(images), maps.arrange(of_output), plane, like)
        grad = grad.reshape(o, kernel[0], c, *kernel[1:]).swapaxes(1, 2)
        if into is None:
            return contiguous(grad)
        into[...] = grad
        return into

    @staticmethod
    def bias_gradient(g: Any) -> Any:
        return kernels.sum_channels(g)


def _depths(where: Geometry) -> Iterator[tuple[int, slice, slice]]:
    """For each tap along the first axis: which outputs read with it something of the image, and where."""
    for tap in range(where.kernel[0]):
        stride, shift = where.stride[0], tap * where.dilation[0] - where.before[0]
        first = max(0, -(shift // stride))
        last = min(where.output[0], -((shift - where.image[0]) // stride))
        if first < last:
            yield tap, slice(first, last), slice(first * stride + shift, (last - 1) * stride + shift + 1, stride)


def _read(x: Any, where: Geometry) -> Any:
    """What each of the N·Do images of the output reads of x (N, C, D, H, W): images with KD·C channels."""
    (n, c), groups = x.shape[:2], where.groups
    planes = x.reshape(n, groups, c // groups, *x.shape[2:])
    shape = n, where.output[0], groups, where.kernel[0], c // groups, *x.shape[3:]
    images = library_of(x).zeros(shape, dtype=x.dtype)
    for tap, here, there in _depths(where):
        images[:, here, :, tap] = planes[:, :, :, there].swapaxes(2, 3).swapaxes(1, 2)
    return images.reshape(n * where.output[0], where.kernel[0] * c, *x.shape[3:])


def _readers(g: Any, where: Geometry, first: int) -> tuple[slice, Any]:
    """The taps that read images first, first + stride, … of x (N, C, D, H, W), and what of g (N, O, Do, Ho, Wo) each of these
    is read for: images with a channel for every tap and channel of g, by group; None where nothing reads them."""
    (n, o), groups, stride = g.shape[:2], where.groups, where.stride[0]
    readers = [each for each in _depths(where) if each[2].start % stride == first]
    if not readers:
        return slice(0), None
    count, of_output = len(range(first, where.image[0], stride)), g.reshape(n, groups, o // groups, *g.shape[2:])
    shape = n, count, groups, len(readers), o // groups, *g.shape[3:]
    images = library_of(g).zeros(shape, dtype=g.dtype)
    for i, (_, here, there) in enumerate(readers):
        at = there.start // stride
        images[:, at : at + here.stop - here.start, :, i] = of_output[:, :, :, here].transpose(0, 3, 1, 2, 4, 5)
    taps = [tap for tap, _, _ in readers]
    step = taps[1] - taps[0] if len(taps) > 1 else 1
    return slice(taps[0], taps[-1] + 1, step), images.reshape(n * count, len(readers) * o, *g.shape[3:])


def _as_images(g: Any) -> Any:
    """(N, O, Do, Ho, Wo) → (N·Do, O, Ho, Wo)"""
    return contiguous(g.swapaxes(1, 2)).reshape(len(g) * g.shape[2], g.shape[1], *g.shape[3:])


def _by_image(weight: Any) -> Any:
    """(O, C, KD, KH, KW) → (O, KD·C, KH, KW)"""
    o, c, depth, *kernel = weight.shape
    return contiguous(weight.swapaxes(1, 2)).reshape(o, depth * c, *kernel)


class Workspace:
    """Memory for the columns of a piece, (C·KH·KW, pitch), and for what they are multiplied to or from, (O, pitch)."""

    def __init__(self, like: Any, heights: Pair, dtypes: tuple[np.dtype, np.dtype], ranges: list):
        self.heights = heights
        longest = kernels.pitch_of(max((stop - start for start, stop in ranges), default=0))
        self.memory = [empty(rows * longest, dtype, like=like) for rows, dtype in zip(heights, dtypes)]

    def piece(self, positions: int) -> Any:
        pitch = kernels.pitch_of(positions)
        return (memory[: rows * pitch].reshape(rows, pitch) for rows, memory in zip(self.heights, self.memory))


def _heights(channels: int, features: int, where: Geometry) -> Pair:
    """Values for each position: of the columns, and of what they are multiplied to or from."""
    return channels * math.prod(where.kernel), features


def _positions(heights: Pair, dtypes: tuple[np.dtype, np.dtype]) -> int:
    """How many positions the workspace has room for."""
    each = sum(rows * dtype.itemsize for rows, dtype in zip(heights, dtypes))
    return max(WORKSPACE // each // kernels.ALIGN, 1) * kernels.ALIGN


def _ranges(total: int, step: int) -> Iterator[Pair]:
    for start in range(0, total, step):
        yield start, min(start + step, total)


def _pixel_ranges(where: Geometry, batch: int, positions: int) -> Iterator[Pair]:
    """Ranges of pixels that so many positions read: whole images, or rows of one, or parts of a row.

    A part of a row may take more, as whole rows of positions read it: as many as the kernel has.
    """
    (h, w), (output_h, output_w) = where.image, where.output
    images = min(positions // (output_h * output_w), LIMIT // (h * w))
    rows, columns = (
        n * s - d * (k - 1)
        for n, s, d, k in zip((positions // output_w, positions), where.stride, where.dilation, where.kernel)
    )
    if images:
        yield from _ranges(batch * h * w, images * h * w)
        return
    step, within = (rows * w, h * w) if rows > 0 else (max(columns, 1), w)
    for first in range(0, batch * h * w, within):
        for start, stop in _ranges(within, step):
            yield first + start, first + stop


def _plain(where: Geometry) -> Geometry:
    """Of the transposition between images of outputs and their values by position."""
    return Geometry(where.output, where.output, (1, 1), (1, 1), (0, 0), (1, 1), where.groups)


def _rows(weight: Any, where: Geometry) -> Any:
    """(O, C/G, KH, KW) → (G, O/G, C/G·KH·KW), without the first axis if there is one group."""
    return _by_group(weight.reshape(weight.shape[0], math.prod(weight.shape[1:])), where)


def _by_group(matrix: Any, where: Geometry) -> Any:
    """(rows, columns) → (G, rows/G, columns), as it is if there is one group."""
    rows, columns = matrix.shape
    return matrix if where.groups == 1 else matrix.reshape(where.groups, rows // where.groups, columns)


def _is_product(where: Geometry, x: Any) -> bool:
    """Whether every pixel's channels are multiplied by one matrix, and the rows of pixels lie as products want them."""
    ones = where.kernel == where.stride == (1, 1) and where.before == (0, 0) and where.output == where.image
    return ones and where.groups == 1 and math.prod(where.image) * x.dtype.itemsize % 16 == 0


def _multiply(matrix: Any, x: Any, bias: Any, y: Any) -> Any:
    """y (N, O, H, W) = matrix (O, C) times x (N, C, H, W), plus bias (O), which the product is added to."""
    if bias is not None:
        y[...] = bias[:, None, None]
    x, out = (a.reshape(*a.shape[:2], math.prod(a.shape[2:])) for a in (x, y))
    gemm(library_of(x), matrix, x, out=out, accumulate=bias is not None)
    return y
