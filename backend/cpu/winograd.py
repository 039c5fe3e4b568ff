"""Convolution with kernels of height 3, by Winograd's algorithm down the columns and, of volumes, through the depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn.convolution import Geometry
from . import aligned
from .lowering import TILE_BYTES, Lowering, Tile, over_squares
from .window_products import WindowProduct

PLANES = (np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3)  # of d₀ … d₃, as below


class Winograd(Lowering):
    """F(2, 3): two rows of the output from four of the image, by four products (Winograd 1980; Lavin & Gray 2016).

        y₀ = m₀ + m₁ + m₂      m₀ = (d₀ − d₂) w₀     m₁ = (d₁ + d₂)(w₀ + w₁ + w₂)/2
        y₁ = m₁ − m₂ − m₃      m₃ = (d₁ − d₃) w₂     m₂ = (d₂ − d₁)(w₀ − w₁ + w₂)/2

    where d and w are rows of the image and of the kernel, and their product is the correlation along the row. Rounding
    errors are 1.3 times those of the six products. A number reaches no output that it would not reach without the
    trick, so NaN spreads no further; but an infinity may come out as NaN.
    """

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        super().__init__(where, channels, features, dtype)
        self.shape = 4, where.kernel[-1], self.channels, features
        self.per_pixel = 3 * self.channels + 3 * features

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """(O, C, 3, KW) → (4, KW·C, O)"""
        features, channels, _, width = weight.shape
        out = aligned.empty((4, width, channels, features), weight.dtype)

        def transform(o: slice, c: slice) -> None:
            for some, part in zip(_four(np.ascontiguousarray(weight[o, c].transpose(2, 3, 1, 0))), out):
                part[:, c, o] = some

        over_squares(transform, features, channels)
        return out.reshape(4, -1, features)

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        def transform(o: slice, c: slice) -> None:
            for row, part in enumerate(_three(total[:, :, c, o])):
                out[o, c, row] = part.transpose(2, 1, 0)

        over_squares(transform, *out.shape[:2])

    def allocate(self, images: int, rows: int) -> None:
        pairs, line = (rows + 1) // 2, self.width * self.channels
        self.product = WindowProduct(self.shape, images * pairs * self.pitch, self.dtype)
        self.padded = aligned.zeros((images, 2 * pairs + 2, self.width, self.channels), self.dtype)
        by_pair = self.padded.reshape(images, pairs + 1, 2, line)
        self.source = by_pair[:, :-1, 0], by_pair[:, :-1, 1], by_pair[:, 1:, 0], by_pair[:, 1:, 1]
        self.target = self.product.rows.reshape(4, images, pairs, line)
        self.inner = self.inside(self.product.out, images)
        self.sum = aligned.empty(self.inner.shape[1:], self.dtype)

    def gather(self, x: np.ndarray, tile: Tile) -> None:
        self.fill(x, tile)
        self.transform(self.source, self.target)

    def transform(self, rows: Any, out: Any) -> None:
        """From d₀ … d₃ to what they are multiplied as."""
        d0, d1, d2, d3 = rows
        t0, t1, t2, t3 = out
        np.subtract(d0, d2, out=t0)
        np.add(d1, d2, out=t1)
        np.subtract(d2, d1, out=t2)
        np.subtract(d1, d3, out=t3)

    def scatter(self, y: np.ndarray, bias_row: Any) -> None:
        m0, m1, m2, _ = self.inner
        if bias_row is not None:
            m1 += bias_row
        np.add(m0, m1, out=self.sum)
        np.add(self.sum, m2, out=y[:, 0::2])
        both = y.shape[1] // 2  # the last row of an odd number has no partner
        _, m1, m2, m3 = self.inner[:, :, :both]
        difference = np.subtract(m1, m2, out=self.sum[:, :both])
        np.subtract(difference, m3, out=y[:, 1::2])

    def spread(self, g: np.ndarray) -> None:
        """To m₀ … m₃ the gradients g₀, g₀ + g₁, g₀ − g₁ and −g₁, the last with its sign left for `kernel_adjoint`."""
        g0, g1 = g[:, 0::2], g[:, 1::2]
        both = g1.shape[1]
        self.inner[0] = g0
        self.inner[1:3, :, both:] = g0[:, both:]
        self.inner[3, :, both:] = 0
        _, z1, z2, z3 = self.inner[:, :, :both]
        np.add(g0[:, :both], g1, out=z1)
        np.subtract(g0[:, :both], g1, out=z2)
        np.copyto(z3, g1)


def _four(w: np.ndarray) -> list[np.ndarray]:
    """What m₀ … m₃ multiply with, of three parts of a kernel."""
    w0, w1, w2 = w
    sides, middle = (w0 + w2) * 0.5, w1 * 0.5
    return [w0, sides + middle, sides - middle, w2]


def _three(total: np.ndarray) -> list[np.ndarray]:
    """The adjoint; the last of `total` has the opposite sign."""
    m0, m1, m2, m3 = total
    sides = (m1 + m2) * 0.5
    return [m0 + sides, (m1 - m2) * 0.5, sides - m3]


class WinogradVolumes(Winograd):
    """The same down the columns and through the depth of volumes, for kernels 3 deep and 3 high: 16 products for 36.

    Two neighbours of the output's images are made up from the four that they read. What stands for j and i in the formula
    has both here: plane j of four in depth, row i of four in height.
    """

    tile_bytes = 3 * TILE_BYTES  # sixteen products of few rows each cost more than buffers that leave the cache

    def __init__(self, where: Geometry, channels: int, features: int, dtype: np.dtype):
        (output, *size), (kernel, *taps), (stride, *steps) = where.output, where.kernel, where.stride
        pairs = where._replace(output=(output // 2, *size), kernel=(kernel + 1, *taps), stride=(2 * stride, *steps))
        super().__init__(pairs, channels, features, dtype)
        self.shape = 16, where.kernel[-1], channels, features
        self.per_pixel = 3 * channels + 6 * features

    def outputs(self, y: np.ndarray) -> np.ndarray:
        """As (N·Do/2, Ho, 2, Wo, O)."""
        n, depth, *size = y.shape
        return y.reshape(n * depth // 2, 2, *size).swapaxes(1, 2)

    def by_image(self, weight: np.ndarray) -> np.ndarray:
        return weight

    def by_image_adjoint(self, grad: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, grad)

    def kernel(self, weight: np.ndarray, bias: Any) -> np.ndarray:
        """(O, C, 3, 3, KW) → (16, KW·C, O)"""
        planes = _four(np.moveaxis(weight, 2, 0))
        return aligned.copy(np.concatenate([super(WinogradVolumes, self).kernel(w, None) for w in planes]))

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        planes = np.empty((4, *out.shape[:2], *out.shape[3:]), out.dtype)
        for rows, plane in zip(total.reshape(4, 4, *total.shape[1:]), planes):
            super().kernel_adjoint(rows, plane)
        for depth, part in enumerate(_three(planes)):
            out[:, :, depth] = part

    def allocate(self, images: int, rows: int) -> None:
        pairs, line = (rows + 1) // 2, self.width * self.shape[2]
        shape, pixels = (4, *self.shape[1:]), images * pairs * self.pitch
        product = WindowProduct(shape, pixels, self.dtype)
        self.products = [product, product.beside(), product.beside()]
        self.target = product.rows.reshape(4, images, pairs, line)
        self.inners = [self.inside(product.out, images) for product in self.products[:2]]
        self.sum = aligned.empty(self.inners[0].shape[1:], self.dtype)
        self.padded = aligned.zeros((images, 2 * pairs + 2, self.width, self.shape[2]), self.dtype)
        by_pair = self.padded.reshape(images, pairs + 1, 2, line)
        self.source = by_pair[:, :-1, 0], by_pair[:, :-1, 1], by_pair[:, 1:, 0], by_pair[:, 1:, 1]

    def multiply(self, x: np.ndarray, kernel: np.ndarray, bias_row: Any, tile: Tile, y: np.ndarray) -> None:
        self.fit(tile)
        planes = self.planes(x, tile)
        z0, z1, other = (product.out for product in self.products)
        for j, by in enumerate((0, 1, 2, 2)):
            self.fill_plane(planes, j)
            self.transform(self.source, self.target)
            self.products[by].multiply(kernel[4 * j : 4 * j + 4])
            if j in (1, 2):
                z0 += z1 if j == 1 else other
            if j in (2, 3):
                z1 -= other
        for side, inner in enumerate(self.inners):
            self.inner = inner
            self.scatter(tile.of(y)[:, :, side], bias_row)

    def adjoint(self, x: np.ndarray, g: np.ndarray, tile: Tile, total: np.ndarray) -> None:
        if self.fit(tile):
            for product in self.products:
                product.clear()
        planes = self.planes(x, tile)
        for side, inner in enumerate(self.inners):
            self.inner = inner
            self.spread(tile.of(g)[:, :, side])
        g0, g1, other = (product.out for product in self.products)
        for j, by in ((0, 0), (3, 1), (1, 2), (2, 2)):  # the last with its sign left for `kernel_adjoint`
            if by == 2:
                (np.add if j == 1 else np.subtract)(g0, g1, out=other)
            self.fill_plane(planes, j)
            self.transform(self.source, self.target)
            self.products[by].adjoint(total[4 * j : 4 * j + 4])

    def planes(self, x: np.ndarray, tile: Tile) -> list[tuple[np.ndarray, tuple[np.ndarray, ...]]]:
        """For each of the tile's images, its place in `padded` and the four images d₀ … d₃ of x that it is made of."""
        inner, rows, columns = self.read(tile)
        (size,), (output,), (before,) = self.depth.image, self.depth.output, self.depth.before
        nothing, found = np.zeros((), x.dtype), []
        for image, place in zip(range(tile.start, tile.stop), inner):
            n, o = divmod(image, output)
            at = range(2 * o - before, 2 * o - before + 4)
            found.append((place, tuple(x[n, d, rows, columns] if 0 <= d < size else nothing for d in at)))
        return found

    def fill_plane(self, planes: list[tuple[np.ndarray, tuple[np.ndarray, ...]]], j: int) -> None:
        """One plane in depth, straight from the images: all four at once would not stay in cache."""
        combine, a, b = PLANES[j]
        for place, d in planes:
            combine(d[a], d[b], out=place)
