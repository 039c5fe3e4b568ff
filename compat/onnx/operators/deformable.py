"""Convolution whose windows bend: each of its points is moved by an offset of its own, and read between pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from .convolution import options
from .elementwise import Attributes

__all__ = ["HOST", "OPERATORS"]


def sampled(x: Any, at: list[Any]) -> Any:
    """x (N, G, C, d₁ … dₙ) at points (N, G, P), a coordinate of each for every axis, linearly between pixels: (N, G, C, P)."""
    lengths, floors = x.shape[3:], [weft.floor(a.detach()) for a in at]
    flat: Any = weft.reshape(x, (*x.shape[:3], -1))
    found: Any = 0
    for corner in itertools.product((0, 1), repeat=len(at)):
        places, part = weft.zeros(at[0].shape, dtype=weft.int64, device=x.device), weft.ones_like(at[0])
        for bit, a, low, n in zip(corner, at, floors, lengths):
            pixel = low + bit
            part = part * (1 - weft.abs(a - pixel)) * ((pixel >= 0) & (pixel < n))  # 0 beyond the image
            places = places * n + weft.clip(pixel, 0, n - 1).astype(weft.int64)
        spread = weft.broadcast_to(places[:, :, None, :], (*x.shape[:3], places.shape[-1]))
        found = found + weft.take_along_axis(flat, spread, axis=-1) * part[:, :, None, :]
    return found


def deform_conv(attributes: Attributes, x: Any, weight: Any, offset: Any, bias: Any = None, mask: Any = None) -> Any:
    """x (N, C, d…) by weight (M, C/group, k…), offsets (N, G Πk n, o…), mask (N, G Πk, o…): (N, M, o…)."""
    (n, channels), kernel, out = x.shape[:2], list(weight.shape[2:]), offset.shape[2:]
    strides, dilations = options(attributes, kernel)
    ndim, points = len(kernel), math.prod(kernel)
    pads, groups, parts = (
        attributes.get("pads", [0] * (2 * ndim)),
        attributes.get("offset_group", 1),
        attributes.get("group", 1),
    )
    moves = weft.reshape(offset, (n, groups, points, ndim, *out))
    at = []
    for i, (k, s, d) in enumerate(zip(np.indices(kernel).reshape(ndim, points), strides, dilations)):
        where = [1] * ndim
        where[i] = out[i]
        first = k.reshape(-1, *[1] * ndim) * d + np.arange(out[i]).reshape(where) * s - pads[i]  # where it lies unmoved
        at.append(
            weft.reshape(moves[:, :, :, i] + weft.asarray(first.astype(x.dtype), device=x.device), (n, groups, -1))
        )
    values = sampled(weft.reshape(x, (n, groups, channels // groups, *x.shape[2:])), at)
    if mask is not None:
        values = values * weft.reshape(mask, (n, groups, 1, -1))
    columns = weft.reshape(values, (n, parts, channels // parts * points, math.prod(out)))
    y = weft.reshape(weft.matmul(weft.reshape(weight, (parts, weight.shape[0] // parts, -1)), columns), (n, -1, *out))
    return y if bias is None else y + weft.reshape(bias, (-1, *[1] * ndim))


OPERATORS: dict[str, Callable[..., Any]] = {"DeformConv": deform_conv}
HOST: dict[str, tuple[int, ...]] = {}
