"""Methods of PyTorch's that compute, made of weft's operations; those of whole numbers and order go through NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import elementwise, indexing, manipulation, reductions
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .eigen import frexp
from .making import tensor
from .shaping import _like, _numpy
from .special import floating

__all__ = ["FUNCTIONS", "INPLACE", "METHODS"]


def _nan_ignoring(pick: Callable) -> Callable:
    def call(x: Tensor, other: Tensor) -> Tensor:
        return indexing.where(x.isnan(), other, indexing.where(other.isnan(), x, pick(x, other)))

    return call


def _sign(x: Tensor) -> Tensor:
    if x.dtype.kind != "c":
        return x.sign()  # PyTorch's, by now
    size = x.abs()
    return indexing.where(size == 0, x * 0, x / indexing.where(size == 0, size * 0 + 1, size))


def _integers(ufunc: Any) -> Callable:
    return lambda x, other: _like(x, ufunc(_numpy(x), _numpy(other) if isinstance(other, Tensor) else other))


def _float_power(x: Any, exponent: Any) -> Tensor:
    x, exponent = (v.double() if isinstance(v, Tensor) and v.dtype.kind != "c" else v for v in (x, exponent))
    return elementwise.pow(x, exponent)


def _heaviside(x: Tensor, values: Tensor) -> Tensor:
    return indexing.where(x == 0, values, (x > 0).to(x.dtype))


def _angle(x: Tensor) -> Tensor:
    if x.dtype.kind == "c":
        return elementwise.atan2(elementwise.imag(x), elementwise.real(x))
    x = floating(x)
    return indexing.where(x.isnan(), x, (x < 0).to(x.dtype) * math.pi)


def _log_add_exp2(x: Tensor, y: Tensor) -> Tensor:
    x, y = (v.to((x + y).dtype) * math.log(2) for v in (x, y))
    return elementwise.logaddexp(x, y) / math.log(2)


def _deg2rad(factor: float) -> Callable:
    return lambda x: floating(x) * factor


def _hardshrink(x: Tensor, lambd: float = 0.5) -> Tensor:
    return functional.hardshrink(x, lambd)


def _rounded_shift(left: bool) -> Callable:
    shift = elementwise.bitwise_left_shift if left else elementwise.bitwise_right_shift
    return lambda x, other: shift(x, other)


def _cov(x: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None) -> Tensor:
    if fweights is not None or aweights is not None:
        raise NotImplementedError("`cov` has no weights here; compute them by hand")
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    centred = rows - reductions.mean(rows, axis=1, keepdims=True)
    found = centred @ centred.T / max(rows.shape[1] - correction, 0)
    return found.squeeze() if x.ndim < 2 else found


def _corrcoef(x: Tensor) -> Tensor:
    if x.ndim < 2:
        return x.sum() * 0 + (1 if x.numel() > 1 else math.nan)
    c = _cov(x)
    scale = c.diag().sqrt()
    return (c / scale[:, None] / scale[None]).clip(-1, 1)


def _histc(x: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    raw = _numpy(x).ravel()
    low, high = (min, max) if min != max else ((float(raw.min()), float(raw.max())) if raw.size else (0.0, 0.0))
    low, high = (low, high) if low != high else (low - 1, high + 1)
    return _like(x, np.histogram(raw, bins, (low, high))[0].astype(raw.dtype))


def _logcumsumexp(x: Tensor, dim: int) -> Tensor:
    top = reductions.max(x.detach(), axis=dim, keepdims=True)
    return (x - top).exp().cumsum(dim).log() + top


def _diff(x: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
    x = manipulation.concat([t for t in (prepend, x, append) if t is not None], axis=dim)
    for _ in range(n):
        length = x.shape[dim]
        later, earlier = x.narrow(dim, 1, length - 1), x.narrow(dim, 0, length - 1)
        x = later ^ earlier if x.dtype == np.bool_ else later - earlier
    return x


def _trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float = 1.0, dim: int = -1) -> Tensor:
    n = y.shape[dim]
    widths: Any = dx if x is None else _diff(x, dim=-1 if x.ndim == 1 else dim)
    if isinstance(widths, Tensor) and widths.ndim == 1:
        shape = [1] * y.ndim
        shape[dim] = -1
        widths = widths.reshape(shape)
    return reductions.sum((y.narrow(dim, 1, n - 1) + y.narrow(dim, 0, n - 1)) * widths / 2, axis=dim)


def _median_of_numbers(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    raw = _numpy(x)
    flat = raw.reshape(-1) if dim is None else np.moveaxis(raw, dim, -1)
    order = np.argsort(flat, -1, kind="stable")  # NaN last
    count = np.maximum((~np.isnan(flat)).sum(-1, keepdims=True), 1)
    places = np.take_along_axis(order, (count - 1) // 2, -1)
    if dim is None:
        return x.reshape(-1)[int(places[0])]
    indices = _like(x, np.moveaxis(places, -1, dim).copy())
    values = indexing.take_along_axis(x, indices, axis=dim)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


def _is_real(x: Tensor) -> Tensor:
    return elementwise.imag(x) == 0 if x.dtype.kind == "c" else (x == x) | True


def _bucketize(x: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    raw = np.searchsorted(_numpy(boundaries), _numpy(x) if isinstance(x, Tensor) else x, "right" if right else "left")
    return _like(boundaries, raw.astype(np.int32 if out_int32 else np.int64))


def _searchsorted(
    sorted_sequence: Tensor, x: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None
) -> Tensor:
    side = side or ("right" if right else "left")
    keys, raw = _numpy(sorted_sequence), _numpy(x) if isinstance(x, Tensor) else np.asarray(x)
    if keys.ndim == 1:
        found = np.searchsorted(keys, raw, side)  # type: ignore[call-overload]
    else:
        pairs = zip(keys.reshape(-1, keys.shape[-1]), raw.reshape(-1, raw.shape[-1]))
        found = np.stack([np.searchsorted(k, v, side) for k, v in pairs]).reshape(raw.shape)  # type: ignore[call-overload]
    return _like(sorted_sequence, found.astype(np.int32 if out_int32 else np.int64))


def _logspace(start: float, end: float, steps: int, base: float = 10.0, **options: Any) -> Tensor:
    found = np.asarray(base, np.float64) ** np.linspace(start, end, steps)
    return tensor(found.tolist(), **options)


METHODS: dict[str, Callable] = {
    "exp2": lambda x: (floating(x) * math.log(2)).exp(),
    "frac": lambda x: x - x.trunc(),
    "fmax": _nan_ignoring(elementwise.maximum),
    "fmin": _nan_ignoring(elementwise.minimum),
    "sgn": _sign,
    "gcd": _integers(np.gcd),
    "lcm": _integers(np.lcm),
    "float_power": _float_power,
    "frexp": frexp,
    "ldexp": lambda x, other: (x * 2.0 ** floating(other)).to(floating(x).dtype),
    "heaviside": _heaviside,
    "angle": _angle,
    "conj_physical": lambda x: x.conj(),
    "resolve_conj": lambda x: x,
    "resolve_neg": lambda x: x,
    "real": lambda x: elementwise.real(x) if x.dtype.kind == "c" else x,
    "imag": elementwise.imag,
    "isreal": _is_real,
    "isposinf": lambda x: x.isinf() & (x > 0),
    "isneginf": lambda x: x.isinf() & (x < 0),
    "is_nonzero": lambda x: bool(x.item()),
    "deg2rad": _deg2rad(math.pi / 180),
    "rad2deg": _deg2rad(180 / math.pi),
    "logaddexp2": _log_add_exp2,
    "bitwise_left_shift": _rounded_shift(True),
    "bitwise_right_shift": _rounded_shift(False),
    "hardshrink": _hardshrink,
    "prelu": functional.prelu,
    "cov": _cov,
    "corrcoef": _corrcoef,
    "histc": _histc,
    "logcumsumexp": _logcumsumexp,
    "diff": _diff,
    "nanmedian": _median_of_numbers,
}
WRITTEN = (
    "absolute acos acosh addbmm addmv addr arccos arccosh arcsin arcsinh arctan2 arctan arctanh asin asinh atan2"
    " atan atanh bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor copysign"
    " cosh cumprod cumsum deg2rad digamma divide eq erf erfc erfinv exp2 fix float_power floor_divide frac gcd ge"
    " greater greater_equal gt heaviside hypot index_reduce lcm ldexp le less less_equal lgamma logical_and"
    " logical_not logical_or logical_xor logit lt masked_scatter multiply ne negative nextafter not_equal rad2deg"
    " renorm scatter_reduce sgn sign sinc sinh subtract true_divide xlogy"
)
INPLACE = WRITTEN.split()
FUNCTIONS: dict[str, Callable] = {
    "bucketize": _bucketize,
    "searchsorted": _searchsorted,
    "logspace": _logspace,
    "trapezoid": _trapezoid,
    "trapz": _trapezoid,
    "rsub": lambda x, other, *, alpha=1: other - alpha * x,
}
