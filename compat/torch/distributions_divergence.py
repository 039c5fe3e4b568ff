"""`torch.distributions`: how far two are apart."""

from __future__ import annotations

from collections.abc import Callable

from ...backend.array import linalg
from ...backend.array.manipulation import stack
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .distributions_base import Distribution
from .distributions_composed import Independent
from .distributions_discrete import Bernoulli, Categorical, OneHotCategorical
from .distributions_gamma import Beta, Dirichlet, Gamma
from .distributions_inverse import Exponential
from .distributions_normal import LogNormal, MultivariateNormal, Normal
from .special import digamma, lgamma

__all__ = ["kl_divergence", "register_kl"]


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


@register_kl(LogNormal, LogNormal)
def _log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(OneHotCategorical, OneHotCategorical)
@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return (p.probs * (p.logits - q.logits)).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    return p.probs * (p.logits - q.logits) - functional.softplus(p.logits) + functional.softplus(q.logits)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "`kl_divergence` of two `Independent` needs as many axes in one event as in the other"
        )
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
    m = linalg.solve(q.scale_tril.tril(), p.scale_tril)
    z = linalg.solve(q.scale_tril.tril(), (q.loc - p.loc).unsqueeze(-1)).squeeze(-1)
    return q._half_log_det() - p._half_log_det() + 0.5 * ((m * m).sum((-2, -1)) + (z * z).sum(-1) - n)
