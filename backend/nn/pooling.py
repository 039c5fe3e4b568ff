"""Pooling over the spatial axes of x (N, C, …): maxima and means of windows, with PyTorch's sizes and conventions."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ..array.indexing import scatter_add
from ..array.sums import FEW, total
from ..device.gemm import gemm
from ..tape.autograd import primitive
from .convolution import each

__all__ = ["adaptive_avg_pool", "avg_pool", "max_pool", "max_unpool", "window_argmax"]

Sizes = tuple[int, ...]  # one for each spatial axis


class Axis(NamedTuple):
    """Windows along one axis: window o covers o·stride + i·dilation − before, i < kernel, of an image of `size`."""

    size: int
    output: int
    kernel: int
    stride: int
    before: int
    dilation: int

    @property
    def padded(self) -> int:
        """Length from the start of the first window to the end of the last."""
        return max((self.output - 1) * self.stride + self.dilation * (self.kernel - 1) + 1, 0)

    def tap(self, i: int) -> slice:
        """What element i of every window is, in the padded image."""
        start = i * self.dilation
        return slice(start, start + (self.output - 1) * self.stride + 1 if self.output else start, self.stride)

    def counts(self, include_pad: bool) -> np.ndarray:
        """How many elements each window averages: the padding counts if asked, what `ceil_mode` adds beyond it never does."""
        starts = np.arange(self.output) * self.stride - self.before
        ends = np.minimum(starts + self.kernel, self.size + self.before)
        return ends - starts if include_pad else np.minimum(ends, self.size) - np.maximum(starts, 0)


def windows(n: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many there are along an axis of length n: ⌊(n + 2P − D(K − 1) − 1)/S⌋ + 1. With `ceil_mode` ⌈…⌉, if the last one
    starts inside the image or its left padding."""
    reach = n + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return reach // stride + 1
    output = -(-reach // stride) + 1
    return output - ((output - 1) * stride >= n + padding)


def window_axes(
    x: Any, kernel_size: Sizes, stride: Sizes, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Axis, ...]:
    """The windows along each axis."""
    return _axes(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)


@functools.lru_cache(maxsize=1024)
def _axes(
    image: Sizes, kernel_size: Sizes, stride: Sizes, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Axis, ...]:
    sizes = zip(image, kernel_size, stride, each(padding, len(image)), each(dilation, len(image)))
    return tuple([Axis(i, windows(i, k, s, p, d, ceil_mode), k, s, p, d) for i, k, s, p, d in sizes])


@functools.lru_cache(maxsize=64)
def shares(axes: tuple[Axis, ...], include_pad: bool, divisor: int | None) -> np.ndarray:
    """What the sum of each window is multiplied with to give its mean."""
    counts = functools.reduce(np.multiply.outer, (axis.counts(include_pad) for axis in axes))
    return 1 / (counts if divisor is None else np.full_like(counts, divisor))


def _padded(xp: Any, x: Any, axes: tuple[Axis, ...], fill: float) -> Any:
    """The part of the image that windows see, and `fill` where there is none."""
    for axis, a in enumerate(axes, 2):
        pieces = [x]
        for at, n in ((0, a.before), (len(pieces) + bool(a.before), a.padded - a.before - a.size)):
            if n > 0:
                shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
                pieces.insert(at, xp.full(shape, fill, dtype=x.dtype))
        x = xp.concat(pieces, axis=axis) if len(pieces) > 1 else x
        x = x[(..., slice(0, a.padded), *(slice(None),) * (x.ndim - 1 - axis))]
    return x


def _scattered(xp: Any, parts: Any, x: Any, axes: tuple[Axis, ...]) -> Any:
    """Σ over taps of parts[tap] where the tap reads the image: the adjoint of taking the taps."""
    grad = xp.zeros((*x.shape[:2], *(max(a.padded, a.before + a.size) for a in axes)), dtype=x.dtype)
    for key, part in parts:
        grad[key] = grad[key] + part
    return grad[(slice(None), slice(None), *(slice(a.before, a.before + a.size) for a in axes))]


def taps(axes: tuple[Axis, ...]) -> list[tuple]:
    """The index of each tap, row by row."""
    slices = ([axis.tap(i) for i in range(axis.kernel)] for axis in axes)
    return [(slice(None), slice(None), *tap) for tap in itertools.product(*slices)]


def _first_taps(xp: Any, axes: tuple[Axis, ...]) -> Any:
    """The first tap of each window that is inside the image: where the maximum is if nothing exceeds −∞."""
    first = xp.zeros((), dtype=xp.int64)
    for a in axes:
        starts = xp.arange(a.output, dtype=xp.int64) * a.stride - a.before
        first = first[..., None] * a.kernel + xp.clip(-(starts // a.dilation), 0, a.kernel - 1)
    return first


@primitive
def max_pool(
    xp: Any,
    x: Any,
    /,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum of each window of x (N, C, …): y (N, C, …); padding is −∞, and NaN wins.

    With `return_indices` also where it was found, as an index into the flattened image. That is, and the gradient goes to,
    the first maximum of the window that is in the image, −∞ included, and the last NaN, as in PyTorch.
    """
    axes = window_axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    source, keys = _padded(xp, x, axes, -math.inf), taps(axes)
    shape = (*x.shape[:2], *(a.output for a in axes))
    y, first = xp.full(shape, -math.inf, dtype=x.dtype), xp.broadcast_to(_first_taps(xp, axes), shape)
    for t, key in enumerate(keys):
        with np.errstate(invalid="ignore"):  # bfloat16's comparisons take a NaN for an error
            better = (source[key] > y) | xp.isnan(source[key])
        y = xp.where(better, source[key], y)
        first = xp.where(better, xp.full_like(first, t), first)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g = g[0] if return_indices else g
        parts = ((key, xp.where(first == t, g, xp.zeros_like(g))) for t, key in enumerate(keys))
        return (_scattered(xp, parts, x, axes),)

    if not return_indices:
        return y, vjp
    where, pitch, rest = 0, 1, first
    for axis, a in reversed(list(enumerate(axes, 2))):
        tap, rest = rest % a.kernel, rest // a.kernel
        starts = xp.reshape(xp.arange(a.output) * a.stride - a.before, (-1, *(1,) * (x.ndim - 1 - axis)))
        place = xp.clip(starts + tap * a.dilation, 0, max(0, a.size - 1))  # none is outside, but where all are
        where, pitch = where + place * pitch, pitch * a.size
    return (y, where), vjp


@primitive
def avg_pool(
    xp: Any,
    x: Any,
    /,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean of each window of x (N, C, …): y (N, C, …).

    Zeros of the padding are counted unless `count_include_pad=False`; `divisor_override` replaces the count.
    """
    axes = window_axes(x, kernel_size, stride, padding, 1, ceil_mode)
    source, keys = _padded(xp, x, axes, 0.0), taps(axes)
    share = xp.astype(xp.asarray(shares(axes, count_include_pad, divisor_override)), x.dtype)
    y = source[keys[0]]
    for key in keys[1:]:
        y = y + source[key]

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        part = g * share
        return (_scattered(xp, ((key, part) for key in keys), x, axes),)

    return y * share, vjp


@primitive
def adaptive_avg_pool(xp: Any, x: Any, /, *, output_size: Sizes) -> Any:
    """Means over windows that cover x (N, C, …) evenly: y (N, C, …).

    Window i of n along an axis of length H is [⌊i·H/n⌋, ⌈(i + 1)·H/n⌉).
    """
    is_numpy, sizes = xp is np, x.shape[2:]
    y = _along_axes(xp, _means, x, output_size, is_numpy)
    if is_numpy and not np.isfinite(y).all():
        y = _along_axes(xp, _means, x, output_size, False)

    def grad_x(g: Any) -> Any:
        return _along_axes(xp, _shared, g, sizes, is_numpy and np.isfinite(g).all())

    return y, (grad_x,)


def _along_axes(xp: Any, f: Any, x: Any, sizes: Sizes, by_products: Any) -> Any:
    """f(xp, x, size, by_products) along each of the spatial axes. Products with matrices are quick, but only right for
    finite numbers: their zeros spread a NaN or ∞ to all windows, as 0 · ∞."""
    with np.errstate(invalid="ignore"):
        for axis in reversed(range(2, x.ndim)):
            x = xp.moveaxis(f(xp, xp.moveaxis(x, axis, -1), sizes[axis - 2], by_products), -1, axis)
    return x


def _means(xp: Any, x: Any, output: int, by_products: bool) -> Any:
    """Of `output` windows; long windows one by one, since products drift."""
    n = x.shape[-1]
    if by_products and n <= FEW * output:
        return gemm(xp, x, _averages(n, output).T.astype(x.dtype))
    return _sums(xp, x, _spans(n, output)) / _lengths(xp, x, n, output)


def _shared(xp: Any, g: Any, n: int, by_products: bool) -> Any:
    """The adjoint of `_means` of n elements: each has its share of the gradient of every window that it is in."""
    output = g.shape[-1]
    if by_products:
        return gemm(xp, g, _averages(n, output).astype(g.dtype))
    return _sums(xp, g / _lengths(xp, g, n, output), _spans(output, n))


def _sums(xp: Any, x: Any, spans: list[tuple[int, int]]) -> Any:
    """Σ x[start:end] along the last axis, for each span."""
    return xp.concat([total(xp, x[..., start:end], -1, keepdims=True) for start, end in spans], axis=-1)


def _spans(n: int, output: int) -> list[tuple[int, int]]:
    """What each window covers of n elements; the other way round, which windows cover each element."""
    return [(i * n // output, -(-(i + 1) * n // output)) for i in range(output)]


def _lengths(xp: Any, like_x: Any, n: int, output: int) -> Any:
    """How many elements each window has."""
    lengths = [end - start for start, end in _spans(n, output)]
    return xp.asarray(lengths, dtype=like_x.dtype, device=like_x.device)


@functools.lru_cache(maxsize=256)
def _averages(size: int, output: int) -> np.ndarray:
    """Row i averages window i."""
    start, end = np.array(_spans(size, output)).T
    inside = (np.arange(size) >= start[:, None]) & (np.arange(size) < end[:, None])
    return inside / (end - start)[:, None]


@primitive(moves=True)
def window_argmax(xp: Any, x: Any, /, *places: Any) -> Any:
    """Where the maximum of each window of x (N, C, …) is, as an index into the flattened image: the first of several, and
    the last NaN.

    places[a] (N or 1, C or 1, O, K): window o takes what lies there along spatial axis a, so that windows may differ in
    size (some places then stand twice) and from image to image.
    """
    where, pitch, image = None, 1, x.shape
    for axis in reversed(range(2, x.ndim)):
        place = places[axis - 2]
        *planes, output, kernel = place.shape
        before, after = (1,) * (axis - 2), (1,) * (x.ndim - 1 - axis)
        flat = xp.reshape(place, (*planes, *before, output * kernel, *after))
        of_windows = xp.reshape(place, (*planes, *before, output, kernel, *after))
        x, best = _best(xp, x, flat, axis, (output, kernel))
        found = xp.squeeze(xp.take_along_axis(of_windows, best, axis=axis + 1), axis=axis + 1) * pitch
        where = found if where is None else found + _best(xp, where, flat, axis, (output, kernel), best)[0]
        pitch *= image[axis]
    return where, None


def _best(xp: Any, x: Any, flat: Any, axis: int, window: tuple[int, int], best: Any = None) -> tuple[Any, Any]:
    """Of what x has along an axis at the places `flat`, window by window, the maximum (or the `best`), and which it is."""
    seen = xp.take_along_axis(x, flat, axis=axis)
    seen = xp.reshape(seen, (*seen.shape[:axis], *window, *seen.shape[axis + 1 :]))
    if best is not None:
        return xp.squeeze(xp.take_along_axis(seen, best, axis=axis + 1), axis=axis + 1), best
    best = xp.argmax(seen, axis=axis + 1, keepdims=True)
    y = xp.take_along_axis(seen, best, axis=axis + 1)
    if xp is not np or np.isnan(y).any():  # a GPU would wait for the answer
        taps = xp.reshape(xp.arange(window[1], dtype=best.dtype, device=x.device), (-1, *(1,) * (seen.ndim - axis - 2)))
        last = xp.max(xp.where(xp.isnan(seen), taps, xp.full_like(taps, -1)), axis=axis + 1, keepdims=True)
        best = xp.where(last >= 0, last, best)
    return xp.squeeze(y, axis=axis + 1), best


@primitive
def max_unpool(xp: Any, x: Any, indices: Any, /, *, output_size: Sizes) -> Any:
    """The values of x (N, C, …) at their `indices` into flattened images of `output_size`, and zeros elsewhere.

    Where an index occurs several times, its values are one maximum of several windows: their mean.
    """
    like_x, planes, area = x, math.prod(x.shape[:2]), math.prod(output_size)
    pixels = math.prod(x.shape[2:])
    first = xp.reshape(xp.arange(planes, dtype=indices.dtype, device=indices.device) * area, (planes, 1))
    flat = xp.reshape(xp.reshape(indices, (planes, pixels)) + first, (-1,))
    sums = scatter_add(xp, xp.reshape(x, (-1,)), flat, planes * area, 0)
    counts = scatter_add(xp, xp.ones(planes * pixels, dtype=x.dtype, device=x.device), flat, planes * area, 0)
    y = xp.reshape(sums / xp.where(counts > 1, counts, xp.ones_like(counts)), (*x.shape[:2], *output_size))

    def grad_x(g: Any) -> Any:
        return xp.reshape(xp.take(xp.reshape(g, (-1,)), flat, axis=0), like_x.shape)

    return y, (grad_x, None)
