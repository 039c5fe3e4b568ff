"""Adamax."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["Adamax"]


class Adamax(Optimizer):
    r"""Adam with the infinity norm in place of the root mean square.

        g ← g + λ p                             weight_decay λ
        m ← m + (1−β₁)(g − m)               (1)
        u ← max(β₂ u, |g| + ε)              (2)
        p ← p − η m / u                     (3)  η = lr / (1−β₁ᵗ)

    ε is inside the maximum. Parameters, defaults and state ("step", "exp_avg" m, "exp_inf" u) as `torch.optim.Adamax`.

    Reference: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.1.
    """

    kernel = ("Adamax", "exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def slots(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_inf": 0.0}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        c = descent_coefficients(group)
        c["alpha1"], c["beta2"] = 1 - beta1, beta2
        c["eta"] = group["lr"] / (1 - beta1 ** clock["step"])
        c["eps"] = group["eps"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        m, u = state["exp_avg"], state["exp_inf"]
        g = descent_direction(p, g, group, c)
        m += (g - m) * c.alpha1  # (1)
        u *= c.beta2
        u[...] = xp.maximum(u, xp.abs(g) + c.eps)  # (2)
        p -= m / u * c.eta  # (3)
