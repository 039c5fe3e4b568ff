"""Activation functions and their derivatives: PyTorch's names, arguments, defaults and semantics.

Stable for any finite input: exponentials only see arguments ≤ 0, so nothing overflows, and tails keep their relative
accuracy. Where a function has a kink, its derivative there is PyTorch's. `tanh` is a function of the namespace.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..array.elementwise import chosen, unbroadcast
from ..array.sums import total
from ..tape.autograd import primitive

__all__ = [
    "celu",
    "elu",
    "erf",
    "gelu",
    "glu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "heaviside",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swiglu",
    "threshold",
]

# Klambauer et al., "Self-Normalizing Neural Networks" (2017): the fixed point of mean 0 and variance 1
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946

# Hendrycks & Gimpel, "Gaussian Error Linear Units" (2016): Φ(x) ≈ ½ (1 + tanh(x (c₀ + c₁ x²)))
GELU_TANH = (math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715)

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), with the digits of his
# SPECFUN, highest power first: erf x = x P(x²)/Q(x²) to 0.46875, and erfc x = e^(-x²) P(x)/Q(x) from there on.
ERF = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
ERFC = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip


# --- piecewise linear -------------------------------------------------------------------------------------------------
@primitive
def relu(xp: Any, x: Any, /) -> Any:
    """max(x, 0); the derivative at 0 is 0, and at NaN 1, as in PyTorch.

    >>> weft.backend.nn.activation.relu(weft.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    y = xp.maximum(x, 0)
    return y, (lambda g: chosen(xp, y != 0, g),)


@primitive
def leaky_relu(xp: Any, x: Any, /, *, negative_slope: float = 0.01) -> Any:
    """x where x > 0, `negative_slope` · x elsewhere."""
    positive = x > 0
    return xp.where(positive, x, negative_slope * x), (lambda g: xp.where(positive, g, negative_slope * g),)


@primitive(precision="low")
def prelu(xp: Any, x: Any, weight: Any, /) -> Any:
    """x where x > 0, w · x elsewhere, with a learned w of shape (1,), or (C,) for the channels, axis 1 of (N, C, …).

    He et al., "Delving Deep into Rectifiers" (2015).
    """
    shape = (1,) * min(x.ndim, 1) + weight.shape + (1,) * (x.ndim - 2) if weight.shape[0] > 1 else (1,) * x.ndim
    w, positive = xp.reshape(weight, shape), x > 0

    def grad_weight(g: Any) -> Any:
        return xp.reshape(unbroadcast(xp, g * xp.minimum(x, 0), w), weight.shape)

    return xp.where(positive, x, w * x), (lambda g: xp.where(positive, g, w * g), grad_weight)


@primitive
def hardtanh(xp: Any, x: Any, /, *, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x limited to [min_val, max_val]; the derivative at both ends is 0, and at NaN 1."""
    return xp.clip(x, min_val, max_val), (lambda g: chosen(xp, ~((x <= min_val) | (x >= max_val)), g),)


@primitive
def relu6(xp: Any, x: Any, /) -> Any:
    """min(max(x, 0), 6); the derivative at 0 and 6 is 0."""
    return hardtanh.generic(xp, x, min_val=0.0, max_val=6.0)


@primitive
def threshold(xp: Any, x: Any, /, *, threshold: float, value: float) -> Any:
    """`value` where x ≤ threshold, x elsewhere: a NaN stays."""
    kept = ~(x <= threshold)
    return xp.where(kept, x, xp.full_like(x, value)), (lambda g: chosen(xp, kept, g),)


@primitive
def heaviside(xp: Any, x: Any, /, *, value: float = 1.0) -> Any:
    """The step: 0 where x < 0, 1 where x > 0, `value` at 0 (which has no default in PyTorch). The gradient is 0."""
    y = xp.astype(x > 0, x.dtype) + value * xp.astype(x == 0, x.dtype)
    return y, (lambda g: xp.zeros_like(g),)


@primitive
def hardsigmoid(xp: Any, x: Any, /) -> Any:
    """min(max(x + 3, 0), 6) / 6."""
    return xp.clip(x + 3, 0, 6) / 6, (lambda g: chosen(xp, (x > -3) & (x < 3), g / 6),)


@primitive
def hardswish(xp: Any, x: Any, /) -> Any:
    """x · hardsigmoid(x)."""

    def grad_x(g: Any) -> Any:
        slope = xp.where(xp.abs(x) < 3, x / 3 + 0.5, xp.astype(~(x <= 0), g.dtype))  # at NaN 1, as in PyTorch
        return chosen(xp, slope != 0, g) * slope

    return x * xp.clip(x + 3, 0, 6) / 6, (grad_x,)


# --- exponential ------------------------------------------------------------------------------------------------------
def _elu(xp: Any, x: Any, alpha: float, scale: float = 1.0, rate: float = 1.0) -> Any:
    """scale · (x where x > 0, α (e^(rate·x) − 1) elsewhere)."""
    negative, a = xp.minimum(x, 0) * rate, scale * alpha * rate

    def grad_x(g: Any) -> Any:
        slope = a * xp.exp(negative) + (scale - a) * xp.astype(x > 0, g.dtype)  # exp(negative) is 1 where x > 0
        if xp is np and not np.isnan(np.min(slope, initial=0)):  # a choice by `where` is slow on a CPU
            return g * slope
        return g * xp.where(xp.isnan(x), xp.full_like(x, scale), slope)  # as in PyTorch

    return scale * xp.maximum(x, 0) + (scale * alpha) * xp.expm1(negative), (grad_x,)


@primitive
def elu(xp: Any, x: Any, /, *, alpha: float = 1.0) -> Any:
    """x where x > 0, α (eˣ − 1) elsewhere. Clevert et al. (2016)."""
    return _elu(xp, x, alpha)


@primitive
def selu(xp: Any, x: Any, /) -> Any:
    """λ (x where x > 0, α (eˣ − 1) elsewhere), with the α and λ of Klambauer et al. (2017)."""
    return _elu(xp, x, SELU_ALPHA, SELU_SCALE)


@primitive
def celu(xp: Any, x: Any, /, *, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(0, α (e^(x/α) − 1)), differentiable at 0 for every α. Barron (2017)."""
    return _elu(xp, x, alpha, 1.0, 1 / alpha)


def _sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + e⁻ˣ) as e^min(x, 0) / (1 + e^-|x|): nothing overflows, both tails are accurate, 0 is no special case."""
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))


def _softplus(xp: Any, x: Any) -> Any:
    """ln(1 + eˣ)."""
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


@primitive
def sigmoid(xp: Any, x: Any, /) -> Any:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    s = _sigmoid(xp, x)
    return s, (lambda g: g * (s * (1 - s)),)


@primitive(precision="full")
def log_sigmoid(xp: Any, x: Any, /) -> Any:
    """ln σ(x) = −ln(1 + e⁻ˣ)."""
    return -_softplus(xp, -x), (lambda g: g * _sigmoid(xp, -x),)


@primitive(precision="full")
def softplus(xp: Any, x: Any, /, *, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """ln(1 + e^(βx)) / β, and x itself where βx > threshold, as in PyTorch."""
    linear = beta * x > threshold

    def grad_x(g: Any) -> Any:
        return xp.where(linear, g, g * _sigmoid(xp, beta * x))

    return xp.where(linear, x, _softplus(xp, beta * x) / beta), (grad_x,)


@primitive
def softsign(xp: Any, x: Any, /) -> Any:
    """x / (1 + |x|)."""
    r = 1 / (1 + xp.abs(x))
    return x * r, (lambda g: g * (r * r),)


@primitive
def silu(xp: Any, x: Any, /) -> Any:
    """x σ(x), also called Swish. Elfwing et al. (2017), Ramachandran et al. (2017)."""
    s = _sigmoid(xp, x)
    return x * s, (lambda g: g * (s * (1 + x * (1 - s))),)


@primitive
def mish(xp: Any, x: Any, /) -> Any:
    """x tanh(softplus(x)). Misra (2019)."""
    t = xp.tanh(_softplus(xp, x))
    return x * t, (lambda g: g * (t + x * _sigmoid(xp, x) * (1 - t * t)),)


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """c₀ xⁿ + c₁ xⁿ⁻¹ + … + cₙ, by Horner's rule."""
    first, second, *rest = coefficients
    y = first * x + second
    for c in rest:
        y = y * x + c
    return y


def _erf(xp: Any, x: Any) -> Any:
    """Cody's two nearer intervals: his third, x > 4, only matters to the relative accuracy of erfc."""
    small = xp.clip(x, -0.5, 0.5)
    square = small * small
    inner = small * (polynomial(ERF[0], square) / polynomial(ERF[1], square))
    large = xp.clip(xp.abs(x), 0.25, 6.0)  # from 6 on, erf x = 1
    erfc = xp.exp(-large * large) * (polynomial(ERFC[0], large) / polynomial(ERFC[1], large))
    return xp.where(xp.abs(x) <= 0.46875, inner, xp.sign(x) * (1 - erfc))


@primitive
def erf(xp: Any, x: Any, /) -> Any:
    """2/√π ∫₀ˣ e^(-t²) dt, to a rounding error or two of the dtype (W. J. Cody, 1969)."""
    return _erf(xp, x), (lambda g: g * (2 / math.sqrt(math.pi)) * xp.exp(-x * x),)


@primitive
def gelu(xp: Any, x: Any, /, *, approximate: str = "none") -> Any:
    """x Φ(x) with the normal distribution's Φ(x) = ½ (1 + erf(x/√2)). Hendrycks & Gimpel (2016).

    With `approximate="tanh"`, Φ(x) ≈ ½ (1 + tanh(√(2/π) (x + 0.044715 x³))).
    """
    if approximate == "tanh":
        c0, c1 = GELU_TANH
        square = x * x
        t = xp.tanh(x * (c0 + c1 * square))
        return 0.5 * x * (1 + t), (lambda g: g * (0.5 * (1 + t + x * (1 - t * t) * (c0 + 3 * c1 * square))),)
    Φ = 0.5 + 0.5 * _erf(xp, x * math.sqrt(0.5))
    return x * Φ, (lambda g: g * (Φ + x * xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)),)


