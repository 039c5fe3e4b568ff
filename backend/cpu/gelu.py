"""GELU on NumPy: the normal distribution as 1/(1 + e^−2u), whose exponent is a fraction of few terms.

NumPy divides as fast as it multiplies, while `exp` costs as much as ten products and `tanh` as twenty (without AVX-512).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..nn import activation as primitives
from ..nn.activation import GELU_TANH
from ..tape.autograd import is_grad_enabled
from .blocks import CPU_FLOATS, blockwise, product

# Φ(x) = 1/(1 + e^(x k)), k = n + b₂ + a₂/(n + b₁ + a₁/(n + b₀)), n = −α x²: a minimax fit, weighted by what its error does
# to Φ. That is at most 5.4e-8 (float32 rounds Φ at 6e-8), also beyond |x| = 7, where the fit ends and xk goes on growing.
ALPHA = 0.03627598593848992
FIRST = -1.6436734004030944  # b₀
STEPS = ((1.8192557635304203, 0.8558179087581372), (-0.19349015224346872, -2.3666314805396587))  # a₁, b₁; a₂, b₂


@primitives.gelu.on("cpu")
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    tanh = approximate == "tanh"
    if x.dtype not in CPU_FLOATS or (not tanh and x.dtype != np.float32):
        return NotImplemented
    numbers, cdf, slope_of = _numbers(x.dtype), _cdf_tanh if tanh else _cdf, _slope_tanh if tanh else _slope

    def forward(x: Any, y: Any, n: Any) -> None:
        cdf(numbers, x, y, n)
        np.multiply(x, y, y)

    def both(x: Any, y: Any, slope: Any, n: Any) -> None:
        cdf(numbers, x, slope, n)
        np.multiply(x, slope, y)
        slope_of(numbers, x, y, slope, n)

    with np.errstate(over="ignore"):  # far out powers are infinite, and 1/(1 + ∞) = 0 is right
        if not is_grad_enabled():
            return blockwise(forward, 1, x, scratch=1)[0], None
        y, slope = blockwise(both, 2, x, scratch=1)
    return y, (lambda g: product(g, slope),)


@functools.lru_cache
def _numbers(dtype: Any) -> dict[str, Any]:
    """Constants as arrays, which NumPy need not convert in each call."""
    (c0, c1), ((a1, b1), (a2, b2)) = GELU_TANH, STEPS
    given = {"1": 1, "-α": -ALPHA, "1/2α": 0.5 / ALPHA, "density": 1 / math.sqrt(2 * math.pi)}
    given |= {"b0": FIRST, "a1": a1, "b1": b1, "a2": a2, "b2": b2, "-2 c1": -2 * c1, "2 c0": 2 * c0, "-3": -3}
    return {name: np.array(c, dtype) for name, c in given.items()}


def _logistic(numbers: dict[str, Any], x: Any, k: Any) -> None:
    """1/(1 + e^(x k)) in the place of k."""
    np.multiply(k, x, k)
    np.exp(k, k)
    np.add(k, numbers["1"], k)
    np.divide(numbers["1"], k, k)


def _cdf(numbers: dict[str, Any], x: Any, Φ: Any, n: Any) -> None:
    """Φ(x), and n = −α x²."""
    np.multiply(x, numbers["-α"], n)
    np.multiply(n, x, n)
    np.add(n, numbers["b0"], Φ)
    for a, b in ("a1", "b1"), ("a2", "b2"):
        np.divide(numbers[a], Φ, Φ)
        np.add(Φ, n, Φ)
        np.add(Φ, numbers[b], Φ)
    _logistic(numbers, x, Φ)


def _slope(numbers: dict[str, Any], x: Any, y: Any, slope: Any, n: Any) -> None:
    """Φ + x φ(x), φ(x) = e^(−x²/2)/√(2π), in the place of Φ."""
    np.multiply(n, numbers["1/2α"], n)
    np.exp(n, n)
    np.multiply(n, x, n)
    np.multiply(n, numbers["density"], n)
    np.add(slope, n, slope)


def _cdf_tanh(numbers: dict[str, Any], x: Any, Φ: Any, n: Any) -> None:
    """½ (1 + tanh u) = 1/(1 + e^−2u), u = x (c₀ + c₁ x²), and n = −2 c₁ x²."""
    np.multiply(x, numbers["-2 c1"], n)
    np.multiply(n, x, n)
    np.subtract(n, numbers["2 c0"], Φ)
    _logistic(numbers, x, Φ)


def _slope_tanh(numbers: dict[str, Any], x: Any, y: Any, slope: Any, n: Any) -> None:
    """Φ + x dΦ/dx = (Φ − 1)(1 − 2u' y) + 1, 2u' = 2 c₀ + 6 c₁ x², in the place of Φ."""
    np.multiply(n, numbers["-3"], n)
    np.add(n, numbers["2 c0"], n)
    np.multiply(n, y, n)
    np.subtract(numbers["1"], n, n)
    np.subtract(slope, numbers["1"], slope)
    np.multiply(slope, n, slope)
    np.add(slope, numbers["1"], slope)
