"""Convolution and transposed convolution over any number of spatial axes, those behind batch and channels.

Both are made of one linear map, the cross-correlation of images with a kernel, and of its two adjoints:

    correlate        (image, weight) → output
    input_gradient   (g,     weight) → image      the adjoint in the image: `conv_transpose`'s forward
    weight_gradient  (image, g)      → weight     the adjoint in the weight

A `conv` runs the first and differentiates with the other two; a `conv_transpose` runs the second and differentiates
with the other two. A device that has faster forms brings the three maps (and `arrange`, which puts an array into the
memory order that they like), and gets both primitives from `convolution` and `transposed`. What knows images alone takes
sequences through `Sequences`.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

from ..array.sums import total
from ..device.gemm import gemm
from ..tape.autograd import primitive

__all__ = ["conv", "conv_transpose"]

Sizes = tuple[int, ...]  # one for each spatial axis


class Geometry(NamedTuple):
    """Where the kernel goes: output o reads image o·stride + i·dilation − before, i < kernel, zero outside it."""

    image: Sizes
    output: Sizes
    kernel: Sizes
    stride: Sizes
    before: Sizes  # padding at the beginning of each axis; that at the end follows from the sizes
    dilation: Sizes
    groups: int

    @property
    def padded(self) -> Sizes:
        """The part of the padded image that the kernel visits: (output − 1)·stride + dilation·(kernel − 1) + 1."""
        sizes = zip(self.output, self.stride, self.dilation, self.kernel)
        return tuple([(o - 1) * s + d * (k - 1) + 1 for o, s, d, k in sizes])

    def along(self, axes: slice) -> Geometry:
        """That of some of the axes."""
        image, output, kernel, stride, before, dilation, groups = self
        return Geometry(image[axes], output[axes], kernel[axes], stride[axes], before[axes], dilation[axes], groups)

    @property
    def as_images(self) -> Geometry:
        """That of a sequence, as images of height 1."""
        image, output, kernel, stride, dilation = (
            (1, *v) for v in (self.image, self.output, self.kernel, self.stride, self.dilation)
        )
        return Geometry(image, output, kernel, stride, (0, *self.before), dilation, self.groups)


def each(value: Any, n: int) -> Sizes:
    """One for each axis, from that or from one for all."""
    return (value,) * n if isinstance(value, int) else tuple(value)


def _sides(padding: Any, n: int) -> tuple[Sizes, ...]:
    """(before, after) along each axis, from that or from one number for both."""
    return tuple([(p, p) if isinstance(p, int) else tuple(p) for p in each(padding, n)])


def geometry(x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Geometry:
    """Of a convolution of x (N, C, …): output size ⌊(size + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1."""
    return _geometry(x.shape[2:], weight.shape[2:], stride, padding, dilation, groups)


@functools.lru_cache(maxsize=1024)
def _geometry(image: Sizes, kernel: Sizes, stride: Any, padding: Any, dilation: Any, groups: int) -> Geometry:
    n = len(image)
    sides, stride, dilation = _sides(padding, n), each(stride, n), each(dilation, n)
    output = [(i + sum(p) - d * (k - 1) - 1) // s + 1 for i, p, d, k, s in zip(image, sides, dilation, kernel, stride)]
    return Geometry(image, tuple(output), kernel, stride, tuple([p[0] for p in sides]), dilation, groups)


def transposed_geometry(
    x: Any, weight: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> Geometry:
    """Of the convolution that a transposed one of x (N, C, …) is the adjoint of: x is its output, ours its image.

    Image size (size − 1)·stride − padding + dilation·(kernel − 1) + output_padding + 1.
    """
    return _transposed_geometry(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation, groups)


@functools.lru_cache(maxsize=1024)
def _transposed_geometry(
    output: Sizes, kernel: Sizes, stride: Any, padding: Any, output_padding: Any, dilation: Any, groups: int
) -> Geometry:
    n = len(output)
    sides, stride, dilation = _sides(padding, n), each(stride, n), each(dilation, n)
    sizes = zip(output, stride, sides, dilation, kernel, each(output_padding, n))
    image = [(o - 1) * s - sum(p) + d * (k - 1) + extra + 1 for o, s, p, d, k, extra in sizes]
    return Geometry(tuple(image), output, kernel, stride, tuple([p[0] for p in sides]), dilation, groups)


@primitive(precision="low")
def conv(
    xp: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    /,
    *,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of x (N, C, …) with weight (O, C/groups, …), plus bias (O): y (N, O, …), as in two dimensions

        y[n, o, h, w] = b[o] + Σ_{c,i,j} weight[o, c, i, j] · x[n, c, h·S + i·D − P, w·S + j·D − P]
        Ho = ⌊(H + 2P − D(KH − 1) − 1)/S⌋ + 1

    Output channels [g·O/groups, (g+1)·O/groups) see input channels [g·C/groups, (g+1)·C/groups) only.
    Options are one number for all axes or one for each, where `padding` may also have (before, after).
    """
    return convolution(Generic(xp), x, weight, bias, geometry(x, weight, stride, padding, dilation, groups))


@primitive(precision="low")
def conv_transpose(
    xp: Any,
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
    """The adjoint of `conv` in its input: x (N, C, …), weight (C, O/groups, …), bias (O): y (N, O, …).

    Every x[n, c, …] adds itself times weight[c] to the window of y that a convolution would have read it from;
    Ho = (H − 1)·S − 2P + D(KH − 1) + output_padding + 1.
    """
    where = transposed_geometry(x, weight, stride, padding, output_padding, dilation, groups)
    return transposed(Generic(xp), x, weight, bias, where)


def convolution(maps: Any, x: Any, weight: Any, bias: Any, where: Geometry) -> tuple:
    """Output and pullback of `conv`, from the three maps."""
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
    """Output and pullback of `conv_transpose`, from the three maps."""
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
        y = xp.moveaxis(xp.reshape(y, (weight.shape[0], x.shape[0], *where.output)), 0, 1)
        return y if bias is None else y + _per_channel(xp, bias, y)

    def input_gradient(self, g: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        xp = self.xp
        columns = gemm(xp, xp.matrix_transpose(self._rows(weight, where)), self._by_group(g, where))
        x = self._fold(columns, g.shape[0], where)
        return x if bias is None else x + _per_channel(xp, bias, x)

    def weight_gradient(self, x: Any, g: Any, where: Geometry, into: Any) -> Any:
        xp = self.xp
        grad = gemm(xp, self._by_group(g, where), xp.matrix_transpose(self._columns(x, where)))
        return xp.reshape(grad, (g.shape[1], x.shape[1] // where.groups, *where.kernel))

    def bias_gradient(self, g: Any) -> Any:
        return total(self.xp, g, (0, *range(2, g.ndim)))

    def _rows(self, weight: Any, where: Geometry) -> Any:
        """(G, O/G, C/G·KH·KW)"""
        o = weight.shape[0]
        return self.xp.reshape(weight, (where.groups, o // where.groups, math.prod(weight.shape[1:])))

    def _by_group(self, g: Any, where: Geometry) -> Any:
        """(N, O, Ho, Wo) → (G, O/G, N·Ho·Wo)"""
        n, o, *size = g.shape
        return self.xp.reshape(self.xp.moveaxis(g, 1, 0), (where.groups, o // where.groups, n * math.prod(size)))

    def _columns(self, x: Any, where: Geometry) -> Any:
        """im2col: (N, C, H, W) → (G, C/G·KH·KW, N·Ho·Wo)"""
        xp, (n, c) = self.xp, x.shape[:2]
        padded = xp.zeros((n, c, *extent(where)), dtype=x.dtype)
        padded[inside(where)] = x
        taps = xp.stack([padded[tap] for tap in taps_of(where)], axis=2)  # (N, C, KH·KW, Ho, Wo)
        taps = xp.moveaxis(taps, 0, 2)
        return xp.reshape(taps, (where.groups, c // where.groups * taps.shape[1], n * math.prod(where.output)))

    def _fold(self, columns: Any, n: int, where: Geometry) -> Any:
        """col2im, the adjoint of im2col: every column's entries are added to where they were read."""
        xp, area = self.xp, math.prod(where.kernel)
        taps = xp.reshape(columns, (columns.shape[0] * columns.shape[1] // area, area, n, *where.output))
        taps = xp.moveaxis(taps, 2, 0)  # (N, C, KH·KW, Ho, Wo)
        padded = xp.zeros((n, taps.shape[1], *extent(where)), dtype=columns.dtype)
        for i, tap in enumerate(taps_of(where)):
            padded[tap] = padded[tap] + taps[:, :, i, ...]
        return padded[inside(where)]


class Sequences:
    """The three maps for sequences (N, C, L), from those for images: as images of height 1."""

    def __init__(self, maps: Any):
        self.maps = maps

    def arrange(self, x: Any) -> Any:
        return self.maps.arrange(x[:, :, None])

    def correlate(self, x: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        return self.maps.correlate(x, weight[:, :, None], bias, where.as_images)[:, :, 0]

    def input_gradient(self, g: Any, weight: Any, bias: Any, where: Geometry) -> Any:
        return self.maps.input_gradient(g, weight[:, :, None], bias, where.as_images)[:, :, 0]

    def weight_gradient(self, x: Any, g: Any, where: Geometry, into: Any) -> Any:
        wanted = None if into is None else into[:, :, None]
        grad = self.maps.weight_gradient(x, g, where.as_images, wanted)
        return grad[:, :, 0] if wanted is None or grad is not wanted else into

    def bias_gradient(self, g: Any) -> Any:
        return self.maps.bias_gradient(g)


def _per_channel(xp: Any, bias: Any, y: Any) -> Any:
    return xp.reshape(bias, (1, -1, *(1,) * (y.ndim - 2)))


def extent(where: Geometry) -> list[int]:
    """Sizes that hold the padded image, and all of the image."""
    return [max(size, before + n) for size, before, n in zip(where.padded, where.before, where.image)]


def inside(where: Geometry) -> tuple:
    """The image in its padding."""
    return (slice(None), slice(None), *(slice(before, before + n) for before, n in zip(where.before, where.image)))


def taps_of(where: Geometry) -> list[tuple]:
    """For each kernel entry, row by row, the part of the padded image that it multiplies."""
    steps = zip(where.kernel, where.dilation, where.stride, where.output)
    slices = ([slice(i * d, i * d + (o - 1) * s + 1, s) for i in range(k)] for k, d, s, o in steps)
    return [(slice(None), slice(None), *tap) for tap in itertools.product(*slices)]
