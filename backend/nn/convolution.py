"""Convolution and transposed convolution over the last two axes.

Both are made of one linear map, the cross-correlation of images with a kernel, and of its two adjoints:

    correlate        (image, weight) → output
    input_gradient   (g,     weight) → image      the adjoint in the image: `conv_transpose2d`'s forward
    weight_gradient  (image, g)      → weight     the adjoint in the weight

A `conv2d` runs the first and differentiates with the other two; a `conv_transpose2d` runs the second and differentiates
with the other two. A device that has faster forms brings the three maps (and `arrange`, which puts an array into the
memory order that they like), and gets both primitives from `convolution` and `transposed`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..array.sums import total
from ..device.gemm import gemm
from ..tape.autograd import primitive

__all__ = ["conv2d", "conv_transpose2d"]

Pair = tuple[int, ...]


class Geometry(NamedTuple):
    """Where the kernel goes: output o reads image o·stride + i·dilation − before, i < kernel, zero outside it."""

    image: Pair
    output: Pair
    kernel: Pair
    stride: Pair
    before: Pair  # padding at the top and at the left; that at the bottom and the right follows from the sizes
    dilation: Pair
    groups: int

    @property
    def padded(self) -> Pair:
        """The part of the padded image that the kernel visits: (output − 1)·stride + dilation·(kernel − 1) + 1."""
        rows, columns = (
            (o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(self.output, self.stride, self.dilation, self.kernel)
        )
        return rows, columns


def _sides(padding: Any) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) from that or from (vertical, horizontal)."""
    vertical, horizontal = ((p, p) if isinstance(p, int) else tuple(p) for p in padding)
    return vertical, horizontal


