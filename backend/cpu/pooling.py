"""Pooling on NumPy: image by image in cache, along one axis after the other, in whatever memory order the images have."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array.sums import FEW, is_half, paired
from ..device.parallel import parallel_for
from ..nn import pooling as primitives
from ..nn.pooling import Axis, shares, taps, window_axes
from ..tape.autograd import in_float32
from ..tape.recording import active

IMAGES = 1 << 20  # bytes of images worked on at a time: smaller parts cost more in calls than the cache saves


@primitives.max_pool.on("cpu")
@np.errstate(invalid="ignore")  # bfloat16's comparisons take a NaN, which wins, for an error
def max_pool(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if return_indices or not x.size:
        return NotImplemented
    axes = window_axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    if not all(axis.output for axis in axes):
        return NotImplemented
    how = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    how |= {"dilation": dilation, "ceil_mode": ceil_mode}
    if is_half(x.dtype) and not all(map(_disjoint, axes)):  # gradients of a pixel are added up
        return in_float32(lambda xp, x, **how: max_pool(x, **how), np, (x,), how)
    extents, outputs = _sizes(axes)
    last_first = range(len(axes) - 1, -1, -1)
    # along the last axis, along the last two, …
    maxima = [_like(x, (*x.shape[:2], *extents[:i], *outputs[i:])) for i in last_first]
    is_padded = extents != x.shape[2:]
    told: dict[int, bool] = {}

    def forward(start: int, stop: int, scratch: dict) -> None:
        found = _padded(x[start:stop], axes, extents, -math.inf)
        for i, out in zip(last_first, maxima):
            found = _folded(np.maximum, found, axes[i], i + 2, out=out[start:stop])
        if active() is not None:  # a replay that may yet fail in backward would have to keep all gradients
            told[start] = _is_told_by_equality(maxima[-1][start:stop], is_padded)

    _over_images(forward, x)

    def grad_x(g: Any) -> Any:
        grad = _like(x, x.shape)

        def backward(start: int, stop: int, scratch: dict) -> None:
            image, above = _padded(x[start:stop], axes, extents, -math.inf), g[start:stop]
            part = np.empty_like(image) if is_padded else grad[start:stop]
            best = maxima[-1][start:stop]
            if not (told[start] if start in told else _is_told_by_equality(best, is_padded)):
                pull = primitives.max_pool.generic(np, x[start:stop], **how)[1]
                grad[start:stop] = pull(above, (True,), (None,))[0]
                return
            for i, axis in enumerate(axes):
                source = image if i == last_first[0] else maxima[-2 - i][start:stop]
                into = part if source is image else _scratch(scratch, i + 2, source, x.dtype)
                _routed(above, source, best, axis, i + 2, into, scratch)
                above, best = into, source
            if is_padded:
                grad[start:stop] = _inside(part, axes)

        _over_images(backward, x)
        return grad

    return maxima[-1], (grad_x,)


def _is_told_by_equality(maxima: np.ndarray, padded: bool) -> bool:
    """Whether elements that equal the maximum are in the image, and there are any: −∞ equals the padding, NaN nothing."""
    least = maxima.min()  # NaN if one is
    return bool(least > -math.inf or (least == -math.inf and not padded))


def _routed(
    g: np.ndarray, source: np.ndarray, best: np.ndarray, axis: Axis, at: int, grad: np.ndarray, scratch: dict
) -> None:
    """The gradient of maxima along one axis, each to the first element that equals it; what is left goes to the last.

    On the bits, as integers: a product with 0 or 1 and an exclusive or move numbers exactly, infinities too, at half the
    cost of a product of floats with booleans.
    """
    bits = np.dtype(f"i{g.itemsize}")
    disjoint = _disjoint(axis)
    if not disjoint:
        grad.fill(0)
    rest, hit, mine = g.view(bits), _scratch(scratch, (at, 0), best, bool), _scratch(scratch, (at, 1), best, bits)
    left = _scratch(scratch, (at, 2), best, bits)
    for i in range(axis.kernel):
        key = (slice(None),) * at + (axis.tap(i),)
        if i < axis.kernel - 1:
            np.equal(source[key], best, out=hit)
            np.copyto(mine, hit)
            mine *= rest
            rest = np.bitwise_xor(rest, mine, out=left)
        part = (mine if i < axis.kernel - 1 else rest).view(g.dtype)
        if disjoint:
            grad[key] = part
        else:
            grad[key] += part


def _scratch(held: dict, name: Any, like: np.ndarray, dtype: Any) -> np.ndarray:
    """An array like `like`, kept from one call to the next: fresh memory costs more than what is done with it."""
    found = held.get(name)
    if found is None or found.shape != like.shape:
        found = held[name] = np.empty_like(like, dtype=dtype)
    return found


@primitives.avg_pool.on("cpu")
def avg_pool(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    axes = window_axes(x, kernel_size, stride, padding, 1, ceil_mode)
    if not x.size or not all(axis.output for axis in axes):
        return NotImplemented
    if is_half(x.dtype):
        how = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        how |= {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
        return in_float32(lambda xp, x, **how: avg_pool(x, **how), np, (x,), how)
    share = shares(axes, count_include_pad, divisor_override).astype(x.dtype)
    extents, outputs = _sizes(axes)
    y = _like(x, (*x.shape[:2], *outputs))

    def forward(start: int, stop: int, scratch: dict) -> None:
        sums, out = _padded(x[start:stop], axes, extents, 0.0), y[start:stop]
        for at, axis in enumerate(axes, 2):
            sums = _folded(np.add, sums, axis, at, out=out if at == x.ndim - 1 else None)
        out *= share

    _over_images(forward, x)

    def grad_x(g: Any) -> Any:
        grad, keys = _like(x, x.shape), taps(axes)

        def backward(start: int, stop: int, scratch: dict) -> None:
            part = _like(x, (stop - start, x.shape[1], *extents))
            part.fill(0)
            each = g[start:stop] * share
            for key in keys:
                part[key] += each
            grad[start:stop] = _inside(part, axes)

        _over_images(backward, x)
        return grad

    return y, (grad_x,)


def _like(x: np.ndarray, shape: tuple) -> np.ndarray:
    """An empty array whose memory is channel-last if that of x (N, C, …) is."""
    if abs(x.strides[1]) < abs(x.strides[-1]):
        order = (0, x.ndim - 1, *range(1, x.ndim - 1))
        return np.empty((shape[0], *shape[2:], shape[1]), x.dtype).transpose(order)
    return np.empty(shape, x.dtype)


def _over_images(run: Callable[[int, int, dict], None], x: np.ndarray) -> None:
    """Call `run(start, stop, scratch)` on a few images at a time, in parallel; each thread has a scratch dict."""
    n = x.shape[0]
    step = max(1, IMAGES * n // x.nbytes)

    def chunk(start: int, stop: int) -> None:
        scratch: dict = {}
        for i in range(start * step, min(stop * step, n), step):
            run(i, min(i + step, n), scratch)

    parallel_for(chunk, -(-n // step))


def _folded(f: Any, image: np.ndarray, axis: Axis, at: int, out: Any = None) -> np.ndarray:
    """f over the taps of every window along one axis."""
    if f is np.add and axis.kernel > FEW:
        windows = np.lib.stride_tricks.sliding_window_view(image, axis.kernel, at)
        y = paired(windows[(slice(None),) * at + (slice(None, axis.padded, axis.stride),)], -1)
        return y if out is None else np.positive(y, out=out)
    first, *others = [image[(slice(None),) * at + (axis.tap(i),)] for i in range(axis.kernel)]
    if not others:
        return first if out is None else np.positive(first, out=out)
    y = f(first, others[0], out=out)
    for other in others[1:]:
        f(y, other, out=y)
    return y


def _extent(axis: Axis) -> int:
    """Length that holds the image with its padding, and every window."""
    return max(axis.padded, axis.before + axis.size)


@functools.lru_cache(maxsize=1024)
def _sizes(axes: tuple[Axis, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of the padded image, and of the output."""
    return tuple(map(_extent, axes)), tuple([axis.output for axis in axes])


