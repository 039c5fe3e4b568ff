"""Elementwise functions of the array API, each beside its derivative.

`unary(name, meaning, x=d)` gives dy/dx as `d(xp, x)`, and `y=d` as `d(xp, y)`: the tape then keeps no more than that.
`binary(name, meaning, d1, d2)` gives dy/dx₁ and dy/dx₂ as `d(xp, x1, x2, y)`. A derivative that is a number is the same
everywhere. What `primitive` takes besides goes there. `documentation.py` has an
example of each.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import dtypes
from ..device.devices import namespace_of
from ..device.options import integer
from ..tape.autograd import Primitive, primitive
from ..tape.tensor import Operand, Tensor
from .documentation import ONE, TWO, document, publish
from .spellings import published, spelled
from .sums import is_half, total

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]

INEXACT = (float, complex)
SLOPES = {0: lambda g: namespace_of(g).zeros_like(g), 1: lambda g: g, -1: operator.neg}  # times a constant derivative


def chosen(xp: Any, where: Any, g: Any) -> Any:
    """A gradient where the condition holds, 0 elsewhere, where it may be infinite: 0 · ∞ would be NaN."""
    return xp.where(where, g, xp.zeros_like(g))


def unbroadcast(xp: Any, g: Any, like: Any) -> Any:
    """Sum a gradient over the axes along which `like` was broadcast, and give it the dtype of `like`.

    A gradient of complex z is ∂L/∂Re z − i ∂L/∂Im z: so every holomorphic function has its usual slope, without a conjugate,
    and the gradient of a real number that became complex is the real part.
    """
    if g.shape != like.shape:
        lead = g.ndim - like.ndim
        axes = tuple(range(lead)) + tuple(
            lead + i for i, n in enumerate(like.shape) if n == 1 and g.shape[lead + i] != 1
        )
        g = xp.reshape(total(xp, g, axes, dtype=like.dtype if is_half(g.dtype) else None), like.shape)
    return g if g.dtype == like.dtype else xp.astype(real_if(xp, g, like), like.dtype)


def real_if(xp: Any, g: Any, like: Any) -> Any:
    """The gradient g of `like`, without an imaginary part if that has none."""
    return xp.real(g) if is_complex(g) and not is_complex(like) else g


def is_complex(x: Any) -> bool:
    """Whether an array is of a complex dtype."""
    return dtypes._kind(x.dtype) == "c"


def conjugate(xp: Any, x: Any) -> Any:
    """conj(x) of complex x, x itself of any other."""
    return xp.conj(x) if is_complex(x) else x


def _floats(xp: Any, x: Any) -> Any:
    """Integers become the default dtype where the function leaves them (the standard leaves this open)."""
    return xp.astype(x, dtypes.native(xp, dtypes.get_default_dtype())) if dtypes.is_integral(x.dtype) else x


def _operands(xp: Any, x1: Any, x2: Any) -> Any:
    """The same for two operands: 0.5 · integers is float32, where NumPy's promotion gives float64."""
    return [x if isinstance(x, int | float | complex) else _floats(xp, x) for x in (x1, x2)]


