"""`torch.distributions`: what policies and variational models draw from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.array import random
from ...backend.array.creation import asarray
from ...backend.device.dtypes import get_default_dtype
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .methods import METHODS
from .sizes import Size

__all__ = ["Bernoulli", "Categorical", "Distribution", "Normal", "broadcast"]


class Distribution:
    """What can be drawn from, and how probable each value is."""

    event_shape: Size = Size()

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return Size(self.mean.shape[: self.mean.ndim - len(self.event_shape)])

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


class Categorical(Distribution):
    """One of several, p = probs / Σ probs = softmax(logits).

    Parameters
    ----------
    probs, logits : Tensor (..., C)
        One of the two.
    """

    def __init__(self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: Any = None):
        if (probs is None) == (logits is None):
            raise ValueError("`probs` or `logits` must be given, and not both")
        if logits is not None:
            self.logits = functional.log_softmax(logits, dim=-1)
            self.probs = self.logits.exp()
        elif probs is not None:
            self.probs = probs / probs.sum(dim=-1, keepdim=True)
            self.logits = self.probs.clip(min=1e-38).log()

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters, but for the last axis."""
        return Size(self.probs.shape[:-1])

    @property
    def mode(self) -> Tensor:
        """The most probable."""
        return self.probs.argmax(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            int64.
        """
        rows = self.probs.detach().reshape(-1, self.probs.shape[-1])
        n = math.prod(sample_shape)
        drawn = METHODS["multinomial"](rows, n, True)
        return drawn.T.reshape(*sample_shape, *self.probs.shape[:-1])

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of each value.

        Parameters
        ----------
        value : Tensor
            Integers.

        Returns
        -------
        Tensor
            Differentiable.
        """
        value = value.long()
        shape = np.broadcast_shapes(value.shape, self.logits.shape[:-1])
        value, logits = value.expand(*shape), self.logits.expand(*shape, self.logits.shape[-1])
        return logits.gather(-1, value.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """−Σ p log p.

        Returns
        -------
        Tensor
            Differentiable.
        """
        return -(self.probs * self.logits).sum(dim=-1)


class Normal(Distribution):
    """exp(−((x − loc) / scale)² / 2) / (scale √(2π)).

    Parameters
    ----------
    loc, scale : Tensor or float
        Mean and standard deviation.
    """

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)

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
    def variance(self) -> Tensor:
        """The square of the scale."""
        return self.scale**2

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of less.

        Parameters
        ----------
        value : Tensor
            Than what.

        Returns
        -------
        Tensor
            Differentiable.
        """
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

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


class Bernoulli(Distribution):
    """1 with probability `probs` = sigmoid(logits), else 0.

    Parameters
    ----------
    probs, logits : Tensor
        One of the two.
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        if (probs is None) == (logits is None):
            raise ValueError("`probs` or `logits` must be given, and not both")
        if logits is None:
            probs = asarray(probs).clip(min=1.2e-7, max=1 - 1.2e-7)
            logits = probs.log() - (1 - probs).log()
        self.logits: Tensor = asarray(logits)
        self.probs: Tensor = functional.sigmoid(self.logits)

    @property
    def mean(self) -> Tensor:
        """The probability of 1."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """p (1 − p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw.

        Parameters
        ----------
        sample_shape : sequence of int, default ()
            How many times; the first axes.

        Returns
        -------
        Tensor
            0 and 1, of the dtype of `probs`.
        """
        drawn = random.rand(*sample_shape, *self.probs.shape, device=self.probs.device)
        return (drawn < self.probs.detach()).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of each value.

        Parameters
        ----------
        value : Tensor
            0 and 1.

        Returns
        -------
        Tensor
            Differentiable.
        """
        return value * self.logits - functional.softplus(self.logits)

    def entropy(self) -> Tensor:
        """−p log p − (1 − p) log(1 − p).

        Returns
        -------
        Tensor
            Differentiable.
        """
        return functional.softplus(self.logits) - self.probs * self.logits
