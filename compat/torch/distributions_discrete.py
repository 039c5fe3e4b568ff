"""`torch.distributions`: classes, and yes or no."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...backend.array import random
from ...backend.array.creation import asarray
from ...backend.array.indexing import where
from ...backend.array.info import finfo
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .distributions_base import Distribution
from .distributions_constraints import CONSTRAINTS as C
from .methods import METHODS
from .sizes import Size

__all__ = ["Bernoulli", "Categorical", "OneHotCategorical"]


def clamped(probs: Tensor) -> Tensor:
    """Within [ε, 1 − ε], ε of the dtype, so that logarithms are finite.

    Parameters
    ----------
    probs : Tensor
        Probabilities.

    Returns
    -------
    Tensor
        As PyTorch computes logits from.
    """
    eps = float(finfo(probs.dtype).eps)
    return probs.clip(min=eps, max=1 - eps)


class _Classes(Distribution):
    """p = probs / Σ probs = softmax(logits), of (..., C)."""

    arg_constraints = {"probs": C.simplex, "logits": C.real_vector}

    def __init__(self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: Any = None):
        if (probs is None) == (logits is None):
            raise ValueError("`probs` or `logits` must be given, and not both")
        if logits is not None:
            self.logits = functional.log_softmax(logits, dim=-1)
        elif probs is not None:
            self.probs = probs / probs.sum(dim=-1, keepdim=True)
        super().__init__(validate_args=validate_args)

    # A policy that only draws needs no logarithms, and each is an operation to record.
    probs = functools.cached_property(lambda self: self.logits.exp())
    logits = functools.cached_property(lambda self: clamped(self.probs).log())

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters, but for the last axis."""
        return Size(self.probs.shape[:-1])

    @property
    def param_shape(self) -> Size:
        """The shape of the parameters."""
        return Size(self.probs.shape)

    def entropy(self) -> Tensor:
        """−Σ p log p.

        Returns
        -------
        Tensor
            Differentiable.
        """
        return -(self.probs * self.logits).sum(dim=-1)

    def _drawn(self, sample_shape: Any) -> Tensor:
        rows = self.probs.detach().reshape(-1, self.probs.shape[-1])
        drawn = METHODS["multinomial"](rows, math.prod(sample_shape), True)
        return drawn.T.reshape(*sample_shape, *self.probs.shape[:-1])

    def _log_prob_of(self, classes: Tensor) -> Tensor:
        logits = self.logits
        if classes.shape != logits.shape[:-1]:
            shape = np.broadcast_shapes(classes.shape, logits.shape[:-1])
            classes, logits = classes.expand(*shape), logits.expand(*shape, logits.shape[-1])
        return logits.gather(-1, classes.unsqueeze(-1)).squeeze(-1)


class Categorical(_Classes):
    """One of several, as its number.

    Parameters
    ----------
    probs, logits : Tensor (..., C)
        One of the two, p = probs / Σ probs = softmax(logits).
    """

    support = property(lambda self: C.integer_interval(0, self.probs.shape[-1] - 1))
    mean = variance = property(lambda self: self.probs.detach()[..., 0] * math.nan)  # type: ignore[assignment]
    mode = property(lambda self: self.probs.argmax(-1))

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
        return self._drawn(sample_shape)

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
        self._validate_sample(value)
        return self._log_prob_of(value.long())


class OneHotCategorical(_Classes):
    """One of several, as a row with a single 1.

    Parameters
    ----------
    probs, logits : Tensor (..., C)
        One of the two.
    """

    support = C.one_hot
    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))
    mode = property(lambda self: self._rows(self.probs.argmax(-1)))
    event_shape = property(lambda self: Size(self.probs.shape[-1:]))  # type: ignore[assignment]

    def _rows(self, classes: Tensor) -> Tensor:
        return functional.one_hot(classes, self.probs.shape[-1]).to(self.probs.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rows with a single 1."""
        return self._rows(self._drawn(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """That of where the 1 is."""
        self._validate_sample(value)
        return self._log_prob_of(value.argmax(-1))


class Bernoulli(Distribution):
    """1 with probability `probs` = sigmoid(logits), else 0.

    Parameters
    ----------
    probs, logits : Tensor
        One of the two.
    """

    arg_constraints = {"probs": C.unit_interval, "logits": C.real}
    support = C.boolean

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        if (probs is None) == (logits is None):
            raise ValueError("`probs` or `logits` must be given, and not both")
        if logits is None:
            self.probs = asarray(probs)
            inner = clamped(self.probs)
            self.logits = inner.log() - (-inner).log1p()
        else:
            self.logits = asarray(logits)
            self.probs = functional.sigmoid(self.logits)
        super().__init__(validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The probability of 1."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The likelier; NaN where none is."""
        p = self.probs.detach()
        return where(p == 0.5, p * math.nan, (p > 0.5).to(p.dtype))

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
        self._validate_sample(value)
        return value * self.logits - functional.softplus(self.logits)

    def entropy(self) -> Tensor:
        """−p log p − (1 − p) log(1 − p).

        Returns
        -------
        Tensor
            Differentiable.
        """
        return functional.softplus(self.logits) - self.probs * self.logits
