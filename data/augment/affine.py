"""Geometry: affine maps of the pixel grid, what they do to boxes, and sampling, one gather for any of them.

A map is a matrix (N, 3, 3) of float64 that takes a pixel (x, y, 1) of the result to where it comes from; pixels have their
centres at whole numbers. Maps that follow each other are one product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array.creation import asarray
from ...backend.device.parallel import parallel_for
from ...backend.tape.tensor import device_of

__all__: list[str] = []

BLOCK = 1 << 16  # numbers of a result that are sampled at a time: its temporaries stay in the L2 cache


def put(array: np.ndarray, device: str) -> Any:
    """An array of the host on a device."""
    return array if device == "cpu" else asarray(array, device=device).data


def identity(n: int) -> np.ndarray:
    """n maps that move nothing."""
    return np.broadcast_to(np.eye(3), (n, 3, 3)).copy()


def shift(x: Any, y: Any) -> np.ndarray:
    """Result (x, y) comes from (x, y) + the shift: numbers, or one for each image."""
    moved = identity(max(np.size(x), np.size(y)))
    moved[:, 0, 2], moved[:, 1, 2] = x, y
    return moved


def flips(axis: int, chosen: np.ndarray, length: int) -> np.ndarray:
    """The chosen images reversed along x (axis 0) or y (1), which is `length` pixels long."""
    moved = identity(len(chosen))
    moved[chosen, axis, axis], moved[chosen, axis, 2] = -1.0, length - 1.0
    return moved


def about(centre: tuple[float, float], linear: np.ndarray, translation: np.ndarray | None = None) -> np.ndarray:
    """The map to p from p₀ where p = centre + translation + L (p₀ − centre); `linear` is L (N, 2, 2), not singular."""
    moved = identity(len(linear))
    target = np.asarray(centre) + (0.0 if translation is None else translation)
    moved[:, :2, :2] = np.linalg.inv(linear)
    moved[:, :2, 2] = (
        np.asarray(centre) - (moved[:, :2, :2] @ np.broadcast_to(target, (len(linear), 2))[..., None])[..., 0]
    )
    return moved


def rotation_shear_scale(degrees: Any, shear_x: Any, shear_y: Any, scale: Any) -> np.ndarray:
    """L = scale · rotation (clockwise, y pointing down) · shear along y · shear along x, all angles in degrees: (N, 2, 2).

    As torchvision's `affine`. Multiples of 90° are exact.
    """
    tan_x, tan_y = (np.tan(np.deg2rad(a)) for a in (shear_x, shear_y))
    one, cos, sin = np.ones_like(tan_x), _cosine(degrees), _cosine(np.asarray(degrees) - 90.0)
    rotation = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)
    along_y = np.stack([one, 0 * one, -tan_y, one], -1).reshape(-1, 2, 2)
    along_x = np.stack([one, -tan_x, 0 * one, one], -1).reshape(-1, 2, 2)
    return np.asarray(scale).reshape(-1, 1, 1) * (rotation @ along_y @ along_x)


def _cosine(degrees: Any) -> np.ndarray:
    cosine = np.cos(np.deg2rad(degrees))
    return np.where(np.abs(cosine) < 1e-15, 0.0, cosine)


def is_slicing(moved: np.ndarray) -> bool:
    """Whether each map only flips and shifts by whole pixels."""
    diagonal, offset = moved[:, [0, 1], [0, 1]], moved[:, :2, 2]
    mixed = moved[:, [0, 1], [1, 0]]
    return bool(((np.abs(diagonal) == 1) & (mixed == 0) & (offset == np.rint(offset))).all())


def move_boxes(boxes: np.ndarray, moved: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (N, M, 4) as (x₁, y₁, x₂, y₂), in edges of pixels: around where their corners went, cut at the image's edges."""
    inverse = np.linalg.inv(moved)
    corners = boxes[..., [0, 1, 2, 1, 0, 3, 2, 3]].astype(np.float64).reshape(len(boxes), -1, 2) - 0.5
    there = corners @ inverse[:, :2, :2].swapaxes(1, 2) + inverse[:, None, :2, 2] + 0.5
    there = np.clip(there.reshape(*boxes.shape[:-1], 4, 2), 0.0, (size[1], size[0]))
    around = np.concatenate([there.min(-2), there.max(-2)], -1)
    return (np.rint(around) if boxes.dtype.kind in "iu" else around).astype(boxes.dtype)


