"""Convolution as matrix products, a tile of the output at a time.

Images are channel-last here, (N, H, W, C), and volumes (N, D, H, W, C): an output (N, Do, Ho, Wo, O) is N·Do images, each of
which reads KD images of C channels as one of KD·C. What a tile of the output reads is copied into a small buffer, the rows of a
`WindowProduct`, one for each pixel; the product with the kernel then makes up the tile:

    Columns    im2col. Where windows may overlap (stride and dilation 1), a row holds the kernel's height only, and a
               window is as many rows as the kernel is wide
    Planar     im2col for few channels: the pixels of a channel lie next to each other in memory
    Pointwise  a kernel of one pixel: nothing is copied
    Winograd   (in its own module) a kernel of height 3: four products where two rows of the output would need six, and
               sixteen for thirty-six where a kernel of volumes is also 3 deep

Each is a linear map of the image and of the kernel; the gradient of the kernel is its adjoint. Buffers belong to one
thread, and their size does not depend on the batch's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..device.parallel import parallel_for
from ..nn.convolution import Geometry
from . import aligned
from .window_products import WindowProduct, row_blocks

TILE_BYTES = (
    3 << 19
)  # of buffers: of a second-level cache's size, there are twice as many calls for threads to wait for
NO_DEPTH = Geometry((), (), (), (), (), (), 1)
SIDE = (
    128  # of the squares that weights are transposed by: whole, rows a multiple of 4096 bytes apart displace each other
)
SQUARES = 2  # too few to be worth a second thread
TILE_PIXELS = 1024  # at least, lest many channels leave each product with a few rows only


class Tile(NamedTuple):
    """Output rows `first` … `last` − 1 of the images `start` … `stop` − 1."""

    start: int
    stop: int
    first: int
    last: int

    def of(self, y: np.ndarray) -> np.ndarray:
        """The tile in y (N, Ho, Wo, O)."""
        return y[self.start : self.stop, self.first : self.last]


class Lowering:
    """What all share: tiles, and how the image's rows lie in a buffer. `channels` are those of all images that one reads.

    A row takes `width` pixels in `padded`; the image's begin at `left`. In the product it takes `pitch` pixels; the
    output's begin at `offset`. The two are one where rows share their padding: what pads a row on the right is the
    next one's padding on the left.
    """

    shape: tuple[int, int, int, int]  # of the product's kernel: (J, span, D, O)
    per_pixel: int  # numbers in all buffers for each pixel of a tile
    tile_bytes = TILE_BYTES
    size = (0, 0)  # images and rows of the tiles that the buffers are for
    padded: np.ndarray
    product: WindowProduct

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        self.depth, self.where = (
            (where.along(slice(-2)), where.along(slice(-2, None))) if len(where.image) > 2 else (NO_DEPTH, where)
        )
        self.channels, self.features, self.dtype = channels * math.prod(self.depth.kernel), features, dtype
        where = self.where
        self.left, self.width, self.pitch, self.offset = where.before[1], where.padded[1], where.output[1], 0
        if shares_padding(where):
            right = max(0, self.width - self.left - where.image[1])
            self.offset, self.left = max(0, right - self.left), max(right, self.left)
            self.width = self.pitch = self.left + where.image[1]

    def beside(self) -> Self:
        """Another, with buffers of its own. `copy.copy` takes ten times as long, in which other threads wait."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """What the rows are multiplied with, (J, span·D, O), from a weight (O, C/G, KH, KW)."""
        raise NotImplementedError

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        """Write the gradient of the weight, given that of the kernel as (J, span, D, O)."""
        raise NotImplementedError

    def allocate(self, images: int, rows: int) -> None:
        """Make buffers for tiles of this size."""
        raise NotImplementedError

    def gather(self, x: np.ndarray, tile: Tile) -> None:
        """Fill the product's rows from x (N, H, W, C)."""
        raise NotImplementedError

    def scatter(self, y: np.ndarray, bias_row: Any) -> None:
        """Make the tile y (B, R, Wo, O) up from what the product gave, and a row (1, 1, Wo, O) of biases."""
        raise NotImplementedError

    def spread(self, g: np.ndarray) -> None:
        """The adjoint of `scatter`."""
        raise NotImplementedError

    def images(self, x: np.ndarray) -> np.ndarray:
        """The images x (N, H, W, C) or (N, D, H, W, C) as they are given to `multiply` and `adjoint`."""
        return x

    def outputs(self, y: np.ndarray) -> np.ndarray:
        """The output (N, Ho, Wo, O) or (N, Do, Ho, Wo, O) as images, a view where there is one."""
        return as_images(y)

    def by_image(self, weight: np.ndarray) -> np.ndarray:
        """A weight (O, C, KH, KW), or (O, C, KD, KH, KW) as (O, KD·C, KH, KW): the channels of all images that are read."""
        return weight if weight.ndim == 4 else weight.swapaxes(1, 2).reshape(len(weight), -1, *weight.shape[3:])

    def by_image_adjoint(self, grad: np.ndarray, out: np.ndarray) -> None:
        """Write the gradient of a weight (O, C, KD, KH, KW), given that of `by_image`."""
        o, c, depth, *kernel = out.shape
        np.copyto(out.swapaxes(1, 2), grad.reshape(o, depth, c, *kernel))

    def multiply(self, x: np.ndarray, kernel: np.ndarray, bias_row: Any, tile: Tile, y: np.ndarray) -> None:
        """The tile of y (N, Ho, Wo, O) from x (N, H, W, C)."""
        self.fit(tile)
        self.gather(x, tile)
        self.product.multiply(kernel)
        self.scatter(tile.of(y), bias_row)

    def adjoint(self, x: np.ndarray, g: np.ndarray, tile: Tile, total: np.ndarray) -> None:
        """Add to the gradient of the kernel, (J, span, D, O), what the tile of g (N, Ho, Wo, O) contributes."""
        if self.fit(tile):
            self.product.clear()
        self.gather(x, tile)
        self.spread(tile.of(g))
        self.product.adjoint(total)

    def fit(self, tile: Tile) -> bool:
        """Have buffers for this tile, and tell whether they are new. Most tiles are of one size."""
        size = tile.stop - tile.start, tile.last - tile.first
        if size == self.size:
            return False
        self.size = size
        self.allocate(*size)
        return True

    def tiles(self, images: int) -> list[Tile]:
        """The output cut into whole images, or into runs of rows (of an even number, for Winograd) of one image."""
        rows, columns = self.where.output
        limit = max(TILE_PIXELS, self.tile_bytes // (self.per_pixel * self.dtype.itemsize))
        if rows * columns <= limit:
            step = limit // (rows * columns)
            return [Tile(i, min(i + step, images), 0, rows) for i in range(0, images, step)]
        pieces = -(-rows * columns // limit)
        step = 2 * -(-rows // (2 * pieces))
        return [Tile(i, i + 1, r, min(r + step, rows)) for i in range(images) for r in range(0, rows, step)]

    def height(self, rows: int) -> int:
        """Image rows that `rows` output rows read."""
        return (rows - 1) * self.where.stride[0] + self.where.dilation[0] * (self.where.kernel[0] - 1) + 1

    def blank(self, *shape: int) -> np.ndarray:
        """Zeros, with more after them in memory, for the last windows of the last row to reach into."""
        size, beyond = math.prod(shape), self.channels * self.where.dilation[1] * self.where.kernel[1]
        return aligned.zeros((size + beyond,), self.dtype)[:size].reshape(shape)

    def read(self, tile: Tile) -> tuple[np.ndarray, slice, slice]:
        """The part of `padded` that the tile's image is in, and which rows and columns of it; the rest is set to zero."""
        (h, w), (height, width) = self.where.image, self.padded.shape[1:3]
        top = tile.first * self.where.stride[0] - self.where.before[0]
        low = min(max(0, -top), height)
        high = max(low, min(height, h - top))
        left, skip = min(max(0, self.left), width), max(0, -self.left)
        self.padded[:, :low] = 0
        self.padded[:, high:] = 0
        inner = self.padded[:, low:high, left : left + w - skip]
        return inner, slice(top + low, top + high), slice(skip, skip + width - left)

    def fill(self, x: np.ndarray, tile: Tile) -> None:
        """Copy what the tile reads of x (N, H, W, C) into `padded` (B, height, width, C), zero left and right of it."""
        inner, rows, columns = self.read(tile)
        if not self.depth.kernel:
            inner[...] = x[tile.start : tile.stop, rows, columns]
            return
        groups, taps = self.where.groups, self.depth.kernel[0]
        inner = inner.reshape(*inner.shape[:3], groups, taps, self.channels // (groups * taps))
        for here, tap, there in self.images_read(tile):
            part = inner[here, ..., tap, :]
            part[...] = 0 if there is None else x[(*there, rows, columns)].reshape(part.shape)

    def images_read(self, tile: Tile) -> Iterator[tuple[slice, int, tuple[int, slice] | None]]:
        """Which of the tile's images read by which tap which of the volumes' images (n, d); None where there are none."""
        (size,), (output,), (kernel,), (stride,), (before,), (dilation,), _ = self.depth
        for n in range(tile.start // output, -(-tile.stop // output)):
            start, stop = max(tile.start - n * output, 0), min(tile.stop - n * output, output)
            for tap in range(kernel):
                shift = tap * dilation - before
                first = min(max(start, -(shift // stride)), stop)
                last = max(first, min(stop, -((shift - size) // stride)))
                at = slice(first * stride + shift, (last - 1) * stride + shift + 1, stride)
                for a, b, there in ((start, first, None), (first, last, (n, at)), (last, stop, None)):
                    if a < b:
                        yield slice(n * output + a - tile.start, n * output + b - tile.start), tap, there

    def inside(self, pixels: np.ndarray, images: int) -> np.ndarray:
        """Of (J, B·R·pitch, O), the pixels that belong to the output: a view (J, B, R, Wo, O)."""
        j, p, o = pixels.shape
        by_row = pixels.reshape(j, images, p // (images * self.pitch), self.pitch, o)
        return by_row[..., self.offset : self.offset + self.where.output[1], :]


class Columns(Lowering):
    """im2col: in matrix g, a pixel's row is what the window sees there of the channels of group g."""

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        super().__init__(where, channels, features, dtype)
        where, channels = self.where, self.channels
        span = where.kernel[1] if shares_padding(where) and where.dilation[1] == where.groups == 1 else 1
        self.set_shape(span, channels // where.groups * math.prod(where.kernel) // span)

    def set_shape(self, span: int, depth: int) -> None:
        groups = self.where.groups
        self.shape = groups, span, depth, self.features // groups
        self.per_pixel = groups * depth + self.channels * math.prod(self.where.stride) + self.features

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """In the order KW, KH, C/G."""
        _, channels, kh, kw = weight.shape
        by_group = weight.reshape(self.where.groups, -1, channels, kh, kw).transpose(0, 4, 3, 2, 1)
        out = aligned.empty(by_group.shape, weight.dtype)

        def copy(o: slice, c: slice) -> None:
            out[..., c, o] = by_group[..., c, o]

        over_squares(copy, out.shape[-1], channels)
        return out.reshape(self.where.groups, kw * kh * channels, -1)

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        _, channels, kh, kw = out.shape
        by_group = total.reshape(self.where.groups, kw, kh, channels, -1).transpose(0, 4, 3, 2, 1)
        target = out.reshape(by_group.shape)  # a view: the axis that is split is the first

        def copy(o: slice, c: slice) -> None:
            target[:, o, c] = by_group[:, o, c]

        over_squares(copy, len(out) // self.where.groups, channels)

    def allocate(self, images: int, rows: int) -> None:
        (kh, kw), (sh, sw), (dh, dw) = self.where.kernel, self.where.stride, self.where.dilation
        groups = self.where.groups
        height, c = self.height(rows), self.channels // groups
        self.product = WindowProduct(self.shape, images * rows * self.pitch, self.dtype)
        self.target = self.product.rows.reshape(groups, images, rows, self.pitch, kw // self.shape[1], kh, c)
        padded = self.blank(images, height, self.width, groups, c)
        image, down, across, group, channel = padded.strides
        steps = (group, image, sh * down, sw * across, dw * across, dh * down, channel)
        self.source = as_strided(padded, self.target.shape, steps, subok=True)
        self.padded = padded.reshape(images, height, self.width, -1)
        self.inner = self.inside(self.product.out, images)

    def gather(self, x: np.ndarray, tile: Tile) -> None:
        self.fill(x, tile)
        np.copyto(self.target, self.source)

    def scatter(self, y: np.ndarray, bias_row: Any) -> None:
        if bias_row is None:
            np.copyto(self.by_group(y), self.inner)
        else:
            np.add(self.inner, self.by_group(bias_row), out=self.by_group(y))

    def spread(self, g: np.ndarray) -> None:
        np.copyto(self.inner, self.by_group(g))

    def by_group(self, y: np.ndarray) -> np.ndarray:
        """(B, R, Wo, O) → (G, B, R, Wo, O/G)"""
        return np.moveaxis(y.reshape(*y.shape[:3], self.where.groups, -1), 3, 0)


class Planar(Columns):
    """im2col with the pixels of a channel next to each other, and a one at the end of each row, for the bias."""

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        super().__init__(where, channels, features, dtype)
        self.set_shape(1, self.channels // where.groups * math.prod(self.where.kernel) + 1)

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """In the order C/G, KH, KW, and then the bias."""
        groups, _, depth, features = self.shape
        kernel = aligned.zeros((groups, depth, features), self.dtype)
        kernel[:, :-1] = weight.reshape(groups, features, depth - 1).mT
        if bias is not None:
            kernel[:, -1] = bias.reshape(groups, features)
        return kernel

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, total[:, 0, :-1].mT.reshape(out.shape))

    def allocate(self, images: int, rows: int) -> None:
        (kh, kw), (sh, sw), (dh, dw) = self.where.kernel, self.where.stride, self.where.dilation
        groups = self.where.groups
        height, c = self.height(rows), self.channels // groups
        self.product = WindowProduct(self.shape, images * rows * self.pitch, self.dtype, planar=True)
        self.product.rows[..., -1] = 1
        planes = self.product.rows[..., :-1].mT
        self.target = planes.reshape(groups, c, kh, kw, images, rows, self.pitch)
        padded = self.blank(groups, c, images, height, self.width)
        group, channel, image, down, across = padded.strides
        steps = (group, channel, dh * down, dw * across, image, sh * down, sw * across)
        self.source = as_strided(padded, self.target.shape, steps, subok=True)
        self.padded = padded.reshape(-1, images, height, self.width).transpose(1, 2, 3, 0)
        self.inner = self.inside(self.product.out, images)

    def scatter(self, y: np.ndarray, bias_row: Any) -> None:
        np.copyto(self.by_group(y), self.inner)


class Pointwise(Lowering):
    """A kernel of one pixel: a product of all pixels with a matrix, and no buffers."""

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        super().__init__(where, channels, features, dtype)
        self.shape = 1, 1, channels, features
        self.per_pixel = channels + features

    def images(self, x: np.ndarray) -> np.ndarray:
        return as_images(x)

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        return aligned.copy(weight[None, :, :, 0, 0].mT)

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, total[0, 0].T[..., None, None])

    def outputs(self, y: np.ndarray) -> np.ndarray:
        """The output (N, Ho, Wo, O) or (N, Do, Ho, Wo, O) as images, a view where there is one."""
        return as_images(y)

    def by_image(self, weight: np.ndarray) -> np.ndarray:
        """A weight (O, C, KH, KW), or (O, C, KD, KH, KW) as (O, KD·C, KH, KW): the channels of all images that are read."""
        return weight if weight.ndim == 4 else weight.swapaxes(1, 2).reshape(len(weight), -1, *weight.shape[3:])

    def by_image_adjoint(self, grad: np.ndarray, out: np.ndarray) -> None:
        """Write the gradient of a weight (O, C, KD, KH, KW), given that of `by_image`."""
        o, c, depth, *kernel = out.shape
        np.copyto(out.swapaxes(1, 2), grad.reshape(o, depth, c, *kernel))

    def multiply(self, x: np.ndarray, kernel: np.ndarray, bias_row: Any, tile: Tile, y: np.ndarray) -> None:
        y = tile.of(y)
        for pixels, results in zip(self.cut(tile.of(x)), self.cut(y)):
            np.matmul(pixels, kernel, out=results)
        if bias_row is not None:
            y += bias_row

    def adjoint(self, x: np.ndarray, g: np.ndarray, tile: Tile, total: np.ndarray) -> None:
        part = np.empty_like(total[0])
        for pixels, results in zip(self.cut(tile.of(x)), self.cut(tile.of(g))):
            for some_pixels, some_results in zip(pixels, results):
                np.matmul(some_pixels.T, some_results, out=part[0])
                total += part

    def cut(self, x: np.ndarray) -> list[np.ndarray]:
        """(B, R, W, C) → blocks of m pixels, (n, m, C), and of those left."""
        pixels = x.reshape(-1, x.shape[-1])
        m = row_blocks(len(pixels), self.channels * self.features)[1]
        n = len(pixels) // m
        parts = pixels[: n * m].reshape(n, m, -1), pixels[None, n * m :]
        return [part for part in parts if part.size]


def shares_padding(where: Geometry) -> bool:
    """Whether the zeros between two rows can serve both: a window may reach from the end of one into the next."""
    left = where.before[-1]
    right = where.padded[-1] - left - where.image[-1]
    steps = where.stride[-2:] == (1, 1)
    return steps and left >= 0 and right <= where.dilation[-1] * (where.kernel[-1] - 1)


def over_squares(work: Callable[[slice, slice], None], rows: int, columns: int) -> None:
    """`work` on blocks of a matrix that stay in cache while they are transposed."""
    corners = list(itertools.product(range(0, rows, SIDE), range(0, columns, SIDE)))

    def run(start: int, stop: int) -> None:
        for i, j in corners[start:stop]:
            work(slice(i, i + SIDE), slice(j, j + SIDE))

    parallel_for(run, len(corners), grain=SQUARES)


def as_images(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) as it is, (N, D, H, W, C) as (N·D, H, W, C)."""
    return x if x.ndim == 4 else x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:])
