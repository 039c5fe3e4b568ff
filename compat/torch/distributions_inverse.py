"""`torch.distributions`: those drawn by the inverse of their distribution function."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array import random
from ...backend.tape.tensor import Tensor
from .distributions_base import Distribution, broadcast, uniform_like
from .distributions_constraints import CONSTRAINTS as C

__all__ = ["Cauchy", "Exponential", "Gumbel", "Laplace", "Uniform"]


class Uniform(Distribution):
    """1 / (high − low) on [low, high).

    Parameters
    ----------
    low, high : Tensor or float
        The limits.
    """

    support = property(lambda self: C.interval(self.low, self.high))

    def __init__(self, low: Any, high: Any, validate_args: Any = None):
        self.low, self.high = broadcast(low, high)
        self.arg_constraints = {"low": C.less_than(self.high)}
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: (self.low + self.high) / 2)
    variance = property(lambda self: (self.high - self.low) ** 2 / 12)
    mode = property(lambda self: self.mean * math.nan)

    def cdf(self, value: Tensor) -> Tensor:
        """The share of the interval that is below."""
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        """Below what a share of the interval is."""
        return self.low + (self.high - self.low) * value

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """low + (high − low) u."""
        drawn = random.rand(*sample_shape, *self.low.shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + (self.high - self.low) * drawn

    def log_prob(self, value: Tensor) -> Tensor:
        """−log(high − low), −∞ outside."""
        self._validate_sample(value)
        inside = (value >= self.low) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def entropy(self) -> Tensor:
        """log(high − low)."""
        return (self.high - self.low).log()


class Exponential(Distribution):
    """rate · exp(−rate x).

    Parameters
    ----------
    rate : Tensor or float
        1 / mean.
    """

    arg_constraints = {"rate": C.positive}
    support = C.nonnegative

    def __init__(self, rate: Any, validate_args: Any = None):
        (self.rate,) = broadcast(rate)
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: 1 / self.rate)
    variance = property(lambda self: self.rate**-2)
    mode = property(lambda self: self.rate.detach() * 0)

    def cdf(self, value: Tensor) -> Tensor:
        """1 − exp(−rate x)."""
        self._validate_sample(value)
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """−log(1 − p) / rate."""
        return -(-value).log1p() / self.rate

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """−log(u) / rate."""
        return -uniform_like(self.rate, sample_shape).log() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """log rate − rate x."""
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def entropy(self) -> Tensor:
        """1 − log rate."""
        return 1 - self.rate.log()


class Laplace(Distribution):
    """exp(−|x − loc| / scale) / (2 scale).

    Parameters
    ----------
    loc, scale : Tensor or float
        Mean and width.
    """

    arg_constraints = {"loc": C.real, "scale": C.positive}
    support = C.real

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)
        super().__init__(validate_args=validate_args)

    mean = mode = property(lambda self: self.loc)  # type: ignore[assignment]
    variance = property(lambda self: 2 * self.scale**2)

    def cdf(self, value: Tensor) -> Tensor:
        """½ − ½ sign(z) expm1(−|z|), z = (x − loc) / scale."""
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """loc − scale sign(p − ½) log(1 − 2 |p − ½|)."""
        u = value - 0.5
        return self.loc - self.scale * u.sign() * (-2 * u.abs()).log1p()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """By the inverse of the distribution function."""
        u = uniform_like(self.loc, sample_shape) - 0.5
        return self.loc - self.scale * u.sign() * (-2 * u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        """−|x − loc| / scale − log(2 scale)."""
        self._validate_sample(value)
        return -(value - self.loc).abs() / self.scale - (2 * self.scale).log()

    def entropy(self) -> Tensor:
        """1 + log(2 scale)."""
        return 1 + (2 * self.scale).log()


class Gumbel(Distribution):
    """exp(−z − exp(−z)) / scale, z = (x − loc) / scale.

    Parameters
    ----------
    loc, scale : Tensor or float
        Mode and width.
    """

    arg_constraints = {"loc": C.real, "scale": C.positive}
    support = C.real

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: self.loc + self.scale * 0.5772156649015329)
    variance = property(lambda self: self.scale**2 * math.pi**2 / 6)
    mode = property(lambda self: self.loc)

    def cdf(self, value: Tensor) -> Tensor:
        """exp(−exp(−z)), z = (x − loc) / scale."""
        self._validate_sample(value)
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """loc − scale log(−log p)."""
        return self.loc - self.scale * (-value.log()).log()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc − scale log(−log u)."""
        return self.loc - self.scale * (-uniform_like(self.loc, sample_shape).log()).log()

    def log_prob(self, value: Tensor) -> Tensor:
        """−z − exp(−z) − log scale."""
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        return -z - (-z).exp() - self.scale.log()

    def entropy(self) -> Tensor:
        """log scale + 1 + γ."""
        return self.scale.log() + 1.5772156649015329


class Cauchy(Distribution):
    """1 / (π scale (1 + z²)), z = (x − loc) / scale; it has no mean and no variance.

    Parameters
    ----------
    loc, scale : Tensor or float
        Mode and half width at half the height.
    """

    arg_constraints = {"loc": C.real, "scale": C.positive}
    support = C.real

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: self.loc.detach() * 0 + math.nan)
    variance = property(lambda self: self.loc.detach() * 0 + math.inf)
    mode = property(lambda self: self.loc)

    def cdf(self, value: Tensor) -> Tensor:
        """½ + atan(z) / π, z = (x − loc) / scale."""
        self._validate_sample(value)
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """loc + scale tan(π (p − ½))."""
        return self.loc + self.scale * (math.pi * (value - 0.5)).tan()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + scale tan(π (u − ½))."""
        return self.loc + self.scale * (math.pi * (uniform_like(self.loc, sample_shape) - 0.5)).tan()

    def log_prob(self, value: Tensor) -> Tensor:
        """−log π − log scale − log(1 + z²)."""
        self._validate_sample(value)
        return -math.log(math.pi) - self.scale.log() - (((value - self.loc) / self.scale) ** 2).log1p()

    def entropy(self) -> Tensor:
        """log(4π scale)."""
        return math.log(4 * math.pi) + self.scale.log()
