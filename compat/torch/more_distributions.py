"""`torch.distributions`: further ones, what is made of others, and how far two are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend.array import linalg, random
from ...backend.array.creation import asarray
from ...backend.array.manipulation import stack
from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor, wrap
from ...layers import functional
from .arithmetic import digamma, lgamma
from .distributions import Bernoulli, Categorical, Distribution, Normal, broadcast
from .sizes import Size

__all__ = [
    "Beta", "Dirichlet", "Exponential", "Gamma", "Geometric", "Gumbel", "Independent", "Laplace", "LogNormal",
    "MultivariateNormal", "OneHotCategorical", "Poisson", "RelaxedBernoulli", "RelaxedOneHotCategorical", "TanhTransform",
    "TransformedDistribution", "Uniform", "kl_divergence", "register_kl",
]  # fmt: skip


def _uniform_like(x: Tensor, sample_shape: Any) -> Tensor:
    """On (0, 1)."""
    return random.rand(*sample_shape, *x.shape, dtype=x.dtype, device=x.device).clamp(1e-7, 1 - 1e-7)


def _source(x: Tensor) -> np.random.Generator:
    """NumPy's generator, seeded from the default one."""
    return np.random.default_rng(int(random.default_generator.integers(0, 2**31 - 1, (1,))[0]))


class Uniform(Distribution):
    """1 / (high − low) on [low, high).

    Parameters
    ----------
    low, high : Tensor or float
        The limits.
    """

    def __init__(self, low: Any, high: Any, validate_args: Any = None):
        self.low, self.high = broadcast(low, high)

    mean = property(lambda self: (self.low + self.high) / 2)
    variance = property(lambda self: (self.high - self.low) ** 2 / 12)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """low + (high − low) u."""
        drawn = random.rand(*sample_shape, *self.low.shape, dtype=self.low.dtype, device=self.low.device)
        return self.low + (self.high - self.low) * drawn

    def log_prob(self, value: Tensor) -> Tensor:
        """−log(high − low), −∞ outside."""
        inside = (value >= self.low) & (value < self.high)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def entropy(self) -> Tensor:
        """log(high − low)."""
        return (self.high - self.low).log()


