"""What the array-API tests share: the two namespaces side by side, special values, and what it means to agree."""

import itertools
import math

import array_api_strict as strict
import numpy as np

import weft

SPACES = {"": (weft, strict), "linalg": (weft.linalg, strict.linalg), "fft": (weft.fft, strict.fft)}
REAL = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]
DTYPES = ["bool", *REAL, "complex64", "complex128"]

UNARY = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_invert", "ceil", "conj", "cos", "cosh", "exp",
    "expm1", "floor", "imag", "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2", "logical_not",
    "negative", "positive", "real", "reciprocal", "round", "sign", "signbit", "sin", "sinh", "sqrt", "square", "tan",
    "tanh", "trunc",
]  # fmt: skip
BINARY = [
    "add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "copysign",
    "divide", "equal", "floor_divide", "greater", "greater_equal", "hypot", "less", "less_equal", "logaddexp",
    "logical_and", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "nextafter", "not_equal", "pow",
    "remainder", "subtract",
]  # fmt: skip
OPERATORS = [
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift", "eq", "ne",
    "lt", "le", "gt", "ge", "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor",
    "ilshift", "irshift",
]  # fmt: skip

TINY, HUGE, INF, NAN = 1e-45, 3e38, math.inf, math.nan  # TINY is subnormal in float32
SPECIAL = {
    "b": [True, False],
    "i": [-128, -7, -1, 0, 1, 2, 7, 127],
    "u": [0, 1, 2, 7, 255],
    "f": [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 7.0, -7.3, TINY, -TINY, HUGE, INF, -INF, NAN],
    "c": [complex(*z) for z in itertools.product([0.0, -0.0, 1.0, -2.5, INF, -INF, NAN], repeat=2)],
}


def special(dtype):
    """The special values of a dtype, in both namespaces."""
    x = np.asarray(SPECIAL[np.dtype(dtype).kind]).astype(dtype)
    return weft.asarray(x), strict.asarray(x)


def name_of(dtype):
    """ "float32", of either namespace's dtype."""
    return str(dtype).rpartition(".")[2]


def outcome(f, *args):
    """(result, None) or (None, the exception)."""
    try:
        return f(*args), None
    except (TypeError, ValueError, OverflowError) as error:
        return None, error


def agree(got, expected):
    """Same structure, dtypes, shapes and values; zeros of the same sign."""
    if isinstance(expected, tuple | list):
        assert isinstance(got, tuple | list)
        assert len(got) == len(expected)
        assert getattr(got, "_fields", None) == getattr(expected, "_fields", None)
        for g, e in zip(got, expected):
            agree(g, e)
    elif isinstance(expected, type(strict.asarray(0))):
        assert isinstance(got, weft.Tensor)
        assert name_of(got.dtype) == name_of(expected.dtype)
        assert got.shape == expected.shape
        _identical(got.numpy(), np.asarray(expected))
    else:
        assert type(got) is type(expected)
        assert got == expected


def _identical(got, expected):
    np.testing.assert_array_equal(got, expected)
    for part in {"c": ("real", "imag"), "f": ("real",)}.get(expected.dtype.kind, ()):
        g, e = getattr(got, part), getattr(expected, part)
        np.testing.assert_array_equal(np.signbit(g) & (e == 0), np.signbit(e) & (e == 0), err_msg="signs of zeros")
