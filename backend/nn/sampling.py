"""Sampling of images and volumes at any places: weighted sums of neighbouring pixels, which the places choose.

Along each axis a place has a few *taps*: a pixel, its weight, and the weight's slope in the coordinate. A neighbour is one tap
of every axis, and weighs their product. So one loop over neighbours serves any number of axes, all modes and both gradients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..array.indexing import scatter_add
from ..array.sums import total
from ..tape.autograd import primitive

__all__ = ["grid_sample"]


class Tap(NamedTuple):
    """For each place: a pixel along one axis, its weight, and the weight's derivative in the coordinate."""

    pixel: Any
    weight: Any
    slope: Any


@primitive
def grid_sample(
    xp: Any, x: Any, grid: Any, /, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False
) -> Any:
    """x (N, C, H, W), sampled at grid (N, Ho, Wo, 2): y (N, C, Ho, Wo); or both with one axis more.

    The last axis of the grid holds (x, y[, z]), that is, the last axis of x first: −1 and 1 are the ends of the image, or the
    middles of its outermost pixels with `align_corners`. Jaderberg et al., "Spatial Transformer Networks" (2015).
    """
    n, _, *sizes = x.shape
    places = tuple(grid.shape[1:-1])
    pixels, rows = _planes(xp, x), n * math.prod(places)
    first = xp.reshape(xp.arange(n, dtype=xp.int64, device=x.device) * math.prod(sizes), (n, 1))
    first = xp.reshape(xp.broadcast_to(first, (n, math.prod(places))), (rows,))
    taps = []
    for axis, size in enumerate(sizes):
        coordinate = xp.reshape(grid[..., len(sizes) - 1 - axis], (rows,))
        found = _taps(xp, coordinate, size, mode, padding_mode, align_corners)
        stride, start = math.prod(sizes[axis + 1 :]), first if axis == 0 else 0
        taps.append([tap._replace(pixel=tap.pixel * stride + start) for tap in found])
    neighbours = list(itertools.product(*taps))

    y = 0
    for neighbour in neighbours:
        weight = _product([tap.weight for tap in neighbour])
        y = y + xp.take(pixels, _pixel(neighbour), axis=1) * weight

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = _planes(xp, g)
        grad_pixels, slopes = 0, [0 for _ in sizes]
        for neighbour in neighbours:
            at, weights = _pixel(neighbour), [tap.weight for tap in neighbour]
            if need[0]:
                grad_pixels = grad_pixels + scatter_add(xp, g * _product(weights), at, pixels.shape[1], 1)
            if need[1] and mode != "nearest":
                seen = total(xp, g * xp.take(pixels, at, axis=1), 0)
                for axis, tap in enumerate(neighbour):
                    slopes[axis] = slopes[axis] + seen * _product([tap.slope, *weights[:axis], *weights[axis + 1 :]])
        grad_x = _images(xp, grad_pixels, n, sizes) if need[0] else None
        if not need[1] or mode == "nearest":
            return grad_x, xp.zeros_like(grid) if need[1] else None
        return grad_x, xp.reshape(xp.stack(slopes[::-1], axis=-1), grid.shape)

    return _images(xp, y, n, places), vjp


def _planes(xp: Any, x: Any) -> Any:
    """(N, C, …) → (C, N·…): weights are the same for all channels, and products with them run along all pixels."""
    return xp.reshape(xp.moveaxis(x, 1, 0), (x.shape[1], x.shape[0] * math.prod(x.shape[2:])))


def _images(xp: Any, planes: Any, n: int, places: Sequence[int]) -> Any:
    """The inverse."""
    return xp.moveaxis(xp.reshape(planes, (planes.shape[0], n, *places)), 0, 1)


def _pixel(neighbour: tuple[Tap, ...]) -> Any:
    """Where it is in its plane: taps count in steps of their axis."""
    found = neighbour[0].pixel
    for tap in neighbour[1:]:
        found = found + tap.pixel
    return found


def _product(factors: list) -> Any:
    found = factors[0]
    for factor in factors[1:]:
        found = found * factor
    return found


def _taps(xp: Any, coordinate: Any, n: int, mode: str, padding: str, align_corners: bool) -> list[Tap]:
    """Of places along an axis of n pixels."""
    slope: Any = (n - 1) / 2 if align_corners else n / 2
    at = (coordinate + 1) * slope - (0 if align_corners else 0.5)
    if padding != "reflection":
        at = xp.clip(at, -3, n + 2)  # all further out is alike, and infinity no integer
    if mode == "bicubic":
        start = xp.floor(at)
        return [
            _tap(xp, _padded(xp, start + k, 0, n, padding, align_corners)[0], n, *_keys(at - start, k), slope)
            for k in range(-1, 3)
        ]
    at, slope = _padded(xp, at, slope, n, padding, align_corners)
    if mode == "nearest":
        return [_tap(xp, xp.round(at), n, xp.ones_like(at), 0, slope)]
    start = xp.floor(at)
    part = at - start
    return [_tap(xp, start, n, 1 - part, -1, slope), _tap(xp, start + 1, n, part, 1, slope)]


def _tap(xp: Any, pixel: Any, n: int, weight: Any, derivative: Any, slope: Any) -> Tap:
    """What lies outside weighs nothing; a NaN stays one."""
    is_inside = (pixel >= 0) & (pixel <= n - 1)
    there = xp.astype(is_inside, weight.dtype)
    pixel = xp.astype(xp.where(is_inside, pixel, xp.zeros_like(pixel)), xp.int64)
    return Tap(pixel, weight * there, derivative * slope * there)


def _padded(xp: Any, at: Any, slope: Any, n: int, padding: str, align_corners: bool) -> tuple[Any, Any]:
    """Where places outside are taken from, and the derivative of that in the coordinate: 0 on the border, as in PyTorch."""
    if padding == "zeros":
        return at, slope
    if padding == "reflection":
        low, span = (0.0, n - 1) if align_corners else (-0.5, n)
        if not span:
            return xp.zeros_like(at), xp.zeros_like(at)
        distance = xp.abs(at - low)
        turns = xp.floor(distance / span)
        is_back = turns - 2 * xp.floor(turns / 2)  # 1 on the way back
        rest = distance - turns * span
        slope = slope * xp.where(at < low, -xp.ones_like(at), xp.ones_like(at)) * (1 - 2 * is_back)
        at = low + rest + is_back * (span - 2 * rest)
    is_inside = (at > 0) & (at < n - 1)
    return xp.clip(at, 0, n - 1), slope * xp.astype(is_inside, at.dtype)


def _keys(part: Any, k: int, a: float = -0.75) -> tuple[Any, Any]:
    """The weight of the pixel k behind a place `part` after pixel 0, by the kernel of Keys (1981), and its derivative."""
    d, sign = (part - k, 1) if k <= 0 else (k - part, -1)
    if k in (0, 1):
        return ((a + 2) * d - (a + 3)) * d * d + 1, sign * (3 * (a + 2) * d - 2 * (a + 3)) * d
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a, sign * ((3 * a * d - 10 * a) * d + 8 * a)
