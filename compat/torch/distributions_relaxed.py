"""`torch.distributions`: classes that are made continuous, so that draws are differentiable."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array.creation import asarray
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .distributions_base import Distribution, uniform_like
from .distributions_constraints import CONSTRAINTS as C
from .distributions_discrete import Bernoulli, Categorical
from .distributions_transforms import SigmoidTransform
from .sizes import Size

__all__ = ["RelaxedBernoulli", "RelaxedOneHotCategorical"]


class RelaxedOneHotCategorical(Distribution):
    """softmax((logits + Gumbel noise) / temperature).

    Parameters
    ----------
    temperature : Tensor or float
        How soft.
    probs, logits : Tensor (..., C)
        One of the two.
    """

    support = C.simplex

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.temperature, self.base = asarray(temperature), Categorical(probs, logits, validate_args)
        self.event_shape = Size(self.base.probs.shape[-1:])
        super().__init__(validate_args=validate_args)

    probs = property(lambda self: self.base.probs)
    logits = property(lambda self: self.base.logits)
    batch_shape = property(lambda self: self.base.batch_shape)  # type: ignore[assignment]

    def log_prob(self, value: Tensor) -> Tensor:
        """log (n−1)! + (n−1) log t + Σ log softmax(logits − t log x) − Σ log x."""
        self._validate_sample(value)
        n, log = self.event_shape[0], value.log()
        score = functional.log_softmax(self.logits - log * self.temperature, dim=-1)
        return math.lgamma(n) + (n - 1) * self.temperature.log() + (score - log).sum(-1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Differentiable."""
        logits = self.base.logits
        noise = -(-uniform_like(logits, sample_shape).log()).log()
        return functional.softmax((logits + noise) / self.temperature, dim=-1)


class RelaxedBernoulli(Distribution):
    """sigmoid((logits + logistic noise) / temperature).

    Parameters
    ----------
    temperature : Tensor or float
        How soft.
    probs, logits : Tensor
        One of the two.
    """

    support = C.unit_interval

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.temperature, self.base = asarray(temperature), Bernoulli(probs, logits, validate_args)
        super().__init__(validate_args=validate_args)

    probs = property(lambda self: self.base.probs)
    logits = property(lambda self: self.base.logits)
    batch_shape = property(lambda self: self.base.batch_shape)  # type: ignore[assignment]

    def log_prob(self, value: Tensor) -> Tensor:
        """log t + d − 2 softplus(d) − log x (1 − x), d = logits − t logit(x)."""
        self._validate_sample(value)
        logit = SigmoidTransform()
        x = logit.back(value)
        d = self.logits - x * self.temperature
        return self.temperature.log() + d - 2 * functional.softplus(d) - logit.log_abs_det_jacobian(x, value)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Differentiable."""
        u = uniform_like(self.base.logits, sample_shape)
        return functional.sigmoid((self.base.logits + u.log() - (-u).log1p()) / self.temperature)
