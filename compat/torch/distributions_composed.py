"""`torch.distributions`: made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backend.tape.tensor import Tensor
from .distributions_base import Distribution
from .sizes import Size

__all__ = ["Independent", "TransformedDistribution"]


class Independent(Distribution):
    """Another one's last axes as one event: their logarithms add up.

    Parameters
    ----------
    base_distribution : Distribution
        Which.
    reinterpreted_batch_ndims : int
        How many axes.
    """

    def __init__(self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: Any = None):
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        shape = base_distribution.batch_shape
        self.event_shape = Size((*shape[len(shape) - reinterpreted_batch_ndims :], *base_distribution.event_shape))

    mean = property(lambda self: self.base_dist.mean)
    variance = property(lambda self: self.base_dist.variance)

    def _sum(self, x: Tensor) -> Tensor:
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The other's."""
        return self.base_dist.rsample(sample_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The other's."""
        return self.base_dist.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """The other's, summed."""
        return self._sum(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        """The other's, summed."""
        return self._sum(self.base_dist.entropy())


class TransformedDistribution(Distribution):
    """What becomes of another one's values.

    Parameters
    ----------
    base_distribution : Distribution
        Whose.
    transforms : list
        What is done to them, with `inv` and `log_abs_det_jacobian`.
    """

    def __init__(self, base_distribution: Distribution, transforms: Any, validate_args: Any = None):
        self.base_dist = base_distribution
        self.transforms = list(transforms) if isinstance(transforms, Sequence) else [transforms]
        self.event_shape = base_distribution.event_shape

    batch_shape = property(lambda self: self.base_dist.batch_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The other's, transformed."""
        x = self.base_dist.rsample(sample_shape)
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        """The other's, less the logarithm of the slope."""
        found: Any = 0.0
        for transform in reversed(self.transforms):
            x = transform.inv(value)
            found = found - transform.log_abs_det_jacobian(x, value)
            value = x
        return found + self.base_dist.log_prob(value)
