"""Images as columns of windows, and back: the lowering of convolution and its adjoint as operations of their own."""

from __future__ import annotations

import math
from typing import Any

from ..tape.autograd import primitive
from .convolution import Generic, Geometry

__all__ = ["fold", "unfold", "windows"]

Sizes = tuple[int, ...]  # (height, width)


def windows(image: Sizes, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Sizes:
    """How many windows there are along each axis: ⌊(size + 2P − D(K − 1) − 1)/S⌋ + 1."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(image, kernel, dilation, padding, stride)
    )


def _geometry(image: Sizes, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Geometry:
    return Geometry(image, windows(image, kernel, dilation, padding, stride), kernel, stride, padding, dilation, 1)


@primitive
def unfold(xp: Any, x: Any, /, *, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes) -> Any:
    """x (N, C, H, W) → y (N, C·KH·KW, L): column l holds what window l sees of x, zeros outside it.

    y[n, (c·KH + i)·KW + j, oh·Wo + ow] = x[n, c, oh·S + i·D − P, ow·S + j·D − P]
    """
    where = _geometry(tuple(x.shape[2:]), kernel, dilation, padding, stride)
    return _columns(xp, x, where), (lambda g: _images(xp, g, where),)


@primitive
def fold(
    xp: Any, columns: Any, /, *, size: Sizes, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Any:
    """The adjoint of `unfold`: columns (N, C·KH·KW, L) → y (N, C, H, W), overlapping windows added up."""
    where = _geometry(size, kernel, dilation, padding, stride)
    return _images(xp, columns, where), (lambda g: _columns(xp, g, where),)


def _columns(xp: Any, x: Any, where: Geometry) -> Any:
    n, rows, places = x.shape[0], x.shape[1] * math.prod(where.kernel), math.prod(where.output)
    return xp.permute_dims(xp.reshape(Generic(xp)._columns(x, where), (rows, n, places)), (1, 0, 2))


def _images(xp: Any, columns: Any, where: Geometry) -> Any:
    n, rows, places = columns.shape
    return Generic(xp)._fold(xp.reshape(xp.permute_dims(columns, (1, 0, 2)), (1, rows, n * places)), n, where)