def geometry(x: Any, weight: Any, stride: Pair, padding: Any, dilation: Pair, groups: int) -> Geometry:
    """Of a convolution of x (N, C, H, W): output size ⌊(size + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1."""
    image, kernel, sides = x.shape[2:], weight.shape[2:], _sides(padding)
    h, w = ((n + sum(p) - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(image, sides, dilation, kernel, stride))
    return Geometry(image, (h, w), kernel, stride, (sides[0][0], sides[1][0]), dilation, groups)


def transposed_geometry(
    x: Any, weight: Any, stride: Pair, padding: Any, output_padding: Pair, dilation: Pair, groups: int
) -> Geometry:
    """Of the convolution that a transposed one of x (N, C, H, W) is the adjoint of: x is its output, ours its image.

    Image size (size − 1)·stride − padding + dilation·(kernel − 1) + output_padding + 1.
    """
    output, kernel, sides = x.shape[2:], weight.shape[2:], _sides(padding)
    h, w = (
        (n - 1) * s - sum(p) + d * (k - 1) + extra + 1
        for n, s, p, d, k, extra in zip(output, stride, sides, dilation, kernel, output_padding)
    )
    return Geometry((h, w), output, kernel, stride, (sides[0][0], sides[1][0]), dilation, groups)


@primitive(precision="low")
def conv2d(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    /,
    *,
    stride: Pair = (1, 1),
    padding: Any = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    """Cross-correlation of x (N, C, H, W) with weight (O, C/groups, KH, KW), plus bias (O): y (N, O, Ho, Wo).

        y[n, o, h, w] = b[o] + Σ_{c,i,j} weight[o, c, i, j] · x[n, c, h·S + i·D − P, w·S + j·D − P]
        Ho = ⌊(H + 2P − D(KH − 1) − 1)/S⌋ + 1

    Output channels [g·O/groups, (g+1)·O/groups) see input channels [g·C/groups, (g+1)·C/groups) only.
    `padding` is (vertical, horizontal) or ((top, bottom), (left, right)).
    """
    return convolution(Generic(xp), x, weight, bias, geometry(x, weight, stride, padding, dilation, groups))


@primitive(precision="low")
def conv_transpose2d(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    /,
    *,
    stride: Pair = (1, 1),
    padding: Any = (0, 0),
    output_padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Any:
    """The adjoint of `conv2d` in its input: x (N, C, H, W), weight (C, O/groups, KH, KW), bias (O): y (N, O, Ho, Wo).

    Every x[n, c, h, w] adds itself times weight[c] to the window of y that a convolution would have read it from;
    Ho = (H − 1)·S − 2P + D(KH − 1) + output_padding + 1.
    """
    where = transposed_geometry(x, weight, stride, padding, output_padding, dilation, groups)
    return transposed(Generic(xp), x, weight, bias, where)


def convolution(maps: Any, x: Any, weight: Any, bias: Any, where: Geometry) -> tuple:
    """Output and pullback of `conv2d`, from the three maps."""
    x = maps.arrange(x)
    y = maps.correlate(x, weight, bias, where)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = maps.arrange(g)
        grad_x = maps.input_gradient(g, weight, None, where) if need[0] else None
        grad_weight = maps.weight_gradient(x, g, where, into[1]) if need[1] else None
        grad_bias = maps.bias_gradient(g) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp


def transposed(maps: Any, x: Any, weight: Any, bias: Any, where: Geometry) -> tuple:
    """Output and pullback of `conv_transpose2d`, from the three maps."""
    x = maps.arrange(x)
    y = maps.input_gradient(x, weight, bias, where)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = maps.arrange(g)
        grad_x = maps.correlate(g, weight, None, where) if need[0] else None
        grad_weight = maps.weight_gradient(g, x, where, into[1]) if need[1] else None
        grad_bias = maps.bias_gradient(g) if bias is not None and need[2] else None
        return grad_x, grad_weight, grad_bias

    return y, vjp


class Generic:
    """The three maps in the array API: im2col, a column with the window for every output position, and a product."""

    def __init__(self, xp: Any):
        self.xp = xp

    def arrange(self, x: Any) -> Any:
        return x

    def correlate(self, x: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        xp = self.xp
        y = gemm(xp, self._rows(weight, where), self._columns(x, where))  # (G, O/G, N·Ho·Wo)
        y = xp.reshape(y, (weight.shape[0], x.shape[0], *where.output))
        y = xp.permute_dims(y, (1, 0, 2, 3))
        return y if bias is None else y + xp.reshape(bias, (1, -1, 1, 1))

    def input_gradient(self, g: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        xp = self.xp
        columns = gemm(xp, xp.matrix_transpose(self._rows(weight, where)), self._by_group(g, where))
        x = self._fold(columns, g.shape[0], where)
        return x if bias is None else x + xp.reshape(bias, (1, -1, 1, 1))

    def weight_gradient(self, x: Any, g: Any, where: Geometry, into: Any) -> Any:
        xp = self.xp
        grad = gemm(xp, self._by_group(g, where), xp.matrix_transpose(self._columns(x, where)))
        return xp.reshape(grad, (g.shape[1], x.shape[1] // where.groups, *where.kernel))

    def bias_gradient(self, g: Any) -> Any:
        return total(self.xp, g, (0, 2, 3))

    def _rows(self, weight: Any, where: Geometry) -> Any:
        """(G, O/G, C/G·KH·KW)"""
        o, c, kh, kw = weight.shape
        return self.xp.reshape(weight, (where.groups, o // where.groups, c * kh * kw))

    def _by_group(self, g: Any, where: Geometry) -> Any:
        """(N, O, Ho, Wo) → (G, O/G, N·Ho·Wo)"""
        n, o, h, w = g.shape
        return self.xp.reshape(self.xp.permute_dims(g, (1, 0, 2, 3)), (where.groups, o // where.groups, n * h * w))

    def _columns(self, x: Any, where: Geometry) -> Any:
        """im2col: (N, C, H, W) → (G, C/G·KH·KW, N·Ho·Wo)"""
        xp, (n, c) = self.xp, x.shape[:2]
        (top, left), (height, width) = where.before, where.padded
        padded = xp.zeros((n, c, max(height, top + x.shape[2]), max(width, left + x.shape[3])), dtype=x.dtype)
        padded[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
        taps = xp.stack([padded[:, :, rows, columns] for rows, columns in _taps(where)], axis=2)
        taps = xp.permute_dims(taps, (1, 2, 0, 3, 4))  # (C, KH·KW, N, Ho, Wo)
        return xp.reshape(
            taps, (where.groups, c // where.groups * taps.shape[1], n * where.output[0] * where.output[1])
        )

    def _fold(self, columns: Any, n: int, where: Geometry) -> Any:
        """col2im, the adjoint of im2col: every column's entries are added to where they were read."""
        xp = self.xp
        area = where.kernel[0] * where.kernel[1]
        taps = xp.reshape(columns, (columns.shape[0] * columns.shape[1] // area, area, n, *where.output))
        taps = xp.permute_dims(taps, (2, 0, 1, 3, 4))  # (N, C, KH·KW, Ho, Wo)
        (top, left), (height, width), (h, w) = where.before, where.padded, where.image
        padded = xp.zeros((n, taps.shape[1], max(height, top + h), max(width, left + w)), dtype=columns.dtype)
        for i, (rows, across) in enumerate(_taps(where)):
            padded[:, :, rows, across] = padded[:, :, rows, across] + taps[:, :, i, ...]
        return padded[:, :, top : top + h, left : left + w]


def _taps(where: Geometry) -> list[tuple[slice, slice]]:
    """For each kernel entry, row by row, the part of the padded image that it multiplies."""
    (kh, kw), (dh, dw), (sh, sw), (h, w) = where.kernel, where.dilation, where.stride, where.output
    return [
        (slice(i * dh, i * dh + (h - 1) * sh + 1, sh), slice(j * dw, j * dw + (w - 1) * sw + 1, sw))
        for i in range(kh)
        for j in range(kw)
    ]
