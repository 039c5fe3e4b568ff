"""Convolution and pooling, over any number of axes that our layers have: 1 to 3."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....layers import functional as F
from .elementwise import Attributes
from .shapes import ints, pad

__all__ = ["HOST", "OPERATORS"]


def over(name: str, ndim: int) -> Any:
    """Our function for that many spatial axes."""
    if not 1 <= ndim <= 3:
        raise NotImplementedError(f"there must be 1 to 3 spatial axes, got {ndim}")
    return getattr(F, f"{name}{ndim}d")


def widths(attributes: Attributes, lengths: Any, kernel: list[int], strides: list[int], dilations: list[int]) -> Any:
    """Padding before and after each axis: given, or as `auto_pad` says."""
    given, auto, n = attributes.get("pads"), attributes.get("auto_pad", b"NOTSET").decode(), len(kernel)
    if auto in ("NOTSET", ""):
        given = given or [0] * (2 * n)
        return given[:n], given[n:]
    if auto == "VALID":
        return [0] * n, [0] * n
    total = [
        max((-(-i // s) - 1) * s + (k - 1) * d + 1 - i, 0) for i, k, s, d in zip(lengths, kernel, strides, dilations)
    ]
    less = [t // 2 for t in total]
    more = [t - half for t, half in zip(total, less)]
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def padded(x: Any, before: list[int], after: list[int], value: float = 0.0) -> Any:
    """With the spatial axes padded."""
    if not any((*before, *after)):
        return x
    return pad({"value": value}, x, [0, 0, *before, 0, 0, *after])


def options(attributes: Attributes, kernel: list[int]) -> tuple[list[int], list[int]]:
    """Strides and dilations, 1 by default."""
    return list(attributes.get("strides", [1] * len(kernel))), list(attributes.get("dilations", [1] * len(kernel)))


def conv(attributes: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    """Padding that differs before and after is done first."""
    kernel = list(weight.shape[2:])
    strides, dilations = options(attributes, kernel)
    before, after = widths(attributes, x.shape[2:], kernel, strides, dilations)
    if before != after:
        x, before = padded(x, before, after), [0] * len(kernel)
    f = over("conv", len(kernel))
    return f(x, weight, bias, tuple(strides), tuple(before), tuple(dilations), attributes.get("group", 1))


def conv_transpose(attributes: Attributes, x: Any, weight: Any, bias: Any = None) -> Any:
    """In full, and then cut, where padding differs before and after or the shape of the output is given."""
    kernel = list(weight.shape[2:])
    strides, dilations = options(attributes, kernel)
    extra = list(attributes.get("output_padding", [0] * len(kernel)))
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[2:], strides, kernel, dilations)]
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    wanted = attributes.get("output_shape")
    if wanted is None and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(x.shape[2:], strides)]
    if wanted is None:
        before, after = widths(attributes, x.shape[2:], kernel, strides, dilations)
    else:
        total = [f + e - w for f, e, w in zip(full, extra, wanted)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        before, after = (less, more) if auto == "SAME_UPPER" else (more, less)
    f = over("conv_transpose", len(kernel))
    found = f(x, weight, None, tuple(strides), 0, 0, attributes.get("group", 1), tuple(dilations))
    beyond = [max(e - a, 0) for e, a in zip(extra, after)]  # zeros beyond what the windows reach
    found = padded(found, [max(-b, 0) for b in before], beyond)
    cuts = [slice(max(b, 0), n + e - a + max(-b, 0)) for b, a, n, e in zip(before, after, full, extra)]
    found = found[(slice(None), slice(None), *cuts)]
    return found if bias is None else found + weft.reshape(bias, (-1, *[1] * len(kernel)))


def lengths_of(attributes: Attributes, x: Any, kernel: list[int]) -> Any:
    """Strides, dilations, padding before and after; with `ceil_mode` as much more as the last window needs.

    A window that would begin in the padding at the end is left out.
    """
    strides, dilations = options(attributes, kernel)
    before, after = widths(attributes, x.shape[2:], kernel, strides, dilations)
    more = [0] * len(kernel)
    if attributes.get("ceil_mode", 0):
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations)):
            room = n + before[i] + after[i] - (k - 1) * d - 1
            count = -(-room // s) + 1
            if (count - 1) * s >= n + before[i]:
                count -= 1
            more[i] = max((count - 1) * s - room, 0)
    return strides, dilations, before, after, more


def max_pool(attributes: Attributes, x: Any) -> Any:
    """Maxima, and where they lie in the whole tensor, row by row or, if asked for, column by column."""
    kernel = list(attributes["kernel_shape"])
    strides, dilations, before, after, more = lengths_of(attributes, x, kernel)
    work = x if weft.isdtype(x.dtype, "real floating") else x.astype(weft.float64)
    work = padded(work, before, [a + m for a, m in zip(after, more)], -math.inf)
    f = over("max_pool", len(kernel))
    if attributes["outputs"] == 1:
        return f(work, tuple(kernel), tuple(strides), 0, tuple(dilations)).astype(x.dtype)
    found, places = f(work, tuple(kernel), tuple(strides), 0, tuple(dilations), return_indices=True)
    rest, at = places, []
    for n, b in zip(work.shape[:1:-1], before[::-1]):
        at.append(rest % n - b)
        rest = rest // n
    at = at[::-1]
    if attributes.get("storage_order", 0):
        at, lengths = at[::-1], x.shape[:1:-1]
    else:
        lengths = x.shape[2:]
    flat: Any = 0
    for place, n in zip(at, lengths):
        flat = flat * n + place
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(x.shape[0], x.shape[1], *[1] * len(kernel))
    flat = flat + weft.asarray(planes * math.prod(x.shape[2:]), device=x.device)
    return found.astype(x.dtype), flat.astype(weft.int64)


def average_pool(attributes: Attributes, x: Any) -> Any:
    """Sums over windows, divided by how many elements they hold, with or without padding."""
    kernel = list(attributes["kernel_shape"])
    strides, dilations, before, after, more = lengths_of(attributes, x, kernel)
    counted = bool(attributes.get("count_include_pad", 0))
    ones = weft.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
    ones = padded(padded(ones, before, after, float(counted)), [0] * len(kernel), more)
    x = padded(x, before, [a + m for a, m in zip(after, more)])
    return _window_sums(x, kernel, strides, dilations) / _window_sums(ones, kernel, strides, dilations)


def _window_sums(x: Any, kernel: list[int], strides: list[int], dilations: list[int]) -> Any:
    """By a convolution with ones, plane by plane."""
    n, c = x.shape[:2]
    ones = weft.ones((1, 1, *kernel), dtype=x.dtype, device=x.device)
    planes = weft.reshape(x, (n * c, 1, *x.shape[2:]))
    found = over("conv", len(kernel))(planes, ones, None, tuple(strides), 0, tuple(dilations))
    return weft.reshape(found, (n, c, *found.shape[2:]))


def lp_pool(attributes: Attributes, x: Any) -> Any:
    """(Σ |x|ᵖ)^(1/p) over windows."""
    kernel, p = list(attributes["kernel_shape"]), attributes.get("p", 2)
    strides, dilations, before, after, more = lengths_of(attributes, x, kernel)
    x = padded(x, before, [a + m for a, m in zip(after, more)])
    return _window_sums(weft.abs(x) ** p, kernel, strides, dilations) ** (1 / p)


def max_unpool(attributes: Attributes, x: Any, places: Any, shape: Any = None) -> Any:
    """Zeros but for what max pooling took, at the places it tells."""
    kernel = list(attributes["kernel_shape"])
    strides, _ = options(attributes, kernel)
    pads = attributes.get("pads", [0] * (2 * len(kernel)))
    lengths = [(n - 1) * s - pads[i] - pads[i + len(kernel)] + k
               for i, (n, s, k) in enumerate(zip(x.shape[2:], strides, kernel))]  # fmt: skip
    inner = (*x.shape[:2], *lengths)
    outer = inner if shape is None else tuple(ints(shape))
    at = weft.reshape(places, (-1,))
    if outer != inner:  # places are told in the smaller one
        split = np.unravel_index(np.asarray(at.numpy()), inner)
        at = weft.asarray(np.ravel_multi_index(split, outer), device=x.device)
    flat = weft.zeros((math.prod(outer),), dtype=x.dtype, device=x.device)
    return weft.reshape(flat.index_copy(0, at.astype(weft.int64), weft.reshape(x, (-1,))), outer)


def col2im(attributes: Attributes, x: Any, image: Any, block: Any) -> Any:
    """Blocks (N, C · Πkernel, L) added to where they come from: one place of all blocks after the other."""
    size, kernel = ints(image), ints(block)
    strides, dilations = options(attributes, kernel)
    n, pads = len(kernel), attributes.get("pads", [0] * (2 * len(kernel)))
    whole = [s + pads[i] + pads[i + n] for i, s in enumerate(size)]
    counts = [(w - d * (k - 1) - 1) // s + 1 for w, k, s, d in zip(whole, kernel, strides, dilations)]
    blocks = weft.reshape(x, (x.shape[0], -1, *kernel, *counts))
    places = np.zeros((*kernel, *counts), int)
    for i in range(n):
        along = np.arange(kernel[i])[:, None] * dilations[i] + np.arange(counts[i]) * strides[i]
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = along.shape
        places = places * whole[i] + along.reshape(shape)
    flat = weft.zeros((*blocks.shape[:2], math.prod(whole)), dtype=x.dtype, device=x.device)
    values = weft.reshape(blocks, (*blocks.shape[:2], -1))
    found = flat.index_add(2, weft.asarray(places.reshape(-1), device=x.device), values)
    return weft.reshape(found, (*blocks.shape[:2], *whole))[
        (..., *(slice(pads[i], pads[i] + s) for i, s in enumerate(size)))
    ]


def everywhere(function: Callable[..., Any]) -> Callable[..., Any]:
    """Over all spatial axes."""
    return lambda _, x: function(x, axis=tuple(range(2, x.ndim)), keepdims=True)


OPERATORS: dict[str, Callable[..., Any]] = {
    "AveragePool": average_pool, "Col2Im": col2im, "Conv": conv, "ConvTranspose": conv_transpose,
    "GlobalAveragePool": everywhere(weft.mean), "GlobalMaxPool": everywhere(weft.max), "LpPool": lp_pool, "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
    "GlobalLpPool": lambda a, x: weft.sum(weft.abs(x) ** a.get("p", 2), axis=tuple(range(2, x.ndim)), keepdims=True)
    ** (1 / a.get("p", 2)),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {"Col2Im": (1, 2), "MaxUnpool": (2,)}
