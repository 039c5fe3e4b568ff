"""Fourier transforms as products with cosines and sines, which can be differentiated, and the windows for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from .elementwise import DTYPES, Attributes
from .shapes import ints

__all__ = ["HOST", "OPERATORS"]


def _turned(n: int, out: int, sign: float, like: Any) -> list[Any]:
    """cos and ± sin of 2π k t / n: (n, out), in the dtype of the signal."""
    angles = 2 * np.pi * (np.outer(np.arange(n), np.arange(out)) % n) / n
    return [weft.asarray(f.astype(like.dtype), device=like.device) for f in (np.cos(angles), sign * np.sin(angles))]


def transformed(x: Any, length: int, inverse: bool, one_sided: bool) -> Any:
    """Of x (…, T, 1 or 2) along the axis before the last, cut or padded to `length`."""
    is_real, half = x.shape[-1] == 1, length // 2 + 1
    t = (length // 2 + 1 if inverse and one_sided else length) - x.shape[-2]
    if t > 0:
        x = weft.concat([x, weft.zeros((*x.shape[:-2], t, x.shape[-1]), dtype=x.dtype, device=x.device)], axis=-2)
    elif t < 0:
        x = x[..., : x.shape[-2] + t, :]
    re, im = x[..., 0], weft.zeros_like(x[..., 0]) if is_real else x[..., 1]
    if inverse and one_sided:  # the other half is that of a real signal
        mirror = list(range((length - 1) // 2, 0, -1))
        re = weft.concat([re, re[..., mirror]], axis=-1) if mirror else re
        im = weft.concat([im, -im[..., mirror]], axis=-1) if mirror else im
    cos, sin = _turned(length, half if one_sided and not inverse else length, 1.0 if inverse else -1.0, x)
    found = weft.matmul(re, cos) - weft.matmul(im, sin), weft.matmul(re, sin) + weft.matmul(im, cos)
    y = weft.stack(found[:1] if inverse and one_sided else found, axis=-1)
    return y / length if inverse else y


def dft(attributes: Attributes, x: Any, length: Any = None, axis: Any = None) -> Any:
    """x (…, T, …, 1 or 2): its last axis has real and imaginary parts."""
    old = attributes["opset"] < 20
    at = attributes.get("axis", 1) if old else -2 if axis is None else ints(axis)[0]
    at %= x.ndim
    inverse, one_sided = bool(attributes.get("inverse", 0)), bool(attributes.get("onesided", 0))
    n = x.shape[at] if length is None else ints(length)[0]
    if length is None and inverse and one_sided:
        n = 2 * (n - 1)
    moved = weft.moveaxis(x, at, -2)
    return weft.moveaxis(transformed(moved, n, inverse, one_sided), -2, at)


def stft(attributes: Attributes, signal: Any, step: Any, window: Any = None, length: Any = None) -> Any:
    """Of each frame of a signal (N, T, 1 or 2), weighted by a window."""
    n = window.shape[0] if length is None else ints(length)[0]
    starts = np.arange(0, signal.shape[1] - n + 1, ints(step)[0])
    places = weft.asarray((starts[:, None] + np.arange(n)).reshape(-1), device=signal.device)
    frames = weft.reshape(weft.take(signal, places, axis=1), (signal.shape[0], len(starts), n, signal.shape[2]))
    if window is not None:
        frames = frames * weft.reshape(window, (-1, 1))
    one_sided = bool(attributes.get("onesided", 1)) and signal.shape[2] == 1
    return transformed(frames, n, False, one_sided)


def mel_weights(attributes: Attributes, bins: Any, length: Any, rate: Any, low: Any, high: Any) -> Any:
    """Triangles over the frequencies of a transform, evenly spaced in mels, 2595 log₁₀(1 + f / 700)."""
    n, size, hertz = ints(bins)[0], ints(length)[0], ints(rate)[0]
    mels = 2595 * np.log10(1 + np.array([float(np.asarray(f).reshape(())) for f in (low, high)]) / 700)
    step = (mels[1] - mels[0]) / (n + 2)  # ONNX's, which leaves out the last step
    edges = 700 * (10 ** ((mels[0] + step * np.arange(n + 2)) / 2595) - 1)
    at = ((size + 1) * edges // hertz).astype(int)
    out = np.zeros((size // 2 + 1, n))
    for i in range(n):
        first, middle, last = at[i : i + 3]
        if middle == first:
            out[middle, i] = 1
        else:
            rise = np.arange(first, middle + 1)
            out[rise, i] = (rise - first) / (middle - first)
        if last != middle:
            fall = np.arange(middle, last)
            out[fall, i] = (last - fall) / (last - middle)
    return out.astype(DTYPES[attributes.get("output_datatype", 1)])


def window(*terms: float) -> Callable[..., Any]:
    """Σ ± aₖ cos(2π k t / n), with n the size, or one less where it is not periodic."""

    def make(attributes: Attributes, size: Any) -> Any:
        n = ints(size)[0]
        t = np.arange(n) / max(n if attributes.get("periodic", 1) else n - 1, 1)
        values = sum((-1) ** k * a * np.cos(2 * np.pi * k * t) for k, a in enumerate(terms))
        return np.asarray(values, DTYPES[attributes.get("output_datatype", 1)])

    return make


OPERATORS: dict[str, Callable[..., Any]] = {
    "DFT": dft, "STFT": stft, "MelWeightMatrix": mel_weights, "HannWindow": window(0.5, 0.5),
    "HammingWindow": window(25 / 46, 21 / 46), "BlackmanWindow": window(0.42, 0.5, 0.08),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {
    "DFT": (1, 2), "STFT": (1, 3), "MelWeightMatrix": (0, 1, 2, 3, 4), "HannWindow": (0,), "HammingWindow": (0,),
    "BlackmanWindow": (0,),
}  # fmt: skip
