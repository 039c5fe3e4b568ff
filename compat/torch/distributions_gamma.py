"""`torch.distributions`: Gamma, and those made of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.info import finfo
from ...backend.tape.autograd import is_grad_enabled
from ...backend.tape.tensor import Tensor, wrap
from .distributions_base import Distribution, broadcast, source
from .distributions_constraints import CONSTRAINTS as C
from .sizes import Size
from .special import digamma, gamma_slope, lgamma

__all__ = ["Beta", "Dirichlet", "Gamma"]


def _least(x: Tensor) -> Tensor:
    """At least the dtype's least normal number: what is lost to 0 has no logarithm."""
    return x.clip(min=float(finfo(x.dtype).smallest_normal))


def _standard(a: Tensor, sample_shape: Any) -> Tensor:
    """Draws of rate 1, in double precision: by NumPy's generator, seeded from the default one; their slopes by a are those of
    the same quantile, ∂x/∂a = −(∂F/∂a) / (∂F/∂x) (Figurnov, Mohamed & Mnih 2018)."""
    raw = np.asarray(a.detach().cpu().numpy(), np.float64)
    drawn = np.maximum(source(a).gamma(raw, size=(*sample_shape, *raw.shape)), np.finfo(np.float64).tiny)
    x = wrap(drawn, "cpu").to(a.device)
    if not (a.requires_grad and is_grad_enabled()):
        return x
    slope = wrap(gamma_slope(np.broadcast_to(raw, drawn.shape), drawn), "cpu").to(a.device)
    return x + slope * (a - a.detach()).to(x.dtype)


class Gamma(Distribution):
    """rateᵃ xᵃ⁻¹ exp(−rate x) / Γ(a), a being the concentration.

    Parameters
    ----------
    concentration, rate : Tensor or float
        Shape and inverse scale.
    """

    arg_constraints = {"concentration": C.positive, "rate": C.positive}
    support = C.nonnegative

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None):
        self.concentration, self.rate = broadcast(concentration, rate)
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: self.concentration / self.rate)
    variance = property(lambda self: self.concentration / self.rate**2)
    mode = property(lambda self: ((self.concentration - 1) / self.rate).clamp(min=0))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Differentiable, by the slope of a quantile."""
        return _least(_standard(self.concentration, sample_shape).to(self.rate.dtype) / self.rate)

    def log_prob(self, value: Tensor) -> Tensor:
        """a log rate + (a − 1) log x − rate x − log Γ(a)."""
        self._validate_sample(value)
        a, rate = self.concentration, self.rate
        return a * rate.log() + (a - 1) * value.log() - rate * value - lgamma(a)

    def entropy(self) -> Tensor:
        """a − log rate + log Γ(a) + (1 − a) ψ(a)."""
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1 - a) * digamma(a)


class Dirichlet(Distribution):
    """∏ xᵢ^(aᵢ − 1) / B(a) on the simplex.

    Parameters
    ----------
    concentration : Tensor (..., C)
        a.
    """

    arg_constraints = {"concentration": C.independent(C.positive, 1)}
    support = C.simplex

    def __init__(self, concentration: Any, validate_args: Any = None):
        (self.concentration,) = broadcast(concentration)
        self.event_shape = Size(self.concentration.shape[-1:])
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: self.concentration / self.concentration.sum(-1, keepdim=True))

    @property
    def variance(self) -> Tensor:
        """m (1 − m) / (Σ a + 1)."""
        mean, total = self.mean, self.concentration.sum(-1, keepdim=True)
        return mean * (1 - mean) / (total + 1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Γ's, over their sum."""
        drawn = _standard(self.concentration, sample_shape)
        return _least((drawn / drawn.sum(-1, keepdim=True)).to(self.concentration.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ (a − 1) log x + log Γ(Σ a) − Σ log Γ(a)."""
        self._validate_sample(value)
        a = self.concentration
        return ((a - 1) * value.log()).sum(-1) + lgamma(a.sum(-1)) - lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        """log B(a) + (Σ a − C) ψ(Σ a) − Σ (a − 1) ψ(a)."""
        a = self.concentration
        total = a.sum(-1)
        log_b = lgamma(a).sum(-1) - lgamma(total)
        return log_b + (total - a.shape[-1]) * digamma(total) - ((a - 1) * digamma(a)).sum(-1)


class Beta(Distribution):
    """xᵃ⁻¹ (1 − x)ᵇ⁻¹ / B(a, b).

    Parameters
    ----------
    concentration1, concentration0 : Tensor or float
        a and b.
    """

    arg_constraints = {"concentration1": C.positive, "concentration0": C.positive}
    support = C.unit_interval

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None):
        self.concentration1, self.concentration0 = broadcast(concentration1, concentration0)
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: self.concentration1 / (self.concentration1 + self.concentration0))

    @property
    def variance(self) -> Tensor:
        """a b / ((a + b)² (a + b + 1))."""
        a, b = self.concentration1, self.concentration0
        return a * b / ((a + b) ** 2 * (a + b + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Γ's share of two; inside (0, 1)."""
        a, b = (_standard(t, sample_shape) for t in (self.concentration1, self.concentration0))
        drawn = _least((a / (a + b)).to(self.concentration1.dtype))
        return drawn.clip(max=1 - float(finfo(drawn.dtype).eps) / 2)

    def log_prob(self, value: Tensor) -> Tensor:
        """(a − 1) log x + (b − 1) log(1 − x) − log B(a, b)."""
        self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        return (a - 1) * value.log() + (b - 1) * (-value).log1p() + lgamma(a + b) - lgamma(a) - lgamma(b)

    def entropy(self) -> Tensor:
        """log B − (a − 1) ψ(a) − (b − 1) ψ(b) + (a + b − 2) ψ(a + b)."""
        a, b = self.concentration1, self.concentration0
        log_b = lgamma(a) + lgamma(b) - lgamma(a + b)
        return log_b - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)