class Exponential(Distribution):
    """rate · exp(−rate x).

    Parameters
    ----------
    rate : Tensor or float
        1 / mean.
    """

    def __init__(self, rate: Any, validate_args: Any = None):
        (self.rate,) = broadcast(rate)

    mean = property(lambda self: 1 / self.rate)
    variance = property(lambda self: self.rate**-2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """−log(u) / rate."""
        return -_uniform_like(self.rate, sample_shape).log() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """log rate − rate x."""
        return self.rate.log() - self.rate * value

    def entropy(self) -> Tensor:
        """1 − log rate."""
        return 1 - self.rate.log()


class Laplace(Distribution):
    """exp(−|x − loc| / scale) / (2 scale).

    Parameters
    ----------
    loc, scale : Tensor or float
        Mean and width.
    """

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)

    mean = property(lambda self: self.loc)
    variance = property(lambda self: 2 * self.scale**2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """By the inverse of the distribution function."""
        u = _uniform_like(self.loc, sample_shape) - 0.5
        return self.loc - self.scale * u.sign() * (-2 * u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        """−|x − loc| / scale − log(2 scale)."""
        return -(value - self.loc).abs() / self.scale - (2 * self.scale).log()

    def entropy(self) -> Tensor:
        """1 + log(2 scale)."""
        return 1 + (2 * self.scale).log()


class Gumbel(Distribution):
    """exp(−z − exp(−z)) / scale, z = (x − loc) / scale.

    Parameters
    ----------
    loc, scale : Tensor or float
        Mode and width.
    """

    def __init__(self, loc: Any, scale: Any, validate_args: Any = None):
        self.loc, self.scale = broadcast(loc, scale)

    mean = property(lambda self: self.loc + self.scale * 0.5772156649015329)
    variance = property(lambda self: self.scale**2 * math.pi**2 / 6)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc − scale log(−log u)."""
        return self.loc - self.scale * (-_uniform_like(self.loc, sample_shape).log()).log()

    def log_prob(self, value: Tensor) -> Tensor:
        """−z − exp(−z) − log scale."""
        z = (value - self.loc) / self.scale
        return -z - (-z).exp() - self.scale.log()

    def entropy(self) -> Tensor:
        """log scale + 1 + γ."""
        return self.scale.log() + 1.5772156649015329


class LogNormal(Normal):
    """What has a normal logarithm.

    Parameters
    ----------
    loc, scale : Tensor or float
        Of the logarithm.
    """

    mean = property(lambda self: (self.loc + self.scale**2 / 2).exp())  # type: ignore[assignment]
    variance = property(  # type: ignore[assignment]
        lambda self: ((self.scale**2).exp() - 1) * (2 * self.loc + self.scale**2).exp()
    )

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """exp of a normal one."""
        return super().rsample(sample_shape).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        """That of the logarithm, less the logarithm."""
        return super().log_prob(value.log()) - value.log()

    def entropy(self) -> Tensor:
        """That of the logarithm, plus loc."""
        return super().entropy() + self.loc


class Gamma(Distribution):
    """rateᵃ xᵃ⁻¹ exp(−rate x) / Γ(a), a being the concentration. Drawn off the tape.

    Parameters
    ----------
    concentration, rate : Tensor or float
        Shape and inverse scale.
    """

    def __init__(self, concentration: Any, rate: Any, validate_args: Any = None):
        self.concentration, self.rate = broadcast(concentration, rate)

    mean = property(lambda self: self.concentration / self.rate)
    variance = property(lambda self: self.concentration / self.rate**2)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By NumPy's generator, seeded from the default one."""
        a, rate = (t.detach().cpu().numpy() for t in (self.concentration, self.rate))
        found = _source(self.rate).gamma(a, 1 / rate, (*sample_shape, *a.shape))
        return wrap(np.asarray(found, a.dtype), "cpu").to(self.rate.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """a log rate + (a − 1) log x − rate x − log Γ(a)."""
        a, rate = self.concentration, self.rate
        return a * rate.log() + (a - 1) * value.log() - rate * value - lgamma(a)

    def entropy(self) -> Tensor:
        """a − log rate + log Γ(a) + (1 − a) ψ(a)."""
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1 - a) * digamma(a)


class Dirichlet(Distribution):
    """∏ xᵢ^(aᵢ − 1) / B(a) on the simplex. Drawn off the tape.

    Parameters
    ----------
    concentration : Tensor (..., C)
        a.
    """

    def __init__(self, concentration: Any, validate_args: Any = None):
        (self.concentration,) = broadcast(concentration)
        self.event_shape = Size(self.concentration.shape[-1:])

    mean = property(lambda self: self.concentration / self.concentration.sum(-1, keepdim=True))

    @property
    def variance(self) -> Tensor:
        """m (1 − m) / (Σ a + 1)."""
        mean, total = self.mean, self.concentration.sum(-1, keepdim=True)
        return mean * (1 - mean) / (total + 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Gamma's, over their sum."""
        drawn = Gamma(self.concentration, 1.0).sample(sample_shape)
        return drawn / drawn.sum(-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Σ (a − 1) log x + log Γ(Σ a) − Σ log Γ(a)."""
        a = self.concentration
        return ((a - 1) * value.log()).sum(-1) + lgamma(a.sum(-1)) - lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        """log B(a) + (Σ a − C) ψ(Σ a) − Σ (a − 1) ψ(a)."""
        a = self.concentration
        total = a.sum(-1)
        log_b = lgamma(a).sum(-1) - lgamma(total)
        return log_b + (total - a.shape[-1]) * digamma(total) - ((a - 1) * digamma(a)).sum(-1)


class Beta(Distribution):
    """xᵃ⁻¹ (1 − x)ᵇ⁻¹ / B(a, b). Drawn off the tape.

    Parameters
    ----------
    concentration1, concentration0 : Tensor or float
        a and b.
    """

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: Any = None):
        self.concentration1, self.concentration0 = broadcast(concentration1, concentration0)

    mean = property(lambda self: self.concentration1 / (self.concentration1 + self.concentration0))

    @property
    def variance(self) -> Tensor:
        """a b / ((a + b)² (a + b + 1))."""
        a, b = self.concentration1, self.concentration0
        return a * b / ((a + b) ** 2 * (a + b + 1))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Of two gamma's."""
        x, y = (Gamma(a, 1.0).sample(sample_shape) for a in (self.concentration1, self.concentration0))
        return x / (x + y)

    def log_prob(self, value: Tensor) -> Tensor:
        """(a − 1) log x + (b − 1) log(1 − x) − log B(a, b)."""
        a, b = self.concentration1, self.concentration0
        return (a - 1) * value.log() + (b - 1) * (-value).log1p() + lgamma(a + b) - lgamma(a) - lgamma(b)

    def entropy(self) -> Tensor:
        """log B − (a − 1) ψ(a) − (b − 1) ψ(b) + (a + b − 2) ψ(a + b)."""
        a, b = self.concentration1, self.concentration0
        log_b = lgamma(a) + lgamma(b) - lgamma(a + b)
        return log_b - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)


class Poisson(Distribution):
    """rateˣ exp(−rate) / x!

    Parameters
    ----------
    rate : Tensor or float
        The mean.
    """

    def __init__(self, rate: Any, validate_args: Any = None):
        (self.rate,) = broadcast(rate)

    mean = variance = property(lambda self: self.rate)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """By NumPy's generator, seeded from the default one."""
        rate = self.rate.detach().cpu().numpy()
        found = _source(self.rate).poisson(rate, (*sample_shape, *rate.shape))
        return wrap(np.asarray(found, rate.dtype), "cpu").to(self.rate.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """x log rate − rate − log x!"""
        return value * self.rate.log() - self.rate - lgamma(value + 1)


class Geometric(Distribution):
    """(1 − p)ˣ p, x = 0, 1, …

    Parameters
    ----------
    probs, logits : Tensor or float
        One of the two.
    """

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: Any = None):
        self.probs = broadcast(probs if logits is None else functional.sigmoid(asarray(logits)))[0]

    mean = property(lambda self: 1 / self.probs - 1)
    variance = property(lambda self: (1 / self.probs - 1) / self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """⌊log u / log(1 − p)⌋."""
        with no_grad():
            return (_uniform_like(self.probs, sample_shape).log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """x log(1 − p) + log p."""
        return value * (-self.probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        """That of a coin, over p."""
        return Bernoulli(probs=self.probs).entropy() / self.probs


class OneHotCategorical(Categorical):
    """One of several, as a row with a single 1.

    Parameters
    ----------
    probs, logits : Tensor (..., C)
        One of the two.
    """

    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rows with a single 1."""
        return functional.one_hot(super().sample(sample_shape), self.probs.shape[-1]).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """That of where the 1 is."""
        return super().log_prob(value.argmax(-1))


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
        noise = -(-_uniform_like(logits, sample_shape).log()).log()
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
        u = _uniform_like(self.base.logits, sample_shape)
        return functional.sigmoid((self.base.logits + u.log() - (-u).log1p()) / self.temperature)


class MultivariateNormal(Distribution):
    """exp(−½ (x − loc)ᵀ Σ⁻¹ (x − loc)) / √((2π)ᵈ det Σ), Σ = L Lᵀ.

    Parameters
    ----------
    loc : Tensor (..., d)
        The mean.
    covariance_matrix, precision_matrix, scale_tril : Tensor (..., d, d)
        One of the three: Σ, Σ⁻¹ or L.
    """

    def __init__(
        self, loc: Tensor, covariance_matrix: Any = None, precision_matrix: Any = None, scale_tril: Any = None,
        validate_args: Any = None,
    ):  # fmt: skip
        if sum(m is not None for m in (covariance_matrix, precision_matrix, scale_tril)) != 1:
            raise ValueError(
                "one of `covariance_matrix`, `precision_matrix` and `scale_tril` must be given, and no other"
            )
        if precision_matrix is not None:
            covariance_matrix = linalg.inv(precision_matrix)
        found = linalg.cholesky(covariance_matrix) if scale_tril is None else scale_tril
        batch = np.broadcast_shapes(loc.shape[:-1], found.shape[:-2])
        self.loc, self.scale_tril = loc.expand(*batch, loc.shape[-1]), found.expand(*batch, *found.shape[-2:])
        self.event_shape = Size(loc.shape[-1:])

    mean = property(lambda self: self.loc)
    covariance_matrix = property(lambda self: self.scale_tril @ self.scale_tril.transpose(-2, -1))
    variance = property(lambda self: (self.scale_tril**2).sum(-1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """loc + L ε."""
        noise = random.randn(*sample_shape, *self.loc.shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Tensor:
        return self.scale_tril.diagonal(0, -2, -1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        z = linalg.solve(
            self.scale_tril.expand(*value.shape, value.shape[-1]), (value - self.loc).unsqueeze(-1)
        ).squeeze(-1)
        return -0.5 * ((z * z).sum(-1) + value.shape[-1] * math.log(2 * math.pi)) - self._half_log_det()

    def entropy(self) -> Tensor:
        """½ d (1 + log 2π) + ½ log det Σ."""
        return 0.5 * self.loc.shape[-1] * (1 + math.log(2 * math.pi)) + self._half_log_det()


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


class TanhTransform:
    """y = tanh x.

    Parameters
    ----------
    cache_size : int, default 0
        PyTorch's; it changes nothing.
    """

    def __init__(self, cache_size: int = 0):
        self.cache_size = cache_size

    def __call__(self, x: Tensor) -> Tensor:
        return x.tanh()

    def inv(self, y: Tensor) -> Tensor:
        """artanh.

        Parameters
        ----------
        y : Tensor
            Within (−1, 1).

        Returns
        -------
        Tensor
            x.
        """
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dy / dx|.

        Parameters
        ----------
        x, y : Tensor
            Both sides.

        Returns
        -------
        Tensor
            2 (log 2 − x − softplus(−2 x)).
        """
        return 2 * (math.log(2) - x - functional.softplus(-2 * x))


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


# --- how far apart ----------------------------------------------------------------------------------------------------
_KL: dict[tuple[type, type], Callable] = {}


def register_kl(p: type, q: type) -> Callable:
    """Have a function compute the divergence of two kinds.

    Parameters
    ----------
    p, q : type
        Which.

    Returns
    -------
    callable
        Decorates the function.
    """

    def register(f: Callable) -> Callable:
        _KL[p, q] = f
        return f

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """∫ p log(p / q).

    Parameters
    ----------
    p, q : Distribution
        Which.

    Returns
    -------
    Tensor
        Differentiable.

    Raises
    ------
    NotImplementedError
        If no function for the two was registered.
    """
    for (a, b), f in reversed(_KL.items()):
        if isinstance(p, a) and isinstance(q, b):
            return f(p, q)
    raise NotImplementedError(
        f"`kl_divergence` has no rule for {type(p).__name__} and {type(q).__name__}; register_kl adds one"
    )


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return (p.probs * (p.logits - q.logits)).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    return p.probs * (p.logits - q.logits) - functional.softplus(p.logits) + functional.softplus(q.logits)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    return p._sum(kl_divergence(p.base_dist, q.base_dist))


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        (a - b) * digamma(a)
        - lgamma(a)
        + lgamma(b)
        + b * (p.rate.log() - q.rate.log())
        + a * (q.rate - p.rate) / p.rate
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    found = lgamma(total) - lgamma(a).sum(-1) - lgamma(b.sum(-1)) + lgamma(b).sum(-1)
    return found + ((a - b) * (digamma(a) - digamma(total).unsqueeze(-1))).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    a, b = (stack([d.concentration1, d.concentration0], axis=-1) for d in (p, q))
    return _dirichlet(Dirichlet(a), Dirichlet(b))


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    n = p.loc.shape[-1]
    m = linalg.solve(q.scale_tril, p.scale_tril)
    z = linalg.solve(q.scale_tril, (q.loc - p.loc).unsqueeze(-1)).squeeze(-1)
    return q._half_log_det() - p._half_log_det() + 0.5 * ((m * m).sum((-2, -1)) + (z * z).sum(-1) - n)
