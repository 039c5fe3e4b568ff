"""`torch.distributions`: a mixture."""

from __future__ import annotations

from typing import Any

from ...backend.tape.tensor import Tensor
from ...layers import functional
from .distributions_base import Distribution
from .distributions_discrete import Categorical
from .distributions_transforms import summed

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """Σₖ πₖ pₖ(x), the components along the last axis of a distribution's batch.

    Parameters
    ----------
    mixture_distribution : Categorical
        π, of the batch without its last axis.
    component_distribution : Distribution
        All p.
    """

    def __init__(
        self, mixture_distribution: Categorical, component_distribution: Distribution, validate_args: Any = None
    ):
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(f"`mixture_distribution` must be a Categorical, got {type(mixture_distribution).__name__}")
        batch = component_distribution.batch_shape
        if not batch or batch[-1] != mixture_distribution.param_shape[-1]:
            raise ValueError(
                f"the last axis of the components' batch must be the {mixture_distribution.param_shape[-1]} of "
                f"`mixture_distribution`, got batch {tuple(batch)}"
            )
        self._mixture, self._component = mixture_distribution, component_distribution
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    mixture_distribution = property(lambda self: self._mixture)
    component_distribution = property(lambda self: self._component)
    support = property(lambda self: self._component.support)

    def _weights(self) -> Tensor:
        """π, with axes for an event."""
        return self._mixture.probs.reshape(*self._mixture.param_shape, *[1] * len(self.event_shape))

    def _padded(self, value: Tensor) -> Tensor:
        return value.unsqueeze(value.ndim - len(self.event_shape))

    @property
    def _axis(self) -> int:
        return -1 - len(self.event_shape)

    mean = property(lambda self: (self._weights() * self._component.mean).sum(self._axis))

    @property
    def variance(self) -> Tensor:
        """Σ π variance + Σ π (mean − Σ π mean)²."""
        apart = self._component.mean - self._padded(self.mean)
        return (self._weights() * (self._component.variance + apart**2)).sum(self._axis)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """One component's, which is drawn first."""
        chosen = functional.one_hot(self._mixture.sample(sample_shape), self._mixture.param_shape[-1]).bool()
        drawn = self._component.sample(sample_shape)
        chosen = chosen.reshape(*chosen.shape, *[1] * len(self.event_shape))
        return drawn.masked_fill(~chosen, 0).sum(self._axis)

    def log_prob(self, value: Tensor) -> Tensor:
        """log Σ exp(log π + log p)."""
        self._validate_sample(value)
        found = self._component.log_prob(self._padded(value))
        return (found + functional.log_softmax(self._mixture.logits, dim=-1)).logsumexp(-1)

    def cdf(self, value: Tensor) -> Tensor:
        """Σ π F."""
        self._validate_sample(value)
        return summed(self._mixture.probs * self._component.cdf(self._padded(value)), 1)
