"""`torch.distributions`: what policies and variational models draw from."""

from __future__ import annotations

import math
from typing import Any

from ...backend.array import random
from ...backend.array.creation import asarray
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .methods import METHODS

__all__ = ["Bernoulli", "Categorical", "Distribution", "Normal"]


class Distribution:
    """What can be drawn from, and how probable each value is."""


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
        logits = self.logits.expand(*value.shape, self.logits.shape[-1])
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
        self.loc, self.scale = asarray(loc), asarray(scale)

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
        z = (value - self.loc) / self.scale
        return -0.5 * z * z - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def entropy(self) -> Tensor:
        """log(scale √(2πe)).

        Returns
        -------
        Tensor
            Differentiable.
        """
        return self.scale.log() + 0.5 * (1 + math.log(2 * math.pi)) + 0 * self.loc


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
