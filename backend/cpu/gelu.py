"""GELU on NumPy: the normal distribution as 1/(1 + e^−2u), whose exponent is a fraction of few terms.

In cache NumPy divides as fast as it multiplies, while `exp` costs as much as ten products and `tanh` as twenty (with AVX-512
`exp2` as two, `tanh` as three). So what counts is the number of calls: constants are scaled such that none is only for them.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..nn import activation as primitives
from ..nn.activation import GELU_TANH
from ..tape.autograd import is_grad_enabled
from ..tape.recording import as_one
from .blocks import CPU_FLOATS, UNIT, blockwise, power, product

# Φ(x) = 1/(1 + e^(x k)), k = n + b₂ + a₂/(n + b₁ + a₁/(n + b₀)), n = −α x²: a minimax fit, weighted by what its error does
# to Φ. That is at most 5.4e-8 (float32 rounds Φ at 6e-8), also beyond |x| = 7, where the fit ends and xk goes on growing.
ALPHA = 0.03627598593848992
FIRST = -1.6436734004030944  # b₀
STEPS = ((1.8192557635304203, 0.8558179087581372), (-0.19349015224346872, -2.3666314805396587))  # a₁, b₁; a₂, b₂

FAR, FAR_TANH = (
    12.5,
    9.5,
)  # |x| up to which the powers are within 2^±126; beyond, `power` may take seventy times the time


@primitives.gelu.on("cpu")
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    tanh = approximate == "tanh"
    if x.dtype not in CPU_FLOATS or (not tanh and x.dtype != np.float32):
        return NotImplemented
    numbers = _numbers(x.dtype)
    exponent, slope_of = (_exponent_tanh, _slope_tanh) if tanh else (_exponent, _slope)
    far, factor = (numbers["far, tanh"], None) if tanh else (numbers["far"], numbers["-1/2d²"])

    def forward(x: Any, y: Any, n: Any, k: Any) -> None:
        exponent(numbers, x, y, n, k)
        _powers(n, k, None, far=far, out=(k,))
        np.add(k, numbers["1"], k)
        np.divide(x, k, y)

    def both(x: Any, y: Any, slope: Any, n: Any) -> None:
        exponent(numbers, x, y, n, slope)
        _powers(n, slope, factor, far=far, out=(slope,) if tanh else (slope, n))
        np.add(slope, numbers["1"], slope)
        slope_of(numbers, x, y, n, slope)

    with np.errstate(over="ignore"):  # far out powers are infinite, and 1/(1 + ∞) = 0 is right
        if not is_grad_enabled():
            return blockwise(forward, 1, x, scratch=2)[0], None
        y, slope = blockwise(both, 2, x, scratch=1)
    return y, (lambda g: product(g, slope),)


@functools.lru_cache
def _numbers(dtype: Any) -> dict[str, Any]:
    """Constants as arrays, which NumPy need not convert in each call."""
    (c0, c1), ((a1, b1), (a2, b2)) = GELU_TANH, STEPS
    d = -((UNIT * ALPHA) ** (1 / 3))  # the fraction of (d x)² and d x is the exponent then, without a factor
    r = -ALPHA / d**2
    given = {"1": 1, "d": d, "density/d": 1 / (d * math.sqrt(2 * math.pi)), "-1/2d²": -UNIT / (2 * d**2)}
    given |= {"b0": FIRST / r, "a1": a1 / r**2, "b1": b1 / r, "a2": a2 / r**2, "b2": b2 / r}
    given |= {"√2c1": math.sqrt(2 * c1 * UNIT), "-2 c0": -2 * c0 * UNIT, "3": 3 / UNIT, "2 c0": 2 * c0}
    given |= {"far": (FAR * d) ** 2, "far, tanh": FAR_TANH**2 * 2 * c1 * UNIT}
    return {name: np.array(c, dtype) for name, c in given.items()}


@as_one(may_fail=False)
def _powers(n: Any, k: Any, factor: Any, *, far: Any, out: tuple) -> None:
    """eᵏ in the place of k, and, with a factor, e^(n · factor) in that of n; in units of `power`, if all n < far."""
    is_near = UNIT == 1 or n.max(initial=0) < far
    if factor is not None:
        np.multiply(n, factor, n)
    for a in out:
        if is_near:
            power(a, a)
        else:
            np.multiply(a, a.dtype.type(1 / UNIT), a)
            np.exp(a, a)


def _exponent(numbers: dict[str, Any], x: Any, dx: Any, n: Any, k: Any) -> None:
    """x k, of which 1/(1 + e^(x k)) is Φ(x); besides d x and n = (d x)²."""
    np.multiply(x, numbers["d"], dx)
    np.square(dx, n)
    np.add(n, numbers["b0"], k)
    for a, b in ("a1", "b1"), ("a2", "b2"):
        np.divide(numbers[a], k, k)
        np.add(k, n, k)
        np.add(k, numbers[b], k)
    np.multiply(k, dx, k)


def _slope(numbers: dict[str, Any], x: Any, dx: Any, n: Any, slope: Any) -> None:
    """x Φ in the place of d x, Φ + x φ(x), φ(x) = n/√(2π), n = e^(−x²/2), in that of 1/Φ."""
    np.multiply(n, dx, n)
    np.multiply(n, numbers["density/d"], n)
    np.divide(x, slope, dx)
    np.divide(numbers["1"], slope, slope)
    np.add(slope, n, slope)


def _exponent_tanh(numbers: dict[str, Any], x: Any, y: Any, n: Any, k: Any) -> None:
    """−2u, of which 1/(1 + e^−2u) is Φ = ½ (1 + tanh u), u = x (c₀ + c₁ x²); besides n = 2 c₁ x²."""
    np.multiply(x, numbers["√2c1"], n)
    np.square(n, n)
    np.subtract(numbers["-2 c0"], n, k)
    np.multiply(k, x, k)


def _slope_tanh(numbers: dict[str, Any], x: Any, y: Any, n: Any, slope: Any) -> None:
    """y = x Φ, and Φ + x dΦ/dx = (Φ − 1)(1 − 2u' y) + 1, 2u' = 2 c₀ + 6 c₁ x², in the place of 1/Φ."""
    np.divide(x, slope, y)
    np.multiply(n, numbers["3"], n)
    np.add(n, numbers["2 c0"], n)
    np.multiply(n, y, n)
    np.subtract(numbers["1"], n, n)
    np.divide(numbers["1"], slope, slope)
    np.subtract(slope, numbers["1"], slope)
    np.multiply(slope, n, slope)
    np.add(slope, numbers["1"], slope)
