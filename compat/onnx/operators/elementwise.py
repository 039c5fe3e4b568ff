"""Operators that act on each element alone, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import ml_dtypes
import numpy as np

import weft

__all__ = ["DTYPES", "HOST", "OPERATORS", "Attributes"]

Attributes = Mapping[str, Any]

DTYPES: dict[int, Any] = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16,
    11: np.float64, 12: np.uint32, 13: np.uint64, 14: np.complex64, 15: np.complex128, 16: ml_dtypes.bfloat16,
}  # fmt: skip


def gemm(attributes: Attributes, a: Any, b: Any, c: Any = None) -> Any:
    """alpha · A B + beta · C, A and B transposed where asked."""
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    alpha, beta = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    out = weft.matmul(a, b) if alpha == 1 else weft.matmul(a, b) * alpha
    if c is None:
        return out
    return out + (c if beta == 1 else c * beta)


def divide(_: Attributes, a: Any, b: Any) -> Any:
    """Integers are divided towards zero, as in C."""
    if weft.isdtype(a.dtype, "real floating"):
        return a / b
    if weft.isdtype(a.dtype, "unsigned integer"):
        return a // b
    quotient = a // b
    return weft.where((quotient < 0) & (quotient * b != a), quotient + 1, quotient)


def modulo(attributes: Attributes, a: Any, b: Any) -> Any:
    """The remainder with the divisor's sign, or with `fmod` the dividend's."""
    return a.fmod(b) if attributes.get("fmod", 0) else weft.remainder(a, b)


def power(_: Attributes, a: Any, b: Any) -> Any:
    """In the base's dtype."""
    if weft.isdtype(a.dtype, "integral") and not weft.isdtype(b.dtype, "integral"):
        return (a.astype(weft.float64) ** b.astype(weft.float64)).astype(a.dtype)
    return (a ** b.astype(a.dtype)).astype(a.dtype)


def clip(attributes: Attributes, x: Any, low: Any = None, high: Any = None) -> Any:
    """Limits are attributes before version 11; where they are crossed, the upper one holds."""
    low, high = attributes.get("min", low), attributes.get("max", high)
    if low is not None:
        x = weft.maximum(x, low) if isinstance(low, weft.Tensor) else x.clamp(min=low)
    if high is not None:
        x = weft.minimum(x, high) if isinstance(high, weft.Tensor) else x.clamp(max=high)
    return x


def shift(attributes: Attributes, a: Any, b: Any) -> Any:
    """By as many bits, left or right."""
    move = weft.bitwise_left_shift if attributes["direction"] == b"LEFT" else weft.bitwise_right_shift
    return move(a, b)


def is_infinite(attributes: Attributes, x: Any) -> Any:
    """Either infinity, or the one that is asked for."""
    found = weft.isinf(x)
    if not attributes.get("detect_negative", 1):
        found = found & (x > 0)
    return found if attributes.get("detect_positive", 1) else found & (x < 0)


def variadic(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Of any number of inputs, two by two."""
    return lambda _, *inputs: reduce(function, inputs)


def _mean(_: Attributes, *inputs: Any) -> Any:
    return reduce(lambda a, b: a + b, inputs) / len(inputs)


def einsum(attributes: Attributes, *inputs: Any) -> Any:
    """Sums of products by NumPy's notation."""
    return weft.einsum(attributes["equation"].decode(), *inputs)


def unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Without attributes."""
    return lambda _, x: function(x)


def binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Without attributes."""
    return lambda _, a, b: function(a, b)


OPERATORS: dict[str, Callable[..., Any]] = {
    **{name: unary(getattr(weft, name.lower())) for name in (
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Exp", "Floor", "IsNaN", "Log",
        "Round", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh", "Reciprocal")},
    "BitwiseNot": unary(weft.bitwise_invert), "Erf": unary(lambda x: x.erf()), "Identity": unary(lambda x: x),
    "Neg": unary(lambda x: -x), "Not": unary(weft.logical_not), "IsInf": is_infinite,
    "Add": binary(lambda a, b: a + b), "Sub": binary(lambda a, b: a - b), "Mul": binary(lambda a, b: a * b),
    "Div": divide, "Mod": modulo, "Pow": power, "BitShift": shift, "MatMul": binary(weft.matmul), "Gemm": gemm,
    "And": binary(weft.logical_and), "Or": binary(weft.logical_or), "Xor": binary(weft.logical_xor),
    "BitwiseAnd": binary(weft.bitwise_and), "BitwiseOr": binary(weft.bitwise_or), "BitwiseXor": binary(weft.bitwise_xor),
    "Equal": binary(weft.equal), "Greater": binary(weft.greater), "GreaterOrEqual": binary(weft.greater_equal),
    "Less": binary(weft.less), "LessOrEqual": binary(weft.less_equal), "Where": lambda _, c, a, b: weft.where(c, a, b),
    "Clip": clip, "Einsum": einsum,
    "Max": variadic(weft.maximum), "Min": variadic(weft.minimum), "Sum": variadic(lambda a, b: a + b), "Mean": _mean,
    "Det": unary(weft.linalg.det),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {}
