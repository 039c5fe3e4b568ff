"""AdaBound."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from .optimizer import Optimizer
from .rule import (
    MOMENTS,
    MOMENTS_AND_MAXIMUM,
    Clock,
    Group,
    Numbers,
    Params,
    Vectors,
    descent_coefficients,
    descent_direction,
    update_moments,
)

__all__ = ["AdaBound"]


class AdaBound(Optimizer):
    """Adam whose step sizes are clipped to a band that narrows to one number: it ends as SGD with momentum.

        g ← g + λ p                             weight_decay λ
        m ← m + (1−β₁)(g − m)               (1)
        v ← v + (1−β₂)(g² − v)              (2)
        v̂ ← max(v̂, v)  (else v̂ = v)          (3)  with amsbound
        s = clip(η / (√v̂ + ε), lower, upper)(4)  η = lr √(1−β₂ᵗ) / (1−β₁ᵗ)
        p ← p − s m                         (5)

    with lower = lr* (1 − 1/(γt+1)), upper = lr* (1 + 1/(γt)) and lr* = final_lr · lr / base_lr, so that a schedule
    moves the band too; base_lr is the group's lr at the start.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        β₁ and β₂, the shares of the past in m and v, each in [0, 1).
    final_lr : float, default 0.1
        The rate of SGD at the end, ≥ 0.
    gamma : float, default 1e-3
        γ in (0, 1), how fast the band narrows.
    eps : float, default 1e-8
        ε ≥ 0, against division by zero.
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    amsbound : bool, default False
        Divide by the greatest v so far, (3): AMSBound.
    maximize : bool, default False
        Climb instead of descending.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is listed twice or no leaf.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    State: "step", "exp_avg" m, "exp_avg_sq" v, "max_exp_avg_sq" v̂. ε and bias correction are as in the authors' code.
    PyTorch has no such optimizer.

    References
    ----------
    Luo, Xiong, Liu and Sun, "Adaptive gradient methods with dynamic bound of learning rate", 2019.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.AdaBound([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.9, -1.9]
    """

    kernel = ("AdaBound", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsbound: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "final_lr": final_lr,
                "gamma": gamma,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsbound": amsbound,
                "maximize": maximize,
            },
        )

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        self.param_groups[-1].setdefault("base_lr", self.param_groups[-1]["lr"])

    def slots(self, group: Group) -> Mapping[str, float]:
        return MOMENTS_AND_MAXIMUM if group["amsbound"] else MOMENTS

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        t, lr, gamma = clock["step"], group["lr"], group["gamma"]
        beta1, beta2 = group["betas"]
        final = group["final_lr"] * (lr / group["base_lr"] if group["base_lr"] else 1.0)
        c = descent_coefficients(group)
        c["alpha1"], c["alpha2"] = 1 - beta1, 1 - beta2
        c["eta"] = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
        c["eps"] = group["eps"]
        c["lower"] = final * (1 - 1 / (gamma * t + 1))
        c["upper"] = final * (1 + 1 / (gamma * t))
        c["amsbound"] = group["amsbound"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = descent_direction(p, g, group, c)
        m, v = update_moments(g, state, c)  # (1) (2)
        if group["amsbound"]:
            v_max = state["max_exp_avg_sq"]
            v_max[...] = v = xp.maximum(v_max, v)  # (3)
        s = xp.minimum(xp.maximum(c.eta / (xp.sqrt(v) + c.eps), c.lower), c.upper)  # (4)
        p -= s * m  # (5)
