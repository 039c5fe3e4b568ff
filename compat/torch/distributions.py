"""`torch.distributions`: what policies and variational models draw from."""

from typing import Any

from .absent import absent
from .distributions_base import Distribution
from .distributions_composed import Independent, TransformedDistribution
from .distributions_counts import Geometric, Poisson
from .distributions_discrete import Bernoulli, Categorical, OneHotCategorical
from .distributions_divergence import kl_divergence, register_kl
from .distributions_gamma import Beta, Dirichlet, Gamma
from .distributions_inverse import Cauchy, Exponential, Gumbel, Laplace, Uniform
from .distributions_mixture import MixtureSameFamily
from .distributions_normal import LogNormal, MultivariateNormal, Normal
from .distributions_positive import Chi2, HalfCauchy, HalfNormal, Pareto, StudentT, Weibull
from .distributions_relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from .distributions_transforms import TanhTransform
from .distributions_trials import Binomial, Multinomial, NegativeBinomial

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "Independent",
    "Laplace",
    "LogNormal",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Pareto",
    "Poisson",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "StudentT",
    "TanhTransform",
    "TransformedDistribution",
    "Uniform",
    "Weibull",
    "kl_divergence",
    "register_kl",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(absent(f"torch.distributions.{name}", name, __all__))
