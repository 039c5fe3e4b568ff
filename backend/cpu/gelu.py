"""GELU on NumPy: the normal distribution as ½ (1 + tanh u), whose u is a fraction of few terms.

In cache NumPy divides nearly as fast as it multiplies; with AVX-512 `tanh` costs as much as three products and `exp` as six,
without it `tanh` twenty and `exp` ten: then the distribution is 1/(1 + e^−2u). So what counts is the number of calls: constants are
scaled such that none is only for them. (`exp2` takes as long as `tanh`, but on an AMD Zen 5 four times as long in every fourth
process, by where NumPy's library lies in memory.)
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

# Φ(x) = ½ (1 + tanh u), u = α x (m + a₂/(n + b₁ + a₁/m)), m = n + b₀, n = x²: a minimax fit, weighted by what its error does
# to Φ. That is at most 7.1e-8 (float32 rounds Φ at 6e-8), also beyond |x| = 7, where the fit ends and u goes on growing.
ALPHA = 0.01860223483555286
FRACTION = (61.9678299856397, 2874.551856798653, -41.35653567142016, -95.97647396605004)  # b₀, a₁, b₁, a₂


def _has_vectors() -> bool:
    """Whether NumPy's tanh computes in vectors of AVX-512."""
    from numpy.lib import introspect

    target = introspect.opt_func_info(func_name="^tanh$").get("tanh", {}).get("ff", {}).get("current", "")
    return "AVX512" in target or "V4" in target


SCALE = 1 if _has_vectors() else -2  # what is computed of u


@primitives.gelu.on("cpu")
def gelu(x: Any, /, *, approximate: str = "none") -> Any:
    tanh = approximate == "tanh"
    if x.dtype not in CPU_FLOATS or (not tanh and x.dtype != np.float32):
        return NotImplemented
    numbers = _numbers(x.dtype, tanh)
    exponent, slope_of = (_exponent_tanh, _slope_tanh) if tanh else (_exponent, _slope)

    def forward(x: Any, y: Any, n: Any, m: Any, u: Any) -> None:
        exponent(numbers, x, y, n, m, u)
        _distribution(numbers, u)
        np.multiply(x, u, y)

    def both(x: Any, y: Any, slope: Any, n: Any, m: Any) -> None:
        exponent(numbers, x, y, n, m, slope)
        _distribution(numbers, slope)
        np.multiply(x, slope, y)
        slope_of(numbers, x, y, n, slope)

    with np.errstate(over="ignore"):  # far out u is infinite, and Φ = 0 or 1 is right
        if not is_grad_enabled():
            return blockwise(forward, 1, x, scratch=3)[0], None
        y, slope = blockwise(both, 2, x, scratch=2)
    return y, (lambda g: product(g, slope),)


@functools.lru_cache
def _numbers(dtype: Any, tanh: bool) -> dict[str, Any]:
    """Constants as arrays, which NumPy need not convert in each call."""
    (c0, c1), (b0, a1, b1, a2) = GELU_TANH, FRACTION
    d = float(np.cbrt(SCALE * (c1 if tanh else ALPHA)))  # (d x)³ has the factor of x³ then, which takes no product
    given = {"1": 1, "½": 0.5, "d": d}
    if tanh:
        given |= {"c0/c1": SCALE * c0 / d, "6 c1": 6 * c1 / d**2, "2 c0": 2 * c0}
    else:
        given |= {"b0": b0 * d**2, "a1": a1 * d**4, "b1": b1 * d**2, "a2": a2 * d**4}
        given |= {"-½": -1 / (2 * d**2), "density": 1 / math.sqrt(2 * math.pi)}
    return {name: np.array(c, dtype) for name, c in given.items()}


def _distribution(numbers: dict[str, Any], u: Any) -> None:
    """Φ in the place of u, or of −2u."""
    if SCALE == 1:
        np.tanh(u, u)
        np.multiply(u, numbers["½"], u)
        np.add(u, numbers["½"], u)
    else:
        np.exp(u, u)
        np.add(u, numbers["1"], u)
        np.divide(numbers["1"], u, u)


def _exponent(numbers: dict[str, Any], x: Any, dx: Any, n: Any, m: Any, u: Any) -> None:
    """u, of which ½ (1 + tanh u) is Φ(x), or −2u; besides d x and n = (d x)²."""
    np.multiply(x, numbers["d"], dx)
    np.multiply(dx, dx, n)
    np.add(n, numbers["b0"], m)
    np.divide(numbers["a1"], m, u)
    np.add(u, n, u)
    np.add(u, numbers["b1"], u)
    np.divide(numbers["a2"], u, u)
    np.add(u, m, u)
    np.multiply(u, dx, u)


def _slope(numbers: dict[str, Any], x: Any, y: Any, n: Any, slope: Any) -> None:
    """Φ + x φ(x), φ(x) = e^(−x²/2)/√(2π), in the place of Φ."""
    np.multiply(n, numbers["-½"], n)
    np.exp(n, n)
    np.multiply(n, x, n)
    np.multiply(n, numbers["density"], n)
    np.add(slope, n, slope)


def _exponent_tanh(numbers: dict[str, Any], x: Any, dx: Any, n: Any, m: Any, u: Any) -> None:
    """u = x (c₀ + c₁ x²), or −2u; besides d x and n = (d x)²."""
    np.multiply(x, numbers["d"], dx)
    np.multiply(dx, dx, n)
    np.add(n, numbers["c0/c1"], u)
    np.multiply(u, dx, u)


def _slope_tanh(numbers: dict[str, Any], x: Any, y: Any, n: Any, slope: Any) -> None:
    """Φ + x dΦ/dx = (Φ − 1)(1 − 2u' y) + 1, 2u' = 2 c₀ + 6 c₁ x², y = x Φ, in the place of Φ."""
    np.multiply(n, numbers["6 c1"], n)
    np.add(n, numbers["2 c0"], n)
    np.multiply(n, y, n)
    np.subtract(numbers["1"], n, n)
    np.subtract(slope, numbers["1"], slope)
    np.multiply(slope, n, slope)
    np.add(slope, numbers["1"], slope)