# --- along an axis ----------------------------------------------------------------------------------------------------
@primitive(precision="full")
def softmax(xp: Any, x: Any, /, *, axis: int = -1) -> Any:
    """yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ) along `axis`; dx = y (g − Σ g y).

    >>> weft.backend.nn.activation.softmax(weft.tensor([0.0, 0.0, 1e4]))
    tensor([0., 0., 1.])
    """
    if not x.shape[axis]:
        return x, (lambda g: g,)
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))  # so that nothing overflows
    y = e / total(xp, e, axis, keepdims=True)
    return y, (lambda g: y * (g - total(xp, g * y, axis, keepdims=True)),)


@primitive(precision="full")
def log_softmax(xp: Any, x: Any, /, *, axis: int = -1) -> Any:
    """yᵢ = xᵢ − ln Σⱼ exp(xⱼ) along `axis`; dx = g − exp(y) Σ g."""
    if not x.shape[axis]:
        return x, (lambda g: g,)
    z = x - xp.max(x, axis=axis, keepdims=True)
    y = z - xp.log(total(xp, xp.exp(z), axis, keepdims=True))
    return y, (lambda g: g - xp.exp(y) * total(xp, g, axis, keepdims=True),)


@primitive
def glu(xp: Any, x: Any, /, *, axis: int = -1) -> Any:
    """a σ(b), where a and b are the halves of x along `axis`. Dauphin et al. (2017)."""
    n = x.shape[axis] // 2
    before = (slice(None),) * (axis % x.ndim)
    a, s = x[(*before, slice(None, n), ...)], _sigmoid(xp, x[(*before, slice(n, None), ...)])
    return a * s, (lambda g: xp.concat([g * s, g * a * s * (1 - s)], axis=axis),)


@primitive
def swiglu(xp: Any, x: Any, gate: Any, /) -> Any:
    """x · silu(gate): with x = uW and gate = uV, the unit of Shazeer, "GLU Variants Improve Transformer" (2020)."""
    s = _sigmoid(xp, gate)
    return x * (gate * s), (lambda g: g * (gate * s), lambda g: g * x * (s * (1 + gate * (1 - s))))
