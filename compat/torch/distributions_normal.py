"""`torch.distributions`: normal ones, of one number and of several."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...backend.array import linalg, random
from ...backend.array.creation import asarray
from ...backend.tape.tensor import Tensor
from .distributions_base import Distribution, broadcast
from .distributions_composed import TransformedDistribution
from .distributions_constraints import CONSTRAINTS as C
from .distributions_transforms import ExpTransform
from .sizes import Size
from .special import erfinv

__all__ = ["LogNormal", "MultivariateNormal", "Normal"]


class Normal(Distribution):
    """exp(−((x − loc) / scale)² / 2) / (scale √(2π)).

    Parameters
    ----------
    loc, scale : Tensor or float
        Mean and standard deviation.
    """

    arg_constraints = {"loc": C.real, "scale": C.positive}
    support = C.real

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)
        super().__init__(validate_args=validate_args)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw loc + scale ε, differentiable.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            The values.
        """
        shape = (self.loc + self.scale).shape
        noise = random.randn(*sample_shape, *shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + self.scale * noise

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The expectation, again."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The square of the scale."""
        return self.scale**2

    def cdf(self, value: Tensor) -> Tensor:
        """½ (1 + erf((value − loc) / (scale √2)))."""
        self._validate_sample(value)
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

    def icdf(self, value: Tensor) -> Tensor:
        """loc + scale √2 erf⁻¹(2 value − 1)."""
        return self.loc + self.scale * math.sqrt(2) * erfinv(2 * value - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density.

        Parameters
        ----------
        value : Tensor
            Where.

        Returns
        -------
        Tensor
            Differentiable.
        """
        self._validate_sample(value)
        z = (asarray(value) - self.loc) / self.scale
        return -0.5 * z * z - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def entropy(self) -> Tensor:
        """log(scale √(2πe)).

        Returns
        -------
        Tensor
            Differentiable.
        """
        return self.scale.log() + 0.5 * (1 + math.log(2 * math.pi))


class LogNormal(TransformedDistribution):
    """What has a normal logarithm.

    Parameters
    ----------
    loc, scale : Tensor or float
        Of the logarithm.
    """

    support = C.positive

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    loc = property(lambda self: self.base_dist.loc)
    scale = property(lambda self: self.base_dist.scale)
    mean = property(lambda self: (self.loc + self.scale**2 / 2).exp())
    mode = property(lambda self: (self.loc - self.scale**2).exp())
    variance = property(lambda self: (self.scale**2).expm1() * (2 * self.loc + self.scale**2).exp())

    def entropy(self) -> Tensor:
        """That of the logarithm, plus loc."""
        return self.base_dist.entropy() + self.loc


class MultivariateNormal(Distribution):
    """exp(−½ (x − loc)ᵀ Σ⁻¹ (x − loc)) / √((2π)ᵈ det Σ), Σ = L Lᵀ.

    Parameters
    ----------
    loc : Tensor (..., d)
        The mean.
    covariance_matrix, precision_matrix, scale_tril : Tensor (..., d, d)
        One of the three: Σ, Σ⁻¹ or L.
    """

    arg_constraints = {
        "loc": C.real_vector, "covariance_matrix": C.symmetric, "precision_matrix": C.symmetric,
        "scale_tril": C.lower_cholesky,
    }  # fmt: skip
    support = C.real_vector

    def __init__(
        self, loc: Tensor, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
        validate_args: Any = None,
    ):  # fmt: skip
        if sum(m is not None for m in (covariance_matrix, precision_matrix, scale_tril)) != 1:
            raise ValueError(
                "one of `covariance_matrix`, `precision_matrix` and `scale_tril` must be given, and no other"
            )
        of = linalg.inv(precision_matrix) if precision_matrix is not None else covariance_matrix
        found = linalg.cholesky(of) if scale_tril is None else scale_tril
        batch = np.broadcast_shapes(loc.shape[:-1], found.shape[:-2])
        self.loc, self.scale_tril = loc.expand(*batch, loc.shape[-1]), found.expand(*batch, *found.shape[-2:])
        if covariance_matrix is not None:
            self.covariance_matrix = covariance_matrix.expand(*batch, *found.shape[-2:])
        elif precision_matrix is not None:
            self.precision_matrix = precision_matrix.expand(*batch, *found.shape[-2:])
        self.event_shape = Size(loc.shape[-1:])
        super().__init__(validate_args=validate_args)

    mean = mode = property(lambda self: self.loc)  # type: ignore[assignment]

    @functools.cached_property
    def covariance_matrix(self) -> Tensor:
        """Σ: as given, or L Lᵀ."""
        return self.scale_tril @ self.scale_tril.transpose(-2, -1)

    @functools.cached_property
    def precision_matrix(self) -> Tensor:
        """Σ⁻¹: as given, or from L."""
        inverse = linalg.inv(self.scale_tril.tril())
        return inverse.transpose(-2, -1) @ inverse

    variance = property(lambda self: (self.scale_tril**2).sum(-1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + L ε."""
        noise = random.randn(*sample_shape, *self.loc.shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Tensor:
        return self.scale_tril.diagonal(0, -2, -1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        self._validate_sample(value)
        z = linalg.solve(
            self.scale_tril.tril().expand(*value.shape, value.shape[-1]), (value - self.loc).unsqueeze(-1)
        ).squeeze(-1)
        return -0.5 * ((z * z).sum(-1) + value.shape[-1] * math.log(2 * math.pi)) - self._half_log_det()

    def entropy(self) -> Tensor:
        """½ d (1 + log 2π) + ½ log det Σ."""
        return 0.5 * self.loc.shape[-1] * (1 + math.log(2 * math.pi)) + self._half_log_det()
