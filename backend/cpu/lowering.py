"""Convolution as matrix products, a tile of the output at a time.

Images are channel-last here, (N, H, W, C). What a tile of the output reads is copied into a small buffer, the rows of a
`Product`, one for each pixel; the product with the kernel then makes up the tile:

    Columns    im2col. Where windows may overlap (stride and dilation 1), a row holds the kernel's height only, and a
               window is as many rows as the kernel is wide
    Planar     im2col for few channels: the pixels of a channel lie next to each other in memory
    Pointwise  a kernel of one pixel: nothing is copied
    Winograd   (in its own module) a kernel of height 3: four products where two rows of the output would need six

Each is a linear map and has its adjoint, for the gradient of the weight. Buffers belong to one thread; their size does not depend on
the batch's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..convolution import Geometry
from .products import Product, aligned, blocks, copied, zeros

TILE_BYTES = 3 << 18  # of buffers, which then stay in a second-level cache of 1 MiB
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
    """What all three share: how the image's rows lie in the buffer, and the way into it.

    A row takes `width` pixels in `padded`, the image's begin at `left`. In the product it takes `pitch` pixels, of which those from
    `offset` on belong to the output: all where the two are the same, and what pads a row on the right is the next one's padding on
    the left.
    """

    shape: tuple[int, int, int, int]  # of the product's kernel (J, span, D, O)
    per_pixel: int  # numbers in all buffers for each pixel of a tile
    size = (0, 0)  # images and rows that the buffers are for
    padded: np.ndarray
    product: Product

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        self.where, self.channels, self.features, self.dtype = where, channels, features, dtype
        self.left, self.width, self.pitch, self.offset = where.before[1], where.padded[1], where.output[1], 0
        if shares_padding(where):
            right = max(0, self.width - self.left - where.image[1])
            self.offset, self.left = max(0, right - self.left), max(right, self.left)
            self.width = self.pitch = self.left + where.image[1]

    def tiles(self, images: int) -> list[Tile]:
        """Whole images, or runs of rows (an even number, for Winograd) of one image."""
        rows, columns = self.where.output
        limit = max(TILE_PIXELS, TILE_BYTES // (self.per_pixel * self.dtype.itemsize))
        if rows * columns <= limit:
            step = limit // (rows * columns)
            return [Tile(i, min(i + step, images), 0, rows) for i in range(0, images, step)]
        pieces = -(-rows * columns // limit)
        step = 2 * -(-rows // (2 * pieces))
        return [Tile(i, i + 1, r, min(r + step, rows)) for i in range(images) for r in range(0, rows, step)]

    def multiply(self, x: np.ndarray, kernel: np.ndarray, bias_row: Any, tile: Tile, y: np.ndarray) -> None:
        """The tile of y (N, Ho, Wo, O) from x (N, H, W, C)."""
        self.fit(tile)
        self.gather(x, tile)
        self.product.multiply(kernel)
        self.scatter(tile.of(y), bias_row)

    def adjoint(self, x: np.ndarray, tile: Tile, g: np.ndarray, total: np.ndarray) -> None:
        """Add to the gradient of the kernel, (J, span, D, O), what the tile of g (N, Ho, Wo, O) contributes."""
        self.fit(tile)
        self.gather(x, tile)
        self.spread(tile.of(g))
        self.product.adjoint(total)

    def fit(self, tile: Tile) -> None:
        """Make buffers for tiles of this size, unless the last one was."""
        size = tile.stop - tile.start, tile.last - tile.first
        if size != self.size:
            self.size = size
            self.allocate(*size)

    def height(self, rows: int) -> int:
        """Image rows that `rows` output rows read."""
        return (rows - 1) * self.where.stride[0] + self.where.dilation[0] * (self.where.kernel[0] - 1) + 1

    def blank(self, *shape: int) -> np.ndarray:
        """Zeros, and some more in memory after them, into which the last windows reach that begin in the last row."""
        size = math.prod(shape)
        return zeros((size + self.channels * self.where.dilation[1] * self.where.kernel[1],), self.dtype)[
            :size
        ].reshape(shape)

    def fill(self, x: np.ndarray, tile: Tile) -> None:
        """Copy what the tile reads of x (N, H, W, C) into `padded` (B, height, width, C), whose left and right are zero."""
        padded, (h, w) = self.padded, self.where.image
        height, width = padded.shape[1:3]
        top = tile.first * self.where.stride[0] - self.where.before[0]
        low = min(max(0, -top), height)
        high = max(low, min(height, h - top))
        left, skip = min(max(0, self.left), width), max(0, -self.left)
        padded[:, :low] = 0
        padded[:, high:] = 0
        padded[:, low:high, left : left + w - skip] = x[
            tile.start : tile.stop, top + low : top + high, skip : skip + width - left
        ]

    def inside(self, pixels: np.ndarray, images: int) -> np.ndarray:
        """Of (J, B·R·pitch, O), the pixels that belong to the output: a view (J, B, R, Wo, O)."""
        j, p, o = pixels.shape
        by_row = pixels.reshape(j, images, p // (images * self.pitch), self.pitch, o)
        return by_row[..., self.offset : self.offset + self.where.output[1], :]


class Columns(Lowering):
    """im2col: in matrix g, a pixel's row is what the window sees there of the channels of group g."""

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        super().__init__(where, channels, features, dtype)
        span = where.kernel[1] if shares_padding(where) and where.dilation[1] == where.groups == 1 else 1
        depth = channels // where.groups * math.prod(where.kernel) // span
        self.shape = where.groups, span, depth, features // where.groups
        self.per_pixel = where.groups * depth + channels * math.prod(where.stride) + features

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """(O, C/G, KH, KW) → (G, KW·KH·C/G, O/G)"""
        _, c, kh, kw = weight.shape
        by_group = weight.reshape(self.where.groups, -1, c, kh, kw)
        return copied(by_group.transpose(0, 4, 3, 2, 1)).reshape(self.where.groups, kw * kh * c, -1)

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        """The gradient of the weight from that of the kernel, as (J, span, D, O)."""
        _, c, kh, kw = out.shape
        g = self.where.groups
        np.copyto(out.reshape(g, -1, c, kh, kw), total.reshape(g, kw, kh, c, -1).transpose(0, 4, 3, 2, 1))

    def allocate(self, images: int, rows: int) -> None:
        (kh, kw), (sh, sw), (dh, dw), groups = (
            self.where.kernel,
            self.where.stride,
            self.where.dilation,
            self.where.groups,
        )
        height, c, p = self.height(rows), self.channels // groups, images * rows * self.pitch
        kw //= self.shape[1]
        self.product = Product(self.shape, p, self.dtype)
        self.target = self.product.rows.reshape(groups, images, rows, self.pitch, kw, kh, c)
        padded = self.blank(images, height, self.width, groups, c)
        image, down, across, group, channel = padded.strides
        steps = (group, image, sh * down, sw * across, dw * across, dh * down, channel)
        self.source = as_strided(padded, self.target.shape, steps)
        self.padded, self.inner = padded.reshape(images, height, self.width, -1), self.inside(self.product.out, images)

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
    """im2col with the pixels of a channel next to each other, and a one at the end of each row, which the bias multiplies."""

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        Lowering.__init__(self, where, channels, features, dtype)
        depth = channels // where.groups * math.prod(where.kernel) + 1
        self.shape = where.groups, 1, depth, features // where.groups
        self.per_pixel = where.groups * depth + channels * math.prod(where.stride) + features

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """(O, C/G, KH, KW), (O) → (G, C/G·KH·KW + 1, O/G)"""
        o, groups, size = weight.shape[0], self.where.groups, math.prod(weight.shape[1:])
        kernel = zeros((groups, size + 1, o // groups), self.dtype)
        kernel[:, :-1] = weight.reshape(groups, -1, size).mT
        if bias is not None:
            kernel[:, -1] = bias.reshape(groups, -1)
        return kernel

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out.reshape(self.where.groups, -1, total.shape[2] - 1), total[:, 0, :-1].mT)

    def allocate(self, images: int, rows: int) -> None:
        (kh, kw), (sh, sw), (dh, dw), groups = (
            self.where.kernel,
            self.where.stride,
            self.where.dilation,
            self.where.groups,
        )
        height, c, p = self.height(rows), self.channels // groups, images * rows * self.pitch
        self.product = Product(self.shape, p, self.dtype, planar=True)
        self.product.rows[..., -1] = 1
        planes = self.product.rows[..., :-1].mT
        self.target = planes.reshape(groups, c, kh, kw, images, rows, self.pitch)
        padded = self.blank(groups, c, images, height, self.width)
        group, channel, image, down, across = padded.strides
        steps = (group, channel, dh * down, dw * across, image, sh * down, sw * across)
        self.source = as_strided(padded, self.target.shape, steps)
        self.padded = padded.reshape(-1, images, height, self.width).transpose(1, 2, 3, 0)
        self.inner = self.inside(self.product.out, images)

    def scatter(self, y: np.ndarray, bias_row: Any) -> None:
        np.copyto(self.by_group(y), self.inner)


class Pointwise(Lowering):
    """A kernel of one pixel: a product of all pixels with a matrix, with no copy."""

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        super().__init__(where, channels, features, dtype)
        self.shape = 1, 1, channels, features
        self.per_pixel = channels + features

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """(O, C, 1, 1) → (C, O)"""
        return copied(weight[:, :, 0, 0].T)

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out[:, :, 0, 0], total[0, 0].T)

    def multiply(self, x: np.ndarray, kernel: np.ndarray, bias_row: Any, tile: Tile, y: np.ndarray) -> None:
        for pixels, results in zip(self.cut(tile.of(x)), self.cut(tile.of(y))):
            np.matmul(pixels, kernel, out=results)
        if bias_row is not None:
            y = tile.of(y)
            y += bias_row

    def adjoint(self, x: np.ndarray, tile: Tile, g: np.ndarray, total: np.ndarray) -> None:
        total, part = total[0, 0], np.empty_like(total[0, 0])
        for some_pixels, some_g in zip(self.cut(tile.of(x)), self.cut(tile.of(g))):
            for pixels, g_pixels in zip(some_pixels, some_g):
                np.matmul(pixels.T, g_pixels, out=part)
                total += part

    def cut(self, x: np.ndarray) -> list[np.ndarray]:
        """(B, R, W, C) → n blocks of m pixels, (n, m, C), and what is left."""
        pixels = x.reshape(-1, x.shape[-1])
        m = blocks(len(pixels), self.channels * self.features, 12)[1]
        n = len(pixels) // m
        left = pixels[n * m :]
        return [pixels[: n * m].reshape(n, m, -1)] + ([left[None]] if len(left) else [])


def shares_padding(where: Geometry) -> bool:
    """Whether the zeros between two rows of the image can serve both, so that a window can go on from the end of one into the next."""
    left = where.before[1]
    right = where.padded[1] - left - where.image[1]
    return where.stride == (1, 1) and left >= 0 and right <= where.dilation[1] * (where.kernel[1] - 1)
