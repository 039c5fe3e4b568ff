"""Resampling along axes: each output is a weighted sum of a few inputs, whose places and weights are known beforehand.

    y[…, o, …] = Σ_t weights[t, o] · x[…, indices[t, o], …]

All of PyTorch's modes of interpolation are tables of this kind, one for each axis, and so is the adjoint of each: the table
that says which outputs an input went to.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..tape.autograd import primitive
from ..tape.recording import active
from ..tape.tensor import device_of

__all__ = ["resample"]


class Table(NamedTuple):
    """What makes up each place of an axis: (taps, places) each. Weights are None where all are 1."""

    indices: np.ndarray
    weights: np.ndarray | None
    size: int  # of the axis that is read


@primitive
def resample(
    xp: Any,
    x: Any,
    /,
    *,
    size: tuple[int, ...],
    mode: str = "nearest",
    scales: tuple[float | None, ...] = (None, None, None),
    align_corners: bool = False,
    antialias: bool = False,
) -> Any:
    """x (…, L₁, …) with its last axes as long as `size` says, by PyTorch's modes of interpolation.

    `scales` are the ratios output/input that places are computed with: those of the lengths where None.

    >>> weft.backend.nn.resampling.resample(weft.tensor([0.0, 1.0]), size=(4,), mode="linear")
    tensor([0.  , 0.25, 0.75, 1.  ])
    """
    first = x.ndim - len(size)
    options = mode, align_corners, antialias, len(size) == 2
    keys = [(n, out, scale, *options) for n, out, scale in zip(x.shape[first:], size, scales)]

    steps = list(enumerate(keys, first))
    if math.prod(size) > math.prod(
        x.shape[first:]
    ):  # what lies close together in memory is gathered while there is little
        steps.reverse()

    y = x
    for axis, key in steps:
        y = _gathered(xp, y, axis, table, key)

    def grad_x(g: Any) -> Any:
        for axis, key in reversed(steps):
            g = _gathered(xp, g, axis, adjoint, key)
        return g

    return y, (grad_x,)


class _Place:
    """Where and in which dtype an array computes. CuPy's devices, unlike their names, are no keys."""

    def __init__(self, xp: Any, like: Any):
        self.xp, self.device, self.dtype = xp, like.device, like.dtype
        self.key = xp, like.device if isinstance(like.device, str) else device_of(like), like.dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(1 << 8)
def _placed(place: _Place, tables: Callable[..., Table], key: tuple) -> tuple[Any, Any]:
    """Indices and weights of a table where they are needed: a step that is recorded cannot copy them there."""
    indices, weights, _ = tables(*key)
    asarray = functools.partial(place.xp.asarray, device=place.device)
    return asarray(indices), None if weights is None else asarray(weights, dtype=place.dtype)


def _gathered(xp: Any, x: Any, axis: int, tables: Callable[..., Table], key: tuple) -> Any:
    indices, weights = _placed(_Place(xp, x), tables, key)
    if (recording := active()) is not None:
        recording.kept += [indices, weights]  # replays read them, when others have long taken their place in the cache
    columns = (-1, *(1,) * (x.ndim - 1 - axis))
    y = None
    for t in range(indices.shape[0]):
        term = xp.take(x, indices[t, ...], axis=axis)
        if weights is not None:
            term = term * xp.reshape(weights[t, ...], columns)
        y = term if y is None else y + term
    return y


def table(
    n: int, out: int, scale: float | None, mode: str, align_corners: bool, antialias: bool, is_image: bool
) -> Table:
    """How each of `out` places is made of n."""
    if mode == "area":
        return _area(n, out)
    if "nearest" in mode:
        if mode == "nearest" and is_image and out in (n, 2 * n):  # as in PyTorch, whatever the scale
            scale = None
        return _nearest(n, out, scale, 0.5 if mode == "nearest-exact" else 0.0)
    if out == n and (antialias or "linear" in mode):  # as in PyTorch, whatever the scale
        return Table(np.arange(n)[None], None, n)
    ratio = _ratio(n, out, scale, align_corners)
    if antialias:
        return _filtered(n, out, ratio, *FILTERS[mode])
    half = 0.0 if align_corners else 0.5
    at = ratio * (np.arange(out) + half) - half
    return _cubic(n, at) if mode == "bicubic" else _linear(n, at)