def floats_win(xp: Any, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Integers beside floats take their dtype, as in PyTorch (the array API leaves it open): NumPy's float64 for float32 and
    int64 would turn a training step to double precision without a word."""
    d1, d2 = getattr(x1, "dtype", None), getattr(x2, "dtype", None)
    if d1 is None or d2 is None or d1 == d2:
        return x1, x2
    if dtypes.is_integral(d1) and not dtypes.is_integral(d2):
        return xp.astype(x1, d2), x2
    if dtypes.is_integral(d2) and not dtypes.is_integral(d1):
        return x1, xp.astype(x2, d1)
    return x1, x2


def promotable(xp: Any, *arrays: Any) -> list[Any]:
    """float16 and bfloat16, which NumPy has no common dtype for, in float32."""
    if len({a.dtype for a in arrays if hasattr(a, "dtype") and is_half(a.dtype)}) < 2:
        return list(arrays)
    return widened(xp, *arrays)


def widened(xp: Any, *arrays: Any) -> list[Any]:
    """Half precision in float32: NumPy's sort leaves bfloat16 with NaN as it was."""
    return [xp.astype(a, xp.float32) if hasattr(a, "dtype") and is_half(a.dtype) else a for a in arrays]


def unary(
    name: str,
    meaning: str,
    slope: int = 0,
    *,
    x: Callable | None = None,
    y: Callable | None = None,
    floating: bool = True,
    **policy: Any,
) -> Primitive[[Operand], Tensor]:
    from_x, from_y = x, y

    # `multiply`, as NumPy's operator may write g * slope over the slope, and leave it in the memory order of that
    def function(xp: Any, x: Any, /) -> Any:
        if floating and dtypes.is_integral(x.dtype):
            x = _floats(xp, x)
        y = getattr(xp, name)(x)
        if from_x is not None:
            return y, (lambda g: xp.multiply(g, from_x(xp, x)),)
        if from_y is not None:
            return y, (lambda g: xp.multiply(g, from_y(xp, y)),)
        return y, (SLOPES[slope],)

    return publish(function, name, document(name, meaning, "floating" if floating else "numeric", ONE), **policy)


def _share(xp: Any, mine: Any, other: Any, y: Any) -> Any:
    """1 where y came from `mine`, ½ where both are equal (as PyTorch shares it)."""
    mine, other = (v if hasattr(v, "shape") else xp.full_like(y, v) for v in (mine, other))
    return xp.astype(mine == y, y.dtype) / (1 + xp.astype(mine == other, y.dtype))


def _first(xp: Any, a: Any, b: Any, y: Any) -> Any:
    return _share(xp, a, b, y)


def _second(xp: Any, a: Any, b: Any, y: Any) -> Any:
    return _share(xp, b, a, y)


CHOICES = (_first, _second)  # the slopes of what takes one of its arguments


def _pullback(xp: Any, d: Callable, a: Any, b: Any, y: Any, like: Any) -> Callable:
    if d in CHOICES:

        def choose(g: Any) -> Any:
            slope = d(xp, a, b, y)
            return unbroadcast(xp, chosen(xp, slope != 0, g) * slope, like)

        return choose
    return lambda g: unbroadcast(xp, xp.multiply(g, d(xp, a, b, y)), like)


def binary(
    name: str, meaning: str, d1: Any, d2: Any, *, floating: bool = False, **policy: Any
) -> Primitive[[Operand, Operand], Tensor]:
    constant = (SLOPES[d1], SLOPES[d2]) if d1 in SLOPES and d2 in SLOPES else None
    d1, d2 = (d if callable(d) else (lambda xp, _a, _b, _y, d=d: d) for d in (d1, d2))
    (a1, b1, y1), (a2, b2, y2) = (
        [not name.startswith("_") for name in d.__code__.co_varnames[1:4]] for d in (d1, d2)
    )  # what each reads

    def function(xp: Any, x1: Any, x2: Any, /) -> Any:
        if floating or type(x1) in INEXACT or type(x2) in INEXACT:
            x1, x2 = _operands(xp, x1, x2)
        x1, x2 = floats_win(xp, x1, x2)
        y = getattr(xp, name)(x1, x2)
        if constant is None:
            return y, (
                _pullback(xp, d1, x1 if a1 else None, x2 if b1 else None, y if y1 else None, x1),
                _pullback(xp, d2, x1 if a2 else None, x2 if b2 else None, y if y2 else None, x2),
            )
        shape1, shape2 = getattr(x1, "shape", None), getattr(x2, "shape", None)
        if shape1 is None or shape2 is None or (shape1 == shape2 and x1.dtype == x2.dtype):
            return y, constant  # nothing is broadcast or promoted: keep neither operands nor result
        like1, like2 = x1, x2
        return y, (lambda g: unbroadcast(xp, constant[0](g), like1), lambda g: unbroadcast(xp, constant[1](g), like2))

    return publish(function, name, document(name, meaning, "floating" if floating else "numeric", TWO), **policy)


def _to_decimals(f: Any, x: Any, /, *, decimals: int) -> Any:
    """PyTorch's and NumPy's `round(x, decimals=2)`."""
    integer("decimals", decimals)
    if not decimals or (decimals > 0 and dtypes.is_integral(x.dtype)):
        return f(x)
    scale = 10.0 ** builtins.abs(decimals)
    if decimals > 0:
        return f(x * scale) / scale
    rounded = f(x / scale) * scale
    return rounded if rounded.dtype == x.dtype else namespace_of(rounded).astype(rounded, x.dtype)


def unary_test(name: str, meaning: str) -> Primitive[[Operand], Tensor]:
    """A function of one argument without a derivative."""

    def function(xp: Any, x: Any, /) -> Any:
        return getattr(xp, name)(x), None

    return publish(function, name, document(name, meaning, "test", ONE))


def binary_test(name: str, meaning: str) -> Primitive[[Operand, Operand], Tensor]:
    """A function of two arguments without a derivative: comparisons, logic, bits."""

    def function(xp: Any, x1: Any, x2: Any, /) -> Any:
        return getattr(xp, name)(x1, x2), None

    return publish(function, name, document(name, meaning, "test", TWO))


# --- one argument -----------------------------------------------------------------------------------------------------
exp = unary("exp", "Exponential eˣ", y=lambda xp, y: y, precision="full")
expm1 = unary("expm1", "Exponential less one, eˣ − 1", y=lambda xp, y: y + 1, precision="full")
log = unary("log", "Natural logarithm ln x", x=lambda xp, x: 1 / x, precision="full")
log1p = unary("log1p", "Logarithm ln(1 + x)", x=lambda xp, x: 1 / (1 + x), precision="full")
log2 = unary("log2", "Binary logarithm log₂ x", x=lambda xp, x: 1 / (x * math.log(2)), precision="full")
log10 = unary("log10", "Common logarithm log₁₀ x", x=lambda xp, x: 1 / (x * math.log(10)), precision="full")
sqrt = unary("sqrt", "Square root √x", y=lambda xp, y: 0.5 / y)
square = unary("square", "Square x²", x=lambda xp, x: 2 * x, floating=False)
reciprocal = unary("reciprocal", "Reciprocal 1/x", y=lambda xp, y: -y * y, precision="full")
negative = unary("negative", "Negative −x", -1, floating=False, rounds_once=True)
positive = unary("positive", "Itself, +x", 1, floating=False)


def _beside_one(xp: Any, x: Any) -> Any:
    """√(1 + x²), without overflow where x is real."""
    return xp.sqrt(1 + x * x) if is_complex(x) else xp.hypot(xp.ones_like(x), x)


abs = unary("abs", "Absolute value |x|", x=lambda xp, x: conjugate(xp, xp.sign(x)), floating=False)

sin = unary("sin", "Sine of x in radians", x=lambda xp, x: xp.cos(x))
cos = unary("cos", "Cosine of x in radians", x=lambda xp, x: -xp.sin(x))
tan = unary("tan", "Tangent of x in radians", y=lambda xp, y: 1 + y * y, precision="full")
asin = unary("asin", "Arcsine of x", x=lambda xp, x: 1 / xp.sqrt((1 - x) * (1 + x)), precision="full")
acos = unary("acos", "Arccosine of x", x=lambda xp, x: -1 / xp.sqrt((1 - x) * (1 + x)), precision="full")
atan = unary("atan", "Arctangent of x", x=lambda xp, x: 1 / (1 + x * x))
sinh = unary("sinh", "Hyperbolic sine of x", x=lambda xp, x: xp.cosh(x), precision="full")
cosh = unary("cosh", "Hyperbolic cosine of x", x=lambda xp, x: xp.sinh(x), precision="full")
tanh = unary("tanh", "Hyperbolic tangent of x", y=lambda xp, y: 1 - y * y)
asinh = unary("asinh", "Inverse of sinh", x=lambda xp, x: 1 / _beside_one(xp, x))
acosh = unary("acosh", "Inverse of cosh", x=lambda xp, x: 1 / (xp.sqrt(x - 1) * xp.sqrt(x + 1)))
atanh = unary("atanh", "Inverse of tanh", x=lambda xp, x: 1 / ((1 - x) * (1 + x)))

floor = unary("floor", "The greatest integer ≤ x", 0, floating=False)
ceil = unary("ceil", "The least integer ≥ x", 0, floating=False)
trunc = unary("trunc", "Integer part of x", 0, floating=False)
round = spelled({"decimals": "decimals"}, _to_decimals)(
    unary("round", "The nearest integer, halves to even", 0, floating=False)
)


@primitive
def sign(xp: Any, x: Any, /) -> Any:
    """−1, 0 or 1 (z/|z| of a complex z), elementwise.

    Parameters
    ----------
    x : Tensor
        Of a numeric dtype.

    Returns
    -------
    Tensor
        Of the shape and dtype of x; 0 for −0, NaN for NaN. The gradient of real numbers is 0.

    Examples
    --------
    >>> weft.sign(weft.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    y = xp.sign(x) + 0  # NumPy says −0 for −0, the standard 0
    if not is_complex(x):
        return y, (SLOPES[0],)

    def grad_x(g: Any) -> Any:  # of x/|x|, whose length does not change
        size = xp.abs(x)
        slope = (g - xp.real(g * y) * xp.conj(y)) / xp.where(size == 0, xp.ones_like(size), size)
        return xp.where(size == 0, xp.zeros_like(slope), slope)

    return y, (grad_x,)


def _part(name: str, meaning: str, slope: Callable, **policy: Any) -> Primitive[[Operand], Tensor]:
    """What a complex number has: `slope(xp, g)` is the gradient, that of a real one is 0 for `imag`, g for the others."""

    def function(xp: Any, x: Any, /) -> Any:
        y = getattr(xp, name)(x) if x.dtype != xp.bool else xp.asarray(x, copy=True)  # NumPy's conj makes int8 of it
        if is_complex(x):
            return y, (lambda g: slope(xp, xp.astype(g, x.dtype)),)
        return y, (SLOPES[name != "imag"],)

    return publish(function, name, document(name, meaning, "numeric", ONE), **policy)


conj = _part("conj", "The complex conjugate", lambda xp, g: xp.conj(g))
real = _part("real", "The real part", lambda xp, g: g, moves=True)
imag = _part("imag", "The imaginary part", lambda xp, g: g * -1j, moves=True)

isfinite = unary_test("isfinite", "Whether x is neither infinite nor NaN")
isinf = unary_test("isinf", "Whether x is infinite")
isnan = unary_test("isnan", "Whether x is not a number")
signbit = unary_test("signbit", "Whether the sign bit is set")
logical_not = unary_test("logical_not", "Whether x is false (or 0)")
bitwise_invert = unary_test("bitwise_invert", "Every bit of x flipped")


def _divisor(xp: Any, x: Any) -> Any:
    """x, but 1 where it is 0: what it divides is 0 there as well, and so shall the quotient be."""
    return xp.where(x == 0, xp.ones_like(x), x)


# --- two arguments ----------------------------------------------------------------------------------------------------
add = binary("add", "Sum x₁ + x₂", 1, 1, rounds_once=True)
subtract = binary("subtract", "Difference x₁ − x₂", 1, -1, rounds_once=True)
multiply = binary("multiply", "Product x₁ x₂", lambda xp, _a, b, _y: b, lambda xp, a, _b, _y: a, rounds_once=True)


def _reciprocal_of(b: Any) -> Any:
    """1/b, of an array or a Python number, which would raise for 0."""
    return 1 / b if hasattr(b, "dtype") or b else math.copysign(math.inf, b.real)


divide = binary(
    "divide",
    "Quotient x₁ / x₂",
    lambda xp, _a, b, _y: _reciprocal_of(b),
    lambda xp, a, b, _y: -(a / b) / b,
    floating=True,
)
floor_divide = binary("floor_divide", "Quotient rounded down, ⌊x₁ / x₂⌋", 0, 0)
remainder = binary("remainder", "Remainder x₁ − x₂ ⌊x₁/x₂⌋", 1, lambda xp, a, b, _y: -xp.floor_divide(a, b))
atan2 = binary(
    "atan2",
    "The angle of the point (x₂, x₁), whose gradient at the origin is 0",
    lambda xp, a, b, _y: b / (r := _divisor(xp, xp.hypot(a, b))) / r,
    lambda xp, a, b, _y: -a / (r := _divisor(xp, xp.hypot(a, b))) / r,
    floating=True,
)
hypot = binary(
    "hypot",
    "Hypotenuse √(x₁² + x₂²), whose gradient at the origin is 0, as a norm's (in PyTorch it is NaN)",
    lambda xp, a, _b, y: a / _divisor(xp, y),
    lambda xp, _a, b, y: b / _divisor(xp, y),
    floating=True,
)
logaddexp = binary(
    "logaddexp",
    "Logarithm of a sum, ln(exp x₁ + exp x₂)",
    lambda xp, a, _b, y: xp.exp(a - y),
    lambda xp, _a, b, y: xp.exp(b - y),
    floating=True,
    precision="full",
)
copysign = binary(
    "copysign", "Magnitude |x₁| with the sign of x₂", lambda xp, a, _b, y: xp.sign(a) * xp.sign(y), 0, floating=True
)


maximum = binary("maximum", "The larger of x₁ and x₂", *CHOICES)
minimum = binary("minimum", "The smaller of x₁ and x₂", *CHOICES)


@primitive(precision="full")
def pow(xp: Any, x1: Any, x2: Any, /) -> Any:
    """Power x₁^x₂, elementwise.

    Parameters
    ----------
    x1 : Tensor or number
        The base.
    x2 : Tensor or number
        The exponent, broadcast against x1; a number takes the other's dtype, if it can.

    Returns
    -------
    Tensor
        Of the shape that they broadcast to and the dtype that they promote to.

    Raises
    ------
    ValueError
        If integers are raised to a negative integer (on a CPU): that is no integer.

    Notes
    -----
    grad_x₁ = g x₂ x₁^(x₂−1), and grad_x₂ = g y ln x₁, which is 0 where x₁ < 0; where x₁ = 0, it is −∞ g for x₂ < 0, else 0.

    Examples
    --------
    >>> weft.pow(weft.tensor([2.0, 3.0]), 2)
    tensor([4., 9.])
    """
    if type(x1) in INEXACT or type(x2) in INEXACT:
        x1, x2 = _operands(xp, x1, x2)
    x1, x2 = floats_win(xp, x1, x2)
    y = xp.pow(x1, x2)
    if not hasattr(x2, "shape"):  # x₂ = 0 would give 0·x₁⁻¹, which is NaN at x₁ = 0
        return y, (lambda g: unbroadcast(xp, g * (x2 * x1 ** (x2 - 1)) if x2 else xp.zeros_like(g), x1), None)

    def grad_x1(g: Any) -> Any:
        slope = xp.where(x2 == 0, xp.zeros_like(y), x2 * xp.pow(x1, xp.where(x2 == 0, xp.ones_like(x2), x2 - 1)))
        return unbroadcast(xp, g * slope, x1)

    def grad_x2(g: Any) -> Any:
        base = x1 if hasattr(x1, "shape") else xp.full_like(x2, x1)
        log = xp.log(xp.where(base > 0, base, xp.ones_like(base)))
        log = xp.where((base == 0) & (x2 < 0), xp.full_like(log, -math.inf), log)
        return unbroadcast(xp, g * (y * log), x2)

    return y, (grad_x1, grad_x2)


def _clip(xp: Any, x: Any, min: Any, max: Any) -> Any:
    """The bounds take no part in promotion: another dtype of the same kind is compared exactly, then converted."""
    others = [b.dtype for b in (min, max) if hasattr(b, "dtype") and b.dtype != x.dtype]
    if not any(dtypes._kind(d) == dtypes._kind(x.dtype) for d in others):
        return xp.clip(x, min, max)
    for bound, beyond in (min, operator.lt), (max, operator.gt):
        if bound is not None:
            bound = bound if hasattr(bound, "dtype") else xp.full_like(x, bound)
            x = xp.where(beyond(x, bound) | xp.isnan(bound), xp.astype(bound, x.dtype), x)
    return x


def _by_position(f: Any) -> Any:
    """Hand the bounds on by position: what is given to a primitive by name is no Tensor."""

    @functools.wraps(f)
    def call(x: Any, /, min: Any = None, max: Any = None) -> Any:
        return f(x, min, max)

    return published(f, call)


@_by_position
@primitive
def clip(xp: Any, x: Any, /, min: Operand | None = None, max: Operand | None = None) -> Any:
    """Limit to an interval: x, but at least `min` and at most `max`, elementwise.

    Parameters
    ----------
    x : Tensor
        Of a real dtype.
    min, max : Tensor or number, optional
        The bounds, which broadcast against x; None is no bound. They take no part in promotion.

    Returns
    -------
    Tensor
        In the dtype of x; integers with a bound that is a float become the default dtype.

    Notes
    -----
    The gradient passes to x where it is inside, edges included, and to a bound where x is beyond it; where `min` is above `max`,
    the result is `max`, and so is what gets the gradient.

    Examples
    --------
    >>> weft.clip(weft.tensor([-2.0, 0.5, 2.0]), 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    if type(min) in INEXACT or type(max) in INEXACT:
        x = _floats(xp, x)
    for bound in min, max:
        x = floats_win(xp, x, bound)[0]
    min, max = (floats_win(xp, x, bound)[1] for bound in (min, max))
    y = _clip(xp, x, min, max)

    def grad_x(g: Any) -> Any:
        inside = xp.ones_like(g, dtype=xp.bool)
        if min is not None:
            inside = inside & (x >= min)
        if max is not None:
            inside = inside & (x <= max)
        return unbroadcast(xp, chosen(xp, inside, g), x)

    low: Any = min
    high: Any = max

    def grad_min(g: Any) -> Any:
        return unbroadcast(xp, chosen(xp, x < low if high is None else (x < low) & (low < high), g), low)

    def grad_max(g: Any) -> Any:
        return unbroadcast(xp, chosen(xp, x > high if low is None else (x > high) | (high < low), g), high)

    return y, (grad_x, grad_min, grad_max)


def _place(xp: Any, x: Any) -> Any:
    """How many numbers of its half precision lie between x and 0, signed: its bits."""
    bits = xp.astype(x.view(np.int16), xp.int32)
    return xp.where(bits < 0, -(bits & 0x7FFF), bits)


def _next_half(xp: Any, x1: Any, x2: Any) -> Any:
    p1, p2 = _place(xp, x1), _place(xp, x2)
    place = p1 + xp.astype(p2 > p1, xp.int32) - xp.astype(p2 < p1, xp.int32)
    y = xp.astype(xp.where(place < 0, -place - 0x8000, place), xp.int16).view(x1.dtype)
    return xp.where(xp.isnan(x1) | xp.isnan(x2), x1 + x2, xp.where(p1 == p2, x2, y))


def _nextafter(xp: Any, x1: Any, x2: Any, /) -> Any:
    x1, x2 = floats_win(xp, x1, x2)
    like = x1 if hasattr(x1, "dtype") else x2
    is_apart, like1, like2 = x1 != x2, x1, x2
    pullbacks = (
        lambda g: unbroadcast(xp, xp.where(is_apart, g, xp.zeros_like(g)), like1),
        lambda g: unbroadcast(xp, xp.zeros_like(g), like2),
    )
    if not is_half(like.dtype):
        return xp.nextafter(x1, x2), pullbacks
    x1, x2 = (x if hasattr(x, "dtype") else xp.full_like(like, x) for x in (x1, x2))
    if x1.dtype != x2.dtype:
        return xp.nextafter(*widened(xp, x1, x2)), pullbacks
    x1, x2 = xp.broadcast_arrays(x1, x2)
    return _next_half(xp, x1, x2), pullbacks


nextafter = publish(
    _nextafter, "nextafter", document("nextafter", "The next number from x₁ towards x₂", "test", TWO), moves=True
)
equal = binary_test("equal", "Whether x₁ = x₂")
not_equal = binary_test("not_equal", "Whether x₁ ≠ x₂")
less = binary_test("less", "Whether x₁ < x₂")
less_equal = binary_test("less_equal", "Whether x₁ ≤ x₂")
greater = binary_test("greater", "Whether x₁ > x₂")
greater_equal = binary_test("greater_equal", "Whether x₁ ≥ x₂")
logical_and = binary_test("logical_and", "Whether both x₁ and x₂ are true")
logical_or = binary_test("logical_or", "Whether x₁ or x₂ is true, or both")
logical_xor = binary_test("logical_xor", "Whether exactly one of x₁ and x₂ is true")
bitwise_and = binary_test("bitwise_and", "Bits set in both")
bitwise_or = binary_test("bitwise_or", "Bits set in either")
bitwise_xor = binary_test("bitwise_xor", "Bits set in exactly one")
bitwise_left_shift = binary_test("bitwise_left_shift", "Bits of x₁ shifted left by x₂")
bitwise_right_shift = binary_test("bitwise_right_shift", "Bits of x₁ shifted right by x₂")
