"""Convolution with kernels of height 3, by Winograd's algorithm down the columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn.convolution import Geometry
from . import aligned
from .lowering import Lowering, Tile
from .window_products import WindowProduct


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
        w0, w1, w2 = weight.transpose(2, 3, 1, 0).reshape(3, -1, self.features)
        sides, middle = (w0 + w2) * 0.5, w1 * 0.5
        return aligned.copy(np.stack([w0, sides + middle, sides - middle, w2]))

    def kernel_adjoint(self, total: np.ndarray, out: np.ndarray) -> None:
        m0, m1, m2, m3 = total.transpose(0, 3, 2, 1)
        sides = (m1 + m2) * 0.5
        np.add(m0, sides, out=out[:, :, 0])
        np.multiply(m1 - m2, 0.5, out=out[:, :, 1])
        np.subtract(sides, m3, out=out[:, :, 2])

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
        d0, d1, d2, d3 = self.source
        t0, t1, t2, t3 = self.target
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
