"""Resizing, by a matrix of weights along each axis, and sampling at a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from ....layers import functional as F
from .elementwise import Attributes
from .shapes import ints

__all__ = ["HOST", "OPERATORS"]


def places(attributes: Attributes, length: int, wanted: int, scale: float, start: float, end: float) -> np.ndarray:
    """Where each element of the result lies in the input, by `coordinate_transformation_mode`."""
    mode = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    i, grown = np.arange(wanted, dtype=np.float64), length * scale
    match mode:
        case "half_pixel":
            return (i + 0.5) / scale - 0.5
        case "half_pixel_symmetric":
            return length / 2 * (1 - wanted / grown) + (i + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (i + 0.5) / scale - 0.5 if wanted > 1 else np.zeros(wanted)
        case "align_corners":
            return i * (length - 1) / (grown - 1) if wanted > 1 else np.zeros(wanted)
        case "asymmetric":
            return i / scale
        case "tf_crop_and_resize":
            if wanted == 1:
                return np.full(1, 0.5 * (start + end) * (length - 1))
            return start * (length - 1) + i * (end - start) * (length - 1) / (wanted - 1)
        case "tf_half_pixel_for_nn":
            return (i + 0.5) / scale
    raise NotImplementedError(f"`coordinate_transformation_mode` {mode}")


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel."""
    x = np.abs(x)
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def weights(attributes: Attributes, length: int, wanted: int, scale: float, start: float, end: float) -> np.ndarray:
    """(wanted, length): the part of each element of the input in each of the result; NaN where it is to be extrapolated."""
    at, mode = places(attributes, length, wanted, scale, start, end), attributes.get("mode", b"nearest").decode()
    found = np.zeros((wanted, length))
    if mode == "nearest":
        rule = attributes.get("nearest_mode", b"round_prefer_floor").decode()
        rounded = {"round_prefer_floor": np.ceil(at - 0.5), "round_prefer_ceil": np.floor(at + 0.5),
                   "floor": np.floor(at), "ceil": np.ceil(at)}[rule]  # fmt: skip
        found[np.arange(wanted), np.clip(rounded, 0, length - 1).astype(int)] = 1
    else:
        a = attributes.get("cubic_coeff_a", -0.75)
        kernel = (lambda x: np.maximum(1 - np.abs(x), 0)) if mode == "linear" else (lambda x: _cubic(x, a))
        shrunk = min(scale, 1.0) if attributes.get("antialias", 0) else 1.0
        reach = (1 if mode == "linear" else 2) / shrunk
        for row, x in enumerate(at):
            near = np.arange(math.floor(x - reach) + 1, math.ceil(x + reach) + (x + reach == math.floor(x + reach)))
            part = kernel((near - x) * shrunk)
            if attributes.get("exclude_outside", 0):
                part = np.where((near >= 0) & (near < length), part, 0)
            if attributes.get("exclude_outside", 0) or shrunk < 1:
                part = part / part.sum()
            np.add.at(found[row], np.clip(near, 0, length - 1), part)
    if attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        found[(at < 0) | (at > length - 1)] = np.nan
    return found


def resize(attributes: Attributes, x: Any, *given: Any) -> Any:
    """To `sizes`, or by `scales`, along each axis one after the other."""
    if attributes["opset"] < 11:
        roi, scales, sizes = None, given[0], None
        attributes = {**attributes, "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    else:
        roi, scales, sizes = (*given, None, None, None)[:3]
    axes = [a % x.ndim for a in attributes.get("axes", range(x.ndim))]
    factors, wanted = _sizes(attributes, x, axes, scales, sizes)
    bounds = np.asarray(roi if roi is not None and np.size(roi) else [0] * len(axes) + [1] * len(axes), np.float64)
    filling = attributes.get("extrapolation_value", 0.0)
    y, outside = x, []
    for i, axis in enumerate(axes):
        crops = attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
        if wanted[i] == x.shape[axis] and factors[i] == 1 and not crops:
            continue
        matrix = weights(attributes, x.shape[axis], wanted[i], factors[i], bounds[i], bounds[i + len(axes)])
        is_out = np.isnan(matrix).any(axis=1)
        work = x.dtype if weft.isdtype(x.dtype, "real floating") else weft.float64
        w = weft.asarray(np.nan_to_num(matrix).astype(work), device=x.device)
        y = weft.moveaxis(weft.matmul(weft.moveaxis(y.astype(work), axis, -1), w.T), -1, axis)
        lengths = [1] * x.ndim
        lengths[axis] = wanted[i]
        outside.append(is_out.reshape(lengths))
    if any(mask.any() for mask in outside):
        mask = np.zeros(y.shape, bool)
        for part in outside:
            mask |= part
        y = weft.where(
            weft.asarray(mask, device=x.device), weft.full(y.shape, filling, dtype=y.dtype, device=x.device), y
        )
    return y.astype(x.dtype)


def _sizes(attributes: Attributes, x: Any, axes: list[int], scales: Any, sizes: Any) -> tuple[list[float], list[int]]:
    """Factor and length of each axis, one of which is given."""
    lengths = [x.shape[a] for a in axes]
    if sizes is None or not np.size(sizes):
        factors = [float(s) for s in np.asarray(scales, np.float64)]
        return factors, [math.floor(n * s) for n, s in zip(lengths, factors)]
    wanted = ints(sizes)
    factors = [w / n for w, n in zip(wanted, lengths)]
    policy = attributes.get("keep_aspect_ratio_policy", b"stretch").decode()
    if policy != "stretch":
        factor = (min if policy == "not_larger" else max)(factors)
        return [factor] * len(axes), [math.floor(n * factor + 0.5) for n in lengths]
    return factors, wanted


def grid_sample(attributes: Attributes, x: Any, grid: Any) -> Any:
    """As ours, whose names of modes changed in version 20."""
    mode = attributes.get("mode", b"linear").decode()
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    padding, corners = attributes.get("padding_mode", b"zeros").decode(), bool(attributes.get("align_corners", 0))
    return F.grid_sample(x, grid, mode, padding, corners)


def affine_grid(attributes: Attributes, theta: Any, size: Any) -> Any:
    """The places at which an affine map samples."""
    return F.affine_grid(theta, ints(size), bool(attributes.get("align_corners", 0)))


OPERATORS: dict[str, Callable[..., Any]] = {
    "AffineGrid": affine_grid, "GridSample": grid_sample, "Resize": resize,
    "Upsample": lambda a, x, s=None: resize({**a, "opset": 10}, x, np.asarray(a.get("scales", s))),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {"AffineGrid": (1,), "Resize": (1, 2, 3), "Upsample": (1,)}
