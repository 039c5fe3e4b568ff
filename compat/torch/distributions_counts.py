"""`torch.distributions`: counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.creation import asarray
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor, wrap
from ...layers import functional
from .distributions_base import Distribution, broadcast, source, uniform_like
from .distributions_constraints import CONSTRAINTS as C
from .distributions_constraints import Constraint
from .distributions_discrete import Bernoulli
from .special import lgamma

__all__ = ["Geometric", "Poisson"]


class Geometric(Distribution):
    """(1 − p)ˣ p, x = 0, 1, …

    Parameters
    ----------
    probs, logits : Tensor or float
        One of the two.
    """

    arg_constraints = {"probs": Constraint(lambda p: (p > 0) & (p <= 1), "0 < probs <= 1")}
    support = C.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.probs = broadcast(probs if logits is None else functional.sigmoid(asarray(logits)))[0]
        super().__init__(validate_args=validate_args)

    mean = property(lambda self: 1 / self.probs - 1)
    mode = property(lambda self: self.probs.detach() * 0)
    logits = property(lambda self: Bernoulli(probs=self.probs).logits)
    variance = property(lambda self: (1 / self.probs - 1) / self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """⌊log u / log(1 − p)⌋."""
        with no_grad():
            return (uniform_like(self.probs, sample_shape).log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """x log(1 − p) + log p."""
        self._validate_sample(value)
        return value * (-self.probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        """That of a coin, over p."""
        return Bernoulli(probs=self.probs).entropy() / self.probs


class Poisson(Distribution):
    """rateˣ exp(−rate) / x!

    Parameters
    ----------
    rate : Tensor or float
        The mean.
    """

    arg_constraints = {"rate": C.nonnegative}
    support = C.nonnegative_integer

    def __init__(self, rate: Any, validate_args: Any = None):
        (self.rate,) = broadcast(rate)
        super().__init__(validate_args=validate_args)

    mean = variance = property(lambda self: self.rate)
    mode = property(lambda self: self.rate.floor())

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By NumPy's generator, seeded from the default one."""
        rate = self.rate.detach().cpu().numpy()
        found = source(self.rate).poisson(rate, (*sample_shape, *rate.shape))
        return wrap(np.asarray(found, rate.dtype), "cpu").to(self.rate.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """x log rate − rate − log x!"""
        self._validate_sample(value)
        return value * self.rate.log() - self.rate - lgamma(value + 1)
