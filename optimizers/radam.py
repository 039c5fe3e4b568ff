"""RAdam."""

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

__all__ = ["RAdam"]


class RAdam(Optimizer):
    """Adam that trusts the second moment as far as its variance allows: a warm-up without a schedule.

        g ← g + λ p,  or p ← (1 − lr λ) p       weight_decay λ; decoupled_weight_decay chooses
        m ← m + (1−β₁)(g − m)               (1)
        v ← v + (1−β₂)(g² − v)              (2)
        p ← p − η m / (a √v + b)            (3)

    With ρ_∞ = 2/(1−β₂) − 1 and ρₜ = ρ_∞ − 2t β₂ᵗ/(1−β₂ᵗ), the length of the average that v is at step t:

        ρₜ > 5:  a = 1, b = ε, η = lr r √(1−β₂ᵗ) / (1−β₁ᵗ),  r² = (ρₜ−4)(ρₜ−2)ρ_∞ / ((ρ_∞−4)(ρ_∞−2)ρₜ)
        else:    a = 0, b = 1, η = lr / (1−β₁ᵗ)              (momentum alone)

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        β₁ and β₂, the shares of the past in m and v, each in [0, 1).
    eps : float, default 1e-8
        ε ≥ 0, added to √v before the bias correction.
    weight_decay : float, default 0
        λ ≥ 0.
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
    Parameters, defaults and state ("step", "exp_avg" m, "exp_avg_sq" v) as `torch.optim.RAdam`. The threshold is 5, as
    in the authors' code.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", 2020.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.RAdam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.8, -1.6]
    """

    kernel = ("RAdam", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
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
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> Mapping[str, float]:
        return MOMENTS

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        t, lr = clock["step"], group["lr"]
        beta1, beta2 = group["betas"]
        a, b, eta = 0.0, 1.0, lr / (1 - beta1**t)
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            a, b, eta = 1.0, group["eps"], eta * r * sqrt(1 - beta2**t)
        c = descent_coefficients(group)
        c["alpha1"], c["alpha2"] = 1 - beta1, 1 - beta2
        c["eta"], c["a"], c["b"] = eta, a, b
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = descent_direction(p, g, group, c)
        m, v = update_moments(g, state, c)  # (1) (2)
        p -= m * c.eta / (xp.sqrt(v) * c.a + c.b)  # (3)
