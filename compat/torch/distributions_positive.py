"""`torch.distributions`: of positive numbers, and Student's, which is made of one."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array import random
from ...backend.array.indexing import where
from ...backend.tape.tensor import Tensor
from .distributions_base import Distribution, broadcast, uniform_like
from .distributions_constraints import CONSTRAINTS as C
from .distributions_gamma import Gamma
from .distributions_inverse import Cauchy
from .distributions_normal import Normal
from .special import digamma, lgamma

__all__ = ["Chi2", "HalfCauchy", "HalfNormal", "Pareto", "StudentT", "Weibull"]


class _Half(Distribution):
    """|x| of a distribution that is as wide on either side of 0.

    Parameters
    ----------
    scale : Tensor or float
        Its width.
    """

    arg_constraints = {"scale": C.positive}
    support = C.nonnegative
    whole: type

    def __init__(self, scale: Any, validate_args: Any = None):
        (self.scale,) = broadcast(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)
        self.base = type(self).whole(self.scale * 0, self.scale, validate_args=False)

    mode = property(lambda self: self.scale.detach() * 0)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Without its sign."""
        return self.base.rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        """Twice the density, and none below 0."""
        self._validate_sample(value)
        return where(value >= 0, self.base.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """2 F − 1."""
        self._validate_sample(value)
        return 2 * self.base.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        """The other's at (p + 1) / 2."""
        return self.base.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """The other's, less log 2."""
        return self.base.entropy() - math.log(2)


class HalfNormal(_Half):
    """2 exp(−(x / scale)² / 2) / (scale √(2π)), x ≥ 0.

    Parameters
    ----------
    scale : Tensor or float
        The standard deviation of what has a sign.
    """

    whole = Normal
    mean = property(lambda self: self.scale * math.sqrt(2 / math.pi))
    variance = property(lambda self: self.scale**2 * (1 - 2 / math.pi))


class HalfCauchy(_Half):
    """2 / (π scale (1 + (x / scale)²)), x ≥ 0; its mean and variance are infinite.

    Parameters
    ----------
    scale : Tensor or float
        Half width at half the height.
    """

    whole = Cauchy
    mean = variance = property(lambda self: self.scale.detach() * 0 + math.inf)


class Weibull(Distribution):
    """k/λ (x/λ)ᵏ⁻¹ exp(−(x/λ)ᵏ), λ being the scale and k the concentration.

    Parameters
    ----------
    scale, concentration : Tensor or float
        λ and k.
    """

    arg_constraints = {"scale": C.positive, "concentration": C.positive}
    support = C.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: Any = None):
        self.scale, self.concentration = broadcast(scale, concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        return lgamma(1 + n / self.concentration).exp()

    mean = property(lambda self: self.scale * self._moment(1))
    variance = property(lambda self: self.scale**2 * (self._moment(2) - self._moment(1) ** 2))
    mode = property(
        lambda self: self.scale * ((self.concentration - 1) / self.concentration) ** (1 / self.concentration)
    )

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """λ (−log u)^(1/k)."""
        return self.scale * (-uniform_like(self.scale, sample_shape).log()) ** (1 / self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        """log k/λ + (k − 1) log x/λ − (x/λ)ᵏ."""
        self._validate_sample(value)
        k, z = self.concentration, value / self.scale
        return (k / self.scale).log() + (k - 1) * z.log() - z**k

    def cdf(self, value: Tensor) -> Tensor:
        """1 − exp(−(x/λ)ᵏ)."""
        self._validate_sample(value)
        return -(-((value / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """λ (−log(1 − p))^(1/k)."""
        return self.scale * (-(-value).log1p()) ** (1 / self.concentration)

    def entropy(self) -> Tensor:
        """γ (1 − 1/k) + log λ/k + 1."""
        k = self.concentration
        return 0.5772156649015329 * (1 - 1 / k) + (self.scale / k).log() + 1


class Pareto(Distribution):
    """α scaleᵅ / xᵅ⁺¹, x ≥ scale.

    Parameters
    ----------
    scale, alpha : Tensor or float
        Where it begins, and how fast it falls.
    """

    arg_constraints = {"scale": C.positive, "alpha": C.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: Any = None):
        self.scale, self.alpha = broadcast(scale, alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    support = property(lambda self: C.greater_than_eq(self.scale))
    mode = property(lambda self: self.scale)

    @property
    def mean(self) -> Tensor:
        """α scale / (α − 1), infinite for α ≤ 1."""
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def variance(self) -> Tensor:
        """scale² α / ((α − 1)² (α − 2)), infinite for α ≤ 2."""
        a = self.alpha.clamp(min=2)
        return self.scale**2 * a / ((a - 1) ** 2 * (a - 2))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """scale u^(−1/α)."""
        return self.scale * uniform_like(self.scale, sample_shape) ** (-1 / self.alpha)

    def log_prob(self, value: Tensor) -> Tensor:
        """log α + α log scale − (α + 1) log x."""
        self._validate_sample(value)
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        """1 − (scale / x)ᵅ."""
        self._validate_sample(value)
        return 1 - (self.scale / value) ** self.alpha

    def icdf(self, value: Tensor) -> Tensor:
        """scale (1 − p)^(−1/α)."""
        return self.scale * (1 - value) ** (-1 / self.alpha)

    def entropy(self) -> Tensor:
        """log scale/α + 1 + 1/α."""
        return (self.scale / self.alpha).log() + 1 + 1 / self.alpha


class Chi2(Gamma):
    """The sum of the squares of df normal numbers: Γ of df / 2 and rate ½.

    Parameters
    ----------
    df : Tensor or float
        Degrees of freedom.
    """

    def __init__(self, df: Any, validate_args: Any = None):
        super().__init__(0.5 * broadcast(df)[0], 0.5, validate_args)

    df = property(lambda self: self.concentration * 2)


class StudentT(Distribution):
    """Γ((ν+1)/2) / (Γ(ν/2) √(πν) scale) (1 + z²/ν)^(−(ν+1)/2), z = (x − loc) / scale.

    Parameters
    ----------
    df, loc, scale : Tensor or float
        Degrees of freedom ν, centre and width.
    """

    arg_constraints = {"df": C.positive, "loc": C.real, "scale": C.positive}
    support = C.real

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: Any = None):
        self.df, self.loc, self.scale = broadcast(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    mean = property(lambda self: where(self.df > 1, self.loc, math.nan))
    mode = property(lambda self: self.loc)

    @property
    def variance(self) -> Tensor:
        """scale² ν / (ν − 2), infinite for ν ≤ 2, none for ν ≤ 1."""
        finite = self.scale**2 * self.df / (self.df - 2)
        return where(self.df > 2, finite, where(self.df > 1, math.inf, math.nan).to(finite.dtype))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + scale ε / √(χ² / ν)."""
        noise = random.randn(*sample_shape, *self.df.shape, dtype=self.df.dtype, device=self.df.device)
        squares = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * noise / (squares / self.df).sqrt()

    def _log_beta(self) -> Tensor:
        return lgamma(0.5 * self.df) + 0.5 * math.log(math.pi) - lgamma(0.5 * (self.df + 1))

    def log_prob(self, value: Tensor) -> Tensor:
        """−(ν+1)/2 log(1 + z²/ν) − log scale − ½ log ν − log B(ν/2, ½)."""
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        shape = self.scale.log() + 0.5 * self.df.log() + self._log_beta()
        return -0.5 * (self.df + 1) * (z**2 / self.df).log1p() - shape

    def entropy(self) -> Tensor:
        """log scale + (ν+1)/2 (ψ((ν+1)/2) − ψ(ν/2)) + ½ log ν + log B(ν/2, ½)."""
        half = 0.5 * (self.df + 1)
        slope = half * (digamma(half) - digamma(0.5 * self.df))
        return self.scale.log() + slope + 0.5 * self.df.log() + self._log_beta()
