"""`torch.distributions`: what policies and variational models draw from."""

from .distributions_base import Distribution
from .distributions_composed import Independent, TransformedDistribution
from .distributions_counts import Geometric, Poisson
from .distributions_discrete import Bernoulli, Categorical, OneHotCategorical
from .distributions_divergence import kl_divergence, register_kl
from .distributions_gamma import Beta, Dirichlet, Gamma
from .distributions_inverse import Cauchy, Exponential, Gumbel, Laplace, Uniform
from .distributions_normal import LogNormal, MultivariateNormal, Normal
from .distributions_relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from .distributions_transforms import TanhTransform

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Cauchy",
    "Dirichlet",
    "Distribution",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "Independent",
    "Laplace",
    "LogNormal",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "TanhTransform",
    "TransformedDistribution",
    "Uniform",
    "kl_divergence",
    "register_kl",
]
