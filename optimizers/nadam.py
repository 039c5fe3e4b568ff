"""NAdam."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import (
    MOMENTS,
    Clock,
    Group,
    Numbers,
    Params,
    Vectors,
    descent_coefficients,
    descent_direction,
    update_moments,
)

__all__ = ["NAdam"]


class NAdam(Optimizer):
    """Adam with Nesterov momentum.

        g ← g + λ p,  or p ← (1 − lr λ) p       weight_decay λ; decoupled_weight_decay chooses
        m ← m + (1−β₁)(g − m)               (1)
        v ← v + (1−β₂)(g² − v)              (2)
        p ← p − (η_g g + η_m m) / (√v + ε̂)  (3)

    with the momentum schedule μₜ = β₁ (1 − ½·0.96^(tψ)), ψ = momentum_decay, and its running product Πₜ = μ₁ … μₜ:

        η_g = lr √(1−β₂ᵗ) (1−μₜ) / (1−Πₜ),  η_m = lr √(1−β₂ᵗ) μₜ₊₁ / (1−Πₜ₊₁),  ε̂ = ε √(1−β₂ᵗ).

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 2e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        β₁ and β₂, the shares of the past in m and v, each in [0, 1).
    eps : float, default 1e-8
        ε ≥ 0, against division by zero.
    weight_decay : float, default 0
        λ ≥ 0.
    momentum_decay : float, default 4e-3
        ψ ≥ 0, how fast the momentum grows to β₁.
    decoupled_weight_decay : bool, default False
        Whether λ shrinks the parameter itself, as in AdamW.
    foreach : bool, optional
        Of PyTorch; without effect.
    maximize : bool, default False
        Climb instead of descending.
    capturable : bool, default False
        Of PyTorch; without effect.
    differentiable : bool, default False
        Of PyTorch; must be False.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is listed twice or no leaf.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state ("step", "mu_product" Π, "exp_avg" m, "exp_avg_sq" v) as `torch.optim.NAdam`; Π is
    kept in double precision.

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", 2016.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.NAdam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.894, -1.894]
    """

    clock = {"step": 0, "mu_product": 1.0}

    kernel = ("NAdam", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        check_switches(foreach=foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> Mapping[str, float]:
        return MOMENTS

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        t, lr, momentum_decay = clock["step"], group["lr"], group["momentum_decay"]
        beta1, beta2 = group["betas"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (s * momentum_decay)) for s in (t, t + 1))
        product = clock["mu_product"] = clock["mu_product"] * mu
        correction = sqrt(1 - beta2**t)
        c = descent_coefficients(group)
        c["alpha1"], c["alpha2"] = 1 - beta1, 1 - beta2
        c["eta_g"] = lr * correction * (1 - mu) / (1 - product)
        c["eta_m"] = lr * correction * mu_next / (1 - product * mu_next)
        c["eps"] = group["eps"] * correction
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = descent_direction(p, g, group, c)
        m, v = update_moments(g, state, c)  # (1) (2)
        p -= (g * c.eta_g + m * c.eta_m) / (xp.sqrt(v) + c.eps)  # (3)
