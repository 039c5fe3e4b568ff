"""Special functions of PyTorch's: of Γ, of the error function, and those with a limit at a point."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import indexing
from ...backend.device import dtypes
from ...backend.tape.autograd import primitive
from ...backend.tape.tensor import Tensor, wrap

__all__ = ["FUNCTIONS", "METHODS", "digamma", "erfinv", "floating", "gamma_slope", "lgamma"]


def floating(x: Tensor) -> Tensor:
    return x if x.dtype.kind in "fcV" else x.to(dtypes.get_default_dtype())


def _elementwise(f: Callable[[float], float], raw: Any) -> Any:
    """A function of floats for each element, in double precision."""
    found = np.fromiter(map(f, np.asarray(raw, np.float64).ravel().tolist()), np.float64, raw.size)
    return found.reshape(raw.shape).astype(raw.dtype)


def _log_gamma(x: float) -> float:
    return math.inf if x == -math.inf or (x <= 0 and x == math.floor(x)) else math.lgamma(x)


def _polygamma(n: int, x: float) -> float:
    """ψ⁽ⁿ⁾(x): recurrence up to x ≥ 12, then the asymptotic series (DLMF 5.11, 5.15); n = 0 or 1."""
    if not math.isfinite(x):
        return (math.inf if n == 0 else 0.0) if x > 0 else math.nan
    if x <= 0:
        if x == math.floor(x):
            return math.nan if n == 0 and x else (-math.inf if n == 0 else math.inf)
        s = math.pi / math.tan(math.pi * x)
        return _polygamma(0, 1 - x) - s if n == 0 else (math.pi / math.sin(math.pi * x)) ** 2 - _polygamma(1, 1 - x)
    found = 0.0
    while x < 12:
        found += -1 / x if n == 0 else 1 / x**2
        x += 1
    numbers = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)  # of Bernoulli
    if n == 0:
        return found + math.log(x) - 0.5 / x - sum(b / (2 * k * x ** (2 * k)) for k, b in enumerate(numbers, 1))
    return found + 1 / x + 0.5 / x**2 + sum(b / x ** (2 * k + 1) for k, b in enumerate(numbers, 1))


def gamma_slope(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """∂x/∂a of a number x of Γ with shape a and rate 1, its quantile held: −(∂P(a, x)/∂a) / (∂P(a, x)/∂x).

    Below a + 1 by P's series (DLMF 8.7.1), above by the continued fraction of 1 − P (8.9.2), both differentiated term by term.

    Parameters
    ----------
    a, x : ndarray
        float64, of one shape, positive.

    Returns
    -------
    ndarray
        float64.
    """
    terms = 60 + int(14 * math.sqrt(a.max(initial=1.0)))
    psi = _elementwise(functools.partial(_polygamma, 0), a)
    is_low = x < a + 1
    with np.errstate(all="ignore"):  # each is only for its side
        term, total, slope, harmonic = np.ones_like(x), np.ones_like(x), np.zeros_like(x), np.zeros_like(x)
        for k in range(1, terms):
            term = term * x / (a + k)
            harmonic = harmonic + 1 / (a + k)
            total, slope = total + term, slope - term * harmonic
        low = -x / a * ((np.log(x) - psi - 1 / a) * total + slope)
        f, d = x + 2 * terms + 1 - a, np.full_like(x, -1.0)
        for k in range(terms, 0, -1):  # f = b − c / f of the next, d its derivative by a
            c = k * (k - a)
            f, d = x + 2 * k - 1 - a - c / f, -1 + k / f + c * d / f**2
        high = x * ((np.log(x) - psi) / f - d / f**2)
    return np.where(is_low, low, high)


def _special(name: str, f: Callable[[float], float], slope: Callable[[Tensor], Tensor] | None) -> Callable:
    """A function of one real number, on a CPU; `slope` is its derivative, of Tensors."""

    def form(xp: Any, x: Any, /) -> Any:
        if isinstance(x, Tensor):
            return call(x), (lambda g: g * slope(x),) if slope else None
        if not isinstance(x, np.ndarray):
            raise NotImplementedError(
                f"`{name}` is computed on a CPU, got an array of {type(x).__module__}; use .cpu()"
            )
        with np.errstate(all="ignore"):
            return _elementwise(f, x), (lambda g: g * slope(wrap(x, "cpu")).data,) if slope else None

    form.__name__ = name
    call: Any = primitive(form)
    return lambda x: call(floating(x))


def _erf_inverse(y: float) -> float:
    """Newton's steps from Winitzki's approximation."""
    if abs(y) >= 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    a, u = 0.147, math.log1p(-y * y)
    t = 2 / (math.pi * a) + u / 2
    x = math.copysign(math.sqrt(max(math.sqrt(t * t - u / a) - t, 0.0)), y)
    for _ in range(4):
        error = math.erf(x) - y
        if abs(y) >= 0.5:  # of what is left to 1, which has more digits
            error = math.copysign(1, y) * ((1 - abs(y)) - math.erfc(abs(x)))
        x -= error / (2 / math.sqrt(math.pi) * math.exp(-x * x))
    return x


def _no_more(x: Tensor) -> Tensor:
    raise NotImplementedError("the third derivative of `lgamma` is not available")


trigamma = _special("trigamma", functools.partial(_polygamma, 1), _no_more)


digamma = _special("digamma", functools.partial(_polygamma, 0), trigamma)


lgamma = _special("lgamma", _log_gamma, digamma)


erfinv: Callable = _special("erfinv", _erf_inverse, lambda y: math.sqrt(math.pi) / 2 * (erfinv(y) ** 2).exp())


erfc = _special("erfc", math.erfc, lambda x: -2 / math.sqrt(math.pi) * (-x * x).exp())


def _polygamma_of(n: int, x: Tensor) -> Tensor:
    if n not in (0, 1):
        raise NotImplementedError(f"`polygamma` is available for n = 0 and 1, got {n}")
    return (digamma, trigamma)[n](x)


def _mvlgamma(x: Tensor, p: int) -> Tensor:
    return sum((lgamma(x - j / 2) for j in range(p)), p * (p - 1) / 4 * math.log(math.pi))  # type: ignore[return-value]


def _logit(x: Tensor, eps: float | None = None) -> Tensor:
    x = floating(x)
    x = x if eps is None else x.clamp(eps, 1 - eps)
    return (x / (1 - x)).log()


def _xlogy(x: Any, y: Any) -> Tensor:
    x, y = (v if isinstance(v, Tensor) else other.detach() * 0 + v for v, other in ((x, y), (y, x)))
    zero = (x == 0) & ~y.isnan()
    return indexing.where(zero, x * 0, x * indexing.where(zero, y * 0 + 1, y).log())


def _sinc(x: Tensor) -> Tensor:
    x = floating(x)
    z = indexing.where(x == 0, x * 0 + 1, x) * math.pi
    return indexing.where(x == 0, x * 0 + 1, z.sin() / z)


METHODS: dict[str, Callable] = {
    "lgamma": lgamma,
    "digamma": digamma,
    "polygamma": lambda x, n: _polygamma_of(n, x),
    "mvlgamma": _mvlgamma,
    "erfinv": erfinv,
    "erfc": erfc,
    "logit": _logit,
    "xlogy": _xlogy,
    "sinc": _sinc,
}
FUNCTIONS: dict[str, Callable] = {"polygamma": _polygamma_of}
