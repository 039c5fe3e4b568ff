"""`torch.distributions`: how often something comes in so many trials, and how many trials it takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.array.indexing import where
from ...backend.tape.tensor import Tensor, wrap
from ...layers import functional
from .distributions_base import Distribution, broadcast, source
from .distributions_constraints import CONSTRAINTS as C
from .distributions_constraints import Constraint
from .distributions_discrete import Bernoulli, Categorical
from .sizes import Size
from .special import lgamma

__all__ = ["Binomial", "Multinomial", "NegativeBinomial"]


class _Trials(Distribution):
    """Of trials with two outcomes; `probs` = sigmoid(logits)."""

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: Any = None):
        coin = Bernoulli(probs, logits, validate_args=False)
        self.total_count, given = broadcast(total_count, coin.probs if logits is None else coin.logits)
        if logits is None:
            self.probs = given
        else:
            self.logits = given
        super().__init__(given.shape, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        if name == "logits":
            self.logits = Bernoulli(probs=self.probs, validate_args=False).logits
        elif name == "probs":
            self.probs = functional.sigmoid(self.logits)
        else:
            raise AttributeError(f"`{type(self).__name__}` has no attribute {name!r}")
        return vars(self)[name]

    def _counted(self, found: np.ndarray) -> Tensor:
        return wrap(np.asarray(found, self.total_count.dtype), "cpu").to(self.total_count.device)


class Binomial(_Trials):
    """n! / (x! (n − x)!) pˣ (1 − p)ⁿ⁻ˣ.

    Parameters
    ----------
    total_count : Tensor or int, default 1
        n.
    probs, logits : Tensor or float
        One of the two: p, or its logit.
    """

    arg_constraints = {"total_count": C.nonnegative_integer, "probs": C.unit_interval, "logits": C.real}

    def __init__(self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: Any = None):
        super().__init__(total_count, probs, logits, validate_args)

    support = property(lambda self: C.integer_interval(0, self.total_count))
    mean = property(lambda self: self.total_count * self.probs)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))
    mode = property(lambda self: ((self.total_count + 1) * self.probs).floor().minimum(self.total_count))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By NumPy's generator, seeded from the default one."""
        n, p = (t.detach().cpu().numpy() for t in (self.total_count, self.probs))
        return self._counted(source(self.probs).binomial(n.astype(np.int64), p, (*sample_shape, *p.shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """log n! − log x! − log (n − x)! + x logit − n softplus(logit)."""
        self._validate_sample(value)
        n = self.total_count
        ways = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)
        return ways + value * self.logits - n * functional.softplus(self.logits)

    def entropy(self) -> Tensor:
        """−Σ p log p over all counts, where n is the same everywhere."""
        n = int(self.total_count.max())
        if (self.total_count != n).any():
            raise NotImplementedError("the entropy of `Binomial` needs the same `total_count` everywhere")
        counts = wrap(np.arange(n + 1.0).astype(self.total_count.dtype), "cpu").to(self.total_count.device)
        log = self.log_prob(counts.reshape(-1, *[1] * self.total_count.ndim).expand(n + 1, *self.total_count.shape))
        return -(log.exp() * log).sum(0)


class NegativeBinomial(_Trials):
    """Γ(n + x) / (x! Γ(n)) pˣ (1 − p)ⁿ: successes before n failures.

    Parameters
    ----------
    total_count : Tensor or float
        n.
    probs, logits : Tensor or float
        One of the two: p, the probability of a success, or its logit.
    """

    arg_constraints = {
        "total_count": C.nonnegative, "probs": C.half_open_interval(0.0, 1.0), "logits": C.real,
    }  # fmt: skip
    support = C.nonnegative_integer
    mean = property(lambda self: self.total_count * self.logits.exp())
    mode = property(lambda self: ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0))
    variance = property(lambda self: self.mean / functional.sigmoid(-self.logits))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Poisson's, of a rate that is drawn by Γ; NumPy's generator, seeded from the default one."""
        n, logits = (np.asarray(t.detach().cpu().numpy(), np.float64) for t in (self.total_count, self.logits))
        generator = source(self.total_count)
        return self._counted(generator.poisson(generator.gamma(n, np.exp(logits), (*sample_shape, *n.shape))))

    def log_prob(self, value: Tensor) -> Tensor:
        """log Γ(n + x) − log x! − log Γ(n) + n log(1 − p) + x log p."""
        self._validate_sample(value)
        n = self.total_count
        ways = where(n + value == 0, 0.0, lgamma(n + value) - lgamma(value + 1) - lgamma(n))
        return ways - n * functional.softplus(self.logits) - value * functional.softplus(-self.logits)


class Multinomial(Distribution):
    """n! ∏ pᵢ^xᵢ / xᵢ!, the counts of n draws from classes.

    Parameters
    ----------
    total_count : int, default 1
        n.
    probs, logits : Tensor (..., C)
        One of the two, p = probs / Σ probs = softmax(logits).
    """

    def __init__(self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.total_count, self._classes = int(total_count), Categorical(probs, logits, validate_args)
        super().__init__(self._classes.batch_shape, self._classes.param_shape[-1:], validate_args)

    probs = property(lambda self: self._classes.probs)
    logits = property(lambda self: self._classes.logits)
    param_shape = property(lambda self: Size(self.probs.shape))
    mean = property(lambda self: self.total_count * self.probs)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))

    @property
    def support(self) -> Constraint:
        """Counts whose sum is n."""
        n = self.total_count
        return Constraint(
            lambda x: ((x >= 0) & (x % 1 == 0)).all(-1) & (x.sum(-1) == n), f"Multinomial(total_count={n})", 1
        )

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The counts of as many classes."""
        drawn = self._classes.sample((self.total_count, *sample_shape))
        return functional.one_hot(drawn, self.event_shape[0]).to(self.probs.dtype).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        """log n! − Σ log xᵢ! + Σ xᵢ log pᵢ."""
        self._validate_sample(value)
        return math.lgamma(self.total_count + 1) - lgamma(value + 1).sum(-1) + (value * self.logits).sum(-1)