def adjoint(*key: Any) -> Table:
    """The adjoint of a `table`: which places went to where, with which weights; where they are fewer, with weight 0."""
    indices, weights, n = table(*key)
    taps, out = indices.shape
    weights = np.ones((taps, out)) if weights is None else weights
    read, to = indices.T.reshape(-1), np.repeat(np.arange(out), taps)
    order = np.argsort(read, stable=True)
    counts = np.bincount(read, minlength=n)
    slot = np.arange(read.size) - np.repeat(np.cumsum(counts) - counts, counts)
    back, by = np.zeros((counts.max(), n), np.int64), np.zeros((counts.max(), n))
    back[slot, read[order]] = to[order]
    by[slot, read[order]] = weights.T.reshape(-1)[order]
    return Table(back, by, out)


# --- the tables -------------------------------------------------------------------------------------------------------
def _ratio(n: int, out: int, scale: float | None, align_corners: bool) -> float:
    """How far apart outputs are, in inputs."""
    if align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1 / scale if scale else n / out


def _nearest(n: int, out: int, scale: float | None, middle: float) -> Table:
    """The place under the start of the output, or under its middle; in float32, as PyTorch has it for most dtypes."""
    ratio = np.float32(1 / scale) if scale else np.float32(n) / np.float32(out)
    at = (np.arange(out) + middle).astype(np.float32) * ratio
    return Table(np.minimum(at.astype(np.int64), n - 1)[None], None, n)


def _area(n: int, out: int) -> Table:
    """The mean of the inputs that an output touches: ⌊o·n/out⌋ up to ⌈(o + 1)·n/out⌉."""
    first, last = np.arange(out) * n // out, -(-(np.arange(out) + 1) * n // out)
    places = first + np.arange((last - first).max())[:, None]
    return Table(np.minimum(places, n - 1), (places < last) / (last - first), n)


def _linear(n: int, at: np.ndarray) -> Table:
    at = np.maximum(at, 0)
    first = np.minimum(at.astype(np.int64), n - 1)
    part = np.clip(at - first, 0, 1)
    return Table(np.stack([first, np.minimum(first + 1, n - 1)]), np.stack([1 - part, part]), n)


def _cubic(n: int, at: np.ndarray) -> Table:
    """Keys, "Cubic Convolution Interpolation for Digital Image Processing" (1981), with PyTorch's a = −3/4."""
    first = np.floor(at)
    places = first + np.arange(-1, 3)[:, None]
    return Table(np.clip(places, 0, n - 1).astype(np.int64), cubic(at - places, -0.75), n)


def _filtered(n: int, out: int, ratio: float, kernel: Callable[[np.ndarray], np.ndarray], radius: float) -> Table:
    """Weights of a kernel as wide as the distance of outputs, hence of all inputs that an output stands for."""
    width = max(ratio, 1.0)
    centre, reach = ratio * (np.arange(out) + 0.5), radius * width
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), n)
    places = first + np.arange((last - first).max())[:, None]
    weights = np.where(places < last, kernel((places - centre + 0.5) / width), 0)
    return Table(np.minimum(places, n - 1), weights / weights.sum(0), n)


def cubic(t: Any, a: float) -> Any:
    """Keys' kernel: 1 at 0 and 0 at the other integers, with a the slope at 1."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    return np.where(t <= 1, near, np.where(t < 2, (((t - 5) * t + 8) * t - 4) * a, 0))


# kernel and radius, of the modes with antialias=True
FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bilinear": (lambda t: np.maximum(1 - np.abs(t), 0), 1.0),
    "bicubic": (functools.partial(cubic, a=-0.5), 2.0),
    "lanczos": (lambda t: np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0), 3.0),
}
