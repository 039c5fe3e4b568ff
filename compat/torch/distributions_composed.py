"""`torch.distributions`: made of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor
from .distributions_base import Distribution
from .distributions_transforms import event_dim, summed
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
        if reinterpreted_batch_ndims > len(shape):
            raise ValueError(
                f"`reinterpreted_batch_ndims` must be at most {len(shape)}, the axes of the batch, got {reinterpreted_batch_ndims}"
            )
        self.event_shape = Size((*shape[len(shape) - reinterpreted_batch_ndims :], *base_distribution.event_shape))
        super().__init__(validate_args=validate_args)

    batch_shape = property(  # type: ignore[assignment]
        lambda self: Size(
            self.base_dist.batch_shape[: len(self.base_dist.batch_shape) - self.reinterpreted_batch_ndims]
        )
    )
    has_rsample = property(lambda self: self.base_dist.has_rsample)  # type: ignore[assignment]
    mode = property(lambda self: self.base_dist.mode)
    mean = property(lambda self: self.base_dist.mean)
    variance = property(lambda self: self.base_dist.variance)

    def _sum(self, x: Tensor) -> Tensor:
        return summed(x, self.reinterpreted_batch_ndims)

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
        shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        axes = max([len(base_distribution.event_shape), *map(event_dim, self.transforms)])
        self.event_shape = Size(shape[len(shape) - axes :])
        super().__init__(shape[: len(shape) - axes], validate_args=validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)
    support = property(
        lambda self: getattr(self.transforms[-1], "codomain", None) if self.transforms else self.base_dist.support
    )

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The other's, transformed, off the tape."""
        with no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The other's, transformed."""
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        """The other's, less the logarithm of the slope; what the axes of one value give is added up."""
        self._validate_sample(value)
        found: Any = 0.0
        axes = len(self.event_shape)
        for transform in reversed(self.transforms):
            x = transform.inv(value)
            found = found - summed(transform.log_abs_det_jacobian(x, value), axes - event_dim(transform))
            value = x
        return found + summed(self.base_dist.log_prob(value), axes - len(self.base_dist.event_shape))

    def cdf(self, value: Tensor) -> Tensor:
        """That of the other, or what it leaves to 1 where the transforms fall."""
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._turned(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        """The other's, transformed."""
        return self._transformed(self.base_dist.icdf(self._turned(value)))

    def _turned(self, probability: Tensor) -> Tensor:
        sign = math.prod((transform.sign for transform in self.transforms), start=1)
        return sign * (probability - 0.5) + 0.5
