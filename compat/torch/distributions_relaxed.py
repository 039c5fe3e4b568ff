"""`torch.distributions`: classes that are made continuous, so that draws are differentiable."""

from __future__ import annotations

from typing import Any

from ...backend.array.creation import asarray
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .distributions_base import Distribution, uniform_like
from .distributions_discrete import Bernoulli, Categorical

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

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.temperature, self.base = asarray(temperature), Categorical(probs, logits)

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

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.temperature, self.base = asarray(temperature), Bernoulli(probs, logits)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Differentiable."""
        u = uniform_like(self.base.logits, sample_shape)
        return functional.sigmoid((self.base.logits + u.log() - (-u).log1p()) / self.temperature)
