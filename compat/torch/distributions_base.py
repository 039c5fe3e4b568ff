"""What all of `torch.distributions` have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array import random
from ...backend.array.creation import asarray
from ...backend.array.info import finfo
from ...backend.device.dtypes import get_default_dtype
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor
from .sizes import Size

__all__ = ["Distribution", "broadcast", "source", "uniform_like"]


class Distribution:
    """What can be drawn from, and how probable each value is."""

    event_shape: Size = Size()

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return Size(self.mean.shape[: self.mean.ndim - len(self.event_shape)])

    @property
    def has_rsample(self) -> bool:
        """Whether draws are differentiable."""
        return type(self).rsample is not Distribution.rsample

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    @property
    def mean(self) -> Tensor:
        """The expectation."""
        raise NotImplementedError(f"`{type(self).__name__}` has no mean")

    @property
    def variance(self) -> Tensor:
        """The expectation of the square of the distance to the mean."""
        raise NotImplementedError(f"`{type(self).__name__}` has no variance")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw, off the tape.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            The values.
        """
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw, differentiable.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            The values.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no rsample; use sample")

    def sample_n(self, n: int) -> Tensor:
        """Draw n times.

        Parameters
        ----------
        n : int
            How many times.

        Returns
        -------
        Tensor
            The values.
        """
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability.

        Parameters
        ----------
        value : Tensor
            Where.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most a value.

        Parameters
        ----------
        value : Tensor
            Which.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The value that a probability is reached at.

        Parameters
        ----------
        value : Tensor
            The probability.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no icdf")

    def perplexity(self) -> Tensor:
        """exp of the entropy.

        Returns
        -------
        Tensor
            Differentiable.
        """
        return self.entropy().exp()

    def entropy(self) -> Tensor:
        """The expectation of −log p.

        Returns
        -------
        Tensor
            Differentiable.
        """
        raise NotImplementedError(f"`{type(self).__name__}` has no entropy")


def broadcast(*values: Any) -> list[Tensor]:
    """Tensors of one shape, of numbers and Tensors.

    Parameters
    ----------
    *values : Tensor or float
        Which.

    Returns
    -------
    list of Tensor
        Floating.
    """
    given = [asarray(v) for v in values]
    kind = next((t.dtype for v, t in zip(values, given) if isinstance(v, Tensor) and t.is_floating_point()), None)
    given = [t.to(kind or get_default_dtype()) for t in given]
    shape = np.broadcast_shapes(*(t.shape for t in given))
    return [t if t.shape == shape else t.expand(*shape) for t in given]


def uniform_like(x: Tensor, sample_shape: Any) -> Tensor:
    """On (0, 1): of the dtype's own numbers, so that tails reach as far as it does."""
    kind = finfo(x.dtype)
    drawn = random.rand(*sample_shape, *x.shape, dtype=x.dtype, device=x.device)
    return drawn.clamp(float(kind.smallest_normal), 1 - float(kind.eps) / 2)


def source(x: Tensor) -> np.random.Generator:
    """NumPy's generator, seeded from the default one."""
    return np.random.default_rng(int(random.default_generator.integers(0, 2**31 - 1, (1,))[0]))