def _inside(padded: np.ndarray, axes: tuple[Axis, ...]) -> np.ndarray:
    """The image in its padding."""
    return padded[(slice(None), slice(None), *(slice(axis.before, axis.before + axis.size) for axis in axes))]


def _padded(image: np.ndarray, axes: tuple[Axis, ...], extents: tuple[int, ...], fill: float) -> np.ndarray:
    if extents == image.shape[2:]:
        return image
    out = _like(image, (*image.shape[:2], *extents))
    out.fill(fill)
    _inside(out, axes)[...] = image
    return out


def _disjoint(axis: Axis) -> bool:
    """Whether windows tile the axis: each element is in exactly one of them."""
    return axis.kernel == axis.stride and axis.dilation == 1 and axis.padded == _extent(axis)


@primitives.max_unpool.on("cpu")
def max_unpool(x: Any, indices: Any, /, *, output_size: Any) -> Any:
    planes = math.prod(x.shape[:2])
    at, y = indices.reshape(planes, math.prod(x.shape[2:])), np.zeros((planes, math.prod(output_size)), x.dtype)
    np.put_along_axis(y, at, x.reshape(at.shape), 1)

    def grad_x(g: Any) -> Any:
        return np.take_along_axis(g.reshape(y.shape), at, 1).reshape(like_x.shape)

    like_x = x
    return y.reshape(*x.shape[:2], *output_size), (grad_x, None)