def sample(xp: Any, x: Any, moved: np.ndarray, size: tuple[int, int], fill: Any, bilinear: bool) -> Any:
    """x (N, C, H, W), floating-point if `bilinear`, at the places that the maps lead to: (N, C, *size).

    Nearest pixels, or y = (1−v) ((1−u) x₀₀ + u x₀₁) + v ((1−u) x₁₀ + u x₁₁) of the four around; outside is `fill`, a
    number or one for each channel.
    """
    if size == tuple(x.shape[2:]) and not (goes := (moved != np.eye(3)).any((1, 2))).all():

        def change(part: Any, index: np.ndarray) -> Any:
            return sample(xp, part, moved[index], size, fill, bilinear)

        return in_parts(xp, x, [(goes, change)])
    n, channels = x.shape[:2]
    if is_slicing(moved):
        if xp is np:
            return _sliced(x, moved, size, fill)
        bilinear = False
    if xp is not np or not n:
        return _sampled(xp, x, moved, size, fill, bilinear)
    y = np.empty((n, channels, *size), x.dtype)
    step = max(1, BLOCK // max(1, channels * max(size[0] * size[1], x.shape[2] * x.shape[3])))

    def blocks(start: int, stop: int) -> None:
        for i in range(start * step, min(stop * step, n), step):
            part = slice(i, i + step)
            y[part] = _sampled(np, x[part], moved[part], size, fill, bilinear)

    parallel_for(blocks, -(-n // step), grain=4)
    return y


def in_parts(xp: Any, x: Any, parts: list[tuple[np.ndarray, Callable[[Any, np.ndarray], Any]]]) -> Any:
    """x with disjoint sets of images (booleans (N,), on the host) changed, each by `change(images, indices)`."""
    parts = [(chosen, change) for chosen, change in parts if chosen.any()]
    if not parts:
        return x
    device = device_of(x)
    places = [np.flatnonzero(chosen) for chosen, _ in parts]
    rest = np.setdiff1d(np.arange(x.shape[0]), np.concatenate(places))
    old = [xp.take(x, put(index, device), axis=0) for index in [*places, rest]]
    new = [change(part, index) for part, index, (_, change) in zip(old, places, parts)]
    order = np.argsort(np.concatenate([*places, rest]))
    return xp.take(xp.concat([*new, old[-1]]), put(order, device), axis=0)


def _sliced(x: np.ndarray, moved: np.ndarray, size: tuple[int, int], fill: Any) -> np.ndarray:
    """Flips and whole shifts: each image is a slice of its old self."""
    y = np.empty((*x.shape[:2], *size), x.dtype)
    if (moved == moved[:1]).all():  # all alike: one slice of the batch
        x, y, moved = x[None], y[None], moved[:1]
    spans = [
        [_span(int(m[axis, axis]), int(m[axis, 2]), x.shape[-1 - axis], size[1 - axis]) for axis in (1, 0)]
        for m in moved
    ]
    if any(there != slice(0, length) for span in spans for (there, _), length in zip(span, size)):
        y[...] = np.reshape(np.asarray(fill), (-1, 1, 1))
    for i, ((rows, from_rows), (columns, from_columns)) in enumerate(spans):
        y[i][..., rows, columns] = x[i][..., from_rows, from_columns]
    return y.reshape(-1, *y.shape[-3:])


def _span(sign: int, offset: int, length: int, out: int) -> tuple[slice, slice]:
    """The part of range(out) that sign · i + offset maps into range(length), and what it maps it to."""
    low, high = (-offset, length - offset) if sign > 0 else (offset - length + 1, offset + 1)
    low, high = min(max(low, 0), out), max(min(high, out), 0)
    if low >= high:
        return slice(0, 0), slice(0, 0)
    first, last = sign * low + offset, sign * (high - 1) + offset
    return slice(low, high), slice(first, last + sign if last + sign >= 0 else None, sign)


def _sampled(xp: Any, x: Any, moved: np.ndarray, size: tuple[int, int], fill: Any, bilinear: bool) -> Any:
    n, channels, h, w = x.shape
    plane, row = (h + 2) * (w + 2), w + 2
    # A frame of `fill`, and places held inside it, in the place of conditions. Channels come first, so that one index
    # serves all of them.
    device = device_of(x)
    framed = xp.empty((channels, n, h + 2, row), dtype=x.dtype)
    framed[...] = put(np.reshape(np.asarray(fill), (-1, 1, 1, 1)).astype(x.dtype), device)
    framed[:, :, 1:-1, 1:-1] = xp.permute_dims(x, (1, 0, 2, 3))
    framed = xp.reshape(framed, (channels, n * plane))
    # Indices are computed as floating-point numbers, too, where these hold all of them.
    wide = np.dtype(np.float64) if plane >= 1 << 24 else x.dtype if bilinear else np.dtype(np.float32)
    m = put(moved[:, :2, :, None].astype(wide), device)
    i, j = (put(np.arange(length, dtype=wide), device) for length in size)
    u = (m[:, 0, 0] * j + m[:, 0, 2])[:, None, :] + (m[:, 0, 1] * i)[:, :, None]
    v = (m[:, 1, 0] * j + m[:, 1, 2])[:, None, :] + (m[:, 1, 1] * i)[:, :, None]
    images = put(np.arange(n)[:, None, None] * plane + row + 1, device)

    def index(columns: Any, rows: Any) -> Any:
        return xp.reshape(xp.astype(rows * row + columns, xp.int64) + images, (-1,))

    if not bilinear:
        u, v = (xp.clip(xp.floor(a + 0.5), -1.0, float(side)) for a, side in ((u, w), (v, h)))
        return _images(xp, _take(xp, framed, index(u, v)), n, size)
    u, v = xp.clip(u, -1.0, float(w)), xp.clip(v, -1.0, float(h))
    left, top = (xp.minimum(xp.floor(a), xp.asarray(side - 1, dtype=wide)) for a, side in ((u, w), (v, h)))
    u -= left
    v -= top
    corner = index(left, top)
    u, v = (xp.reshape(xp.astype(a, x.dtype, copy=False), (-1,)) for a in (u, v))
    upper = _between(xp, framed, corner, u)
    lower = _between(xp, framed[:, row:], corner, u)
    lower -= upper
    lower *= v
    upper += lower
    return _images(xp, upper, n, size)


def _between(xp: Any, pixels: Any, index: Any, u: Any) -> Any:
    """(1−u) pixels[index] + u pixels[index + 1]."""
    left, right = _take(xp, pixels, index), _take(xp, pixels[:, 1:], index)
    right -= left
    right *= u
    left += right
    return left


def _take(xp: Any, pixels: Any, index: Any) -> Any:
    # All indices are within: NumPy's default would look at each again, in twice the time.
    return np.take(pixels, index, axis=1, mode="wrap") if xp is np else xp.take(pixels, index, axis=1)


def _images(xp: Any, planes: Any, n: int, size: tuple[int, int]) -> Any:
    return xp.permute_dims(xp.reshape(planes, (planes.shape[0], n, *size)), (1, 0, 2, 3))
