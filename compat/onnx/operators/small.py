"""Numbers of few bits: casts to them, and what is quantised. They are made on the host, by NumPy and ml_dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

import weft

from .convolution import conv
from .elementwise import DTYPES, Attributes

__all__ = ["HOST", "OPERATORS"]

DTYPES.update({
    17: ml_dtypes.float8_e4m3fn, 18: ml_dtypes.float8_e4m3fnuz, 19: ml_dtypes.float8_e5m2, 20: ml_dtypes.float8_e5m2fnuz,
    21: ml_dtypes.uint4, 22: ml_dtypes.int4, 23: ml_dtypes.float4_e2m1fn, 24: ml_dtypes.float8_e8m0fnu, 25: ml_dtypes.uint2,
    26: ml_dtypes.int2,
})  # fmt: skip
FLOAT8 = {np.dtype(DTYPES[i]) for i in (17, 18, 19, 20)}
SMALL = {np.dtype(DTYPES[i]) for i in range(17, 27)}


def dtype_of(number: int) -> np.dtype:
    """ONNX's number of a dtype."""
    if number not in DTYPES:
        raise NotImplementedError(f"`to` must be a dtype that NumPy has, got ONNX's {number}")
    return np.dtype(DTYPES[number])


def cast(attributes: Attributes, x: Any) -> Any:
    """To another dtype; floats to integers towards zero, to 8 bits up to their largest number (`saturate`)."""
    return cast_to(x, dtype_of(attributes["to"]), attributes)


def cast_to(x: Any, dtype: np.dtype, attributes: Attributes) -> Any:
    if dtype not in SMALL and x.dtype not in SMALL:
        return x.astype(dtype)
    from onnx import numpy_helper

    host, saturates = x.detach().cpu().numpy(), bool(attributes.get("saturate", 1))
    if dtype in FLOAT8 and saturates:
        found = numpy_helper.saturate_cast(host, dtype)
    elif dtype == ml_dtypes.float8_e8m0fnu:
        mode = attributes.get("round_mode", b"up").decode()
        found = numpy_helper.to_float8e8m0(host.astype(np.float32), saturates, mode).astype(dtype)
    else:
        found = host.astype(dtype)
    return weft.asarray(found, device=x.device)


def bit_cast(attributes: Attributes, x: Any) -> Any:
    """The same bits, read as another dtype of that size."""
    return weft.asarray(x.detach().cpu().numpy().view(dtype_of(attributes["to"])), device=x.device)


# --- quantised -----------------------------------------------------------------------------------------------------------
def spread(attributes: Attributes, scale: Any, x: Any) -> Any:
    """A scale, or one for each place of an axis or each block of it, in the axes of x."""
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if scale is None or scale.ndim == 0 or (scale.size == 1 and not block):
        return scale if scale is None else weft.reshape(scale, ())
    axis %= x.ndim
    if block:
        return weft.repeat(scale, block, axis=axis)[tuple(slice(n) for n in x.shape)]
    return weft.reshape(scale, tuple(-1 if i == axis else 1 for i in range(x.ndim)))


def quantize(attributes: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    """x / scale + zero, rounded to even, and cut to what the dtype holds."""
    number = attributes.get("output_dtype", 0)
    dtype = zero.dtype if zero is not None else dtype_of(number) if number else np.dtype(np.uint8)
    y = x / spread(attributes, scale, x).astype(x.dtype)
    if dtype in FLOAT8 or dtype == ml_dtypes.float4_e2m1fn:
        return cast_to(y, dtype, attributes)
    wide = weft.round(y).astype(weft.float64)
    if zero is not None:
        wide = wide + spread(attributes, zero.astype(weft.float64), x)
    return _cut(wide, dtype)


def _cut(wide: Any, dtype: np.dtype) -> Any:
    limits = ml_dtypes.iinfo(dtype)
    return cast_to(weft.clip(wide, float(limits.min), float(limits.max)).astype(weft.int64), dtype, {})


def dequantize(attributes: Attributes, x: Any, scale: Any, zero: Any = None) -> Any:
    """(x − zero) · scale."""
    number = attributes.get("output_dtype", 0)
    wide = cast_to(x, np.dtype(np.float32), {})
    if zero is not None:
        wide = wide - spread(attributes, cast_to(zero, np.dtype(np.float32), {}), x)
    y = wide * spread(attributes, scale.astype(weft.float32), x)
    return y.astype(dtype_of(number) if number else scale.dtype)


def _centred(x: Any, zero: Any, axis: int) -> Any:
    """x − zero in float64, exact for the sums that are made of it; a zero for each place of an axis."""
    wide = x.astype(weft.float64)
    if zero is None:
        return wide
    at = zero.astype(weft.float64)
    if at.ndim == 1 and at.size > 1:
        at = weft.reshape(at, tuple(-1 if i == axis % x.ndim else 1 for i in range(x.ndim)))
    return wide - (weft.reshape(at, ()) if at.size == 1 else at)


def matmul_integer(_: Attributes, a: Any, b: Any, of_a: Any = None, of_b: Any = None) -> Any:
    return weft.matmul(_centred(a, of_a, -2), _centred(b, of_b, -1)).astype(weft.int32)


def qlinear_matmul(
    attributes: Attributes, a: Any, by_a: Any, of_a: Any, b: Any, by_b: Any, of_b: Any, by_y: Any, of_y: Any
) -> Any:
    y = weft.matmul(_centred(a, of_a, -2), _centred(b, of_b, -1)) * (
        by_a.astype(weft.float64) * by_b.astype(weft.float64)
    )
    y = weft.round(y / by_y.astype(weft.float64)) + of_y.astype(weft.float64)
    return _cut(y, of_y.dtype)


def conv_integer(attributes: Attributes, x: Any, w: Any, of_x: Any = None, of_w: Any = None) -> Any:
    return weft.round(conv(attributes, _centred(x, of_x, 1), _centred(w, of_w, 0))).astype(weft.int32)


def qlinear_conv(
    attributes: Attributes,
    x: Any,
    by_x: Any,
    of_x: Any,
    w: Any,
    by_w: Any,
    of_w: Any,
    by_y: Any,
    of_y: Any,
    b: Any = None,
) -> Any:
    y = conv(attributes, _centred(x, of_x, 1), _centred(w, of_w, 0), None if b is None else b.astype(weft.float64))
    by = weft.reshape(by_w.astype(weft.float64), (-1, *[1] * (x.ndim - 2))) * by_x.astype(weft.float64)
    return _cut(weft.round(y * by / by_y.astype(weft.float64)) + of_y.astype(weft.float64), of_y.dtype)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Cast": cast, "CastLike": lambda a, x, like: cast_to(x, like.dtype, a), "BitCast": bit_cast,
    "QuantizeLinear": quantize, "DequantizeLinear": dequantize, "MatMulInteger": matmul_integer,
    "QLinearMatMul": qlinear_matmul, "ConvInteger": conv_integer, "QLinearConv": qlinear_conv,
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {}
