"""Pooling on NumPy: image by image in cache, along rows and then columns, in whatever memory order the images have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..array.sums import FEW, is_half, paired
from ..device.parallel import parallel_for
from ..nn import pooling as primitives
from ..nn.pooling import Axis, taps, window_axes
from ..tape.autograd import in_float32

IMAGES = 1 << 19  # bytes of images worked on at a time: smaller parts cost more in calls than the cache saves


@primitives.max_pool2d.on("cpu")
def max_pool2d(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if return_indices or not x.size:
        return NotImplemented
    down, across = window_axes(x, kernel_size, stride, padding, dilation, ceil_mode)
    if not down.output or not across.output:
        return NotImplemented
    if is_half(x.dtype) and not (_disjoint(down) and _disjoint(across)):  # gradients of a pixel are added up
        how = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        how |= {"dilation": dilation, "ceil_mode": ceil_mode}
        return in_float32(lambda xp, x, **how: max_pool2d(x, **how), np, (x,), how)
    y = _like(x, (*x.shape[:2], down.output, across.output))
    rows = _like(x, (*x.shape[:2], _extent(down), across.output))  # maxima of every row's windows

    def forward(start: int, stop: int, scratch: dict) -> None:
        _folded(np.maximum, _padded(x[start:stop], down, across, -math.inf), across, 3, out=rows[start:stop])
        _folded(np.maximum, rows[start:stop], down, 2, out=y[start:stop])

    _over_images(forward, x)

    def grad_x(g: Any) -> Any:
        grad = _like(x, x.shape)

        def backward(start: int, stop: int, scratch: dict) -> None:
            image = _padded(x[start:stop], down, across, -math.inf)
            above = _scratch(scratch, "rows", rows[start:stop], x.dtype)
            _routed(g[start:stop], rows[start:stop], y[start:stop], down, 2, above, scratch)
            part = grad[start:stop] if image.shape[2:] == x.shape[2:] else np.empty_like(image)
            _routed(above, image, rows[start:stop], across, 3, part, scratch)
            if part.shape[2:] != x.shape[2:]:
                grad[start:stop] = _inside(part, down, across)

        _over_images(backward, x)
        return grad

    return y, (grad_x,)


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


@primitives.avg_pool2d.on("cpu")
def avg_pool2d(
    x: Any,
    /,
    *,
    kernel_size: Any,
    stride: Any,
    padding: Any = (0, 0),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    down, across = window_axes(x, kernel_size, stride, padding, (1, 1), ceil_mode)
    if not x.size or not down.output or not across.output:
        return NotImplemented
    if is_half(x.dtype):
        how = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        how |= {"count_include_pad": count_include_pad, "divisor_override": divisor_override}
        return in_float32(lambda xp, x, **how: avg_pool2d(x, **how), np, (x,), how)
    counts = np.outer(down.counts(count_include_pad), across.counts(count_include_pad))
    share = (1 / (counts if divisor_override is None else np.full_like(counts, divisor_override))).astype(x.dtype)
    y = _like(x, (*x.shape[:2], down.output, across.output))

    def forward(start: int, stop: int, scratch: dict) -> None:
        rows = _folded(np.add, _padded(x[start:stop], down, across, 0.0), down, 2)
        out = y[start:stop]
        _folded(np.add, rows, across, 3, out=out)
        out *= share

    _over_images(forward, x)

    def grad_x(g: Any) -> Any:
        grad, keys = _like(x, x.shape), taps(down, across)

        def backward(start: int, stop: int, scratch: dict) -> None:
            part = _like(x, (stop - start, x.shape[1], _extent(down), _extent(across)))
            part.fill(0)
            each = g[start:stop] * share
            for key in keys:
                part[key] += each
            grad[start:stop] = _inside(part, down, across)

        _over_images(backward, x)
        return grad

    return y, (grad_x,)


def _like(x: np.ndarray, shape: tuple) -> np.ndarray:
    """An empty array whose memory is channel-last if that of x (N, C, H, W) is."""
    if abs(x.strides[1]) < abs(x.strides[3]):
        n, c, h, w = shape
        return np.empty((n, h, w, c), x.dtype).transpose(0, 3, 1, 2)
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


def _inside(padded: np.ndarray, down: Axis, across: Axis) -> np.ndarray:
    """The image in its padding."""
    return padded[:, :, down.before : down.before + down.size, across.before : across.before + across.size]


def _padded(image: np.ndarray, down: Axis, across: Axis, fill: float) -> np.ndarray:
    extent = _extent(down), _extent(across)
    if extent == image.shape[2:]:
        return image
    out = _like(image, (*image.shape[:2], *extent))
    out.fill(fill)
    _inside(out, down, across)[...] = image
    return out


def _disjoint(axis: Axis) -> bool:
    """Whether windows tile the axis: each element is in exactly one of them."""
    return axis.kernel == axis.stride and axis.dilation == 1 and axis.padded == _extent(axis)
