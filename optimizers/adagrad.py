"""Adagrad."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    r"""Gradient over the root of the sum of all squared gradients so far.

        g ← g + λ p                             weight_decay λ
        s ← s + g²                          (1)  from initial_accumulator_value
        p ← p − η g / (√s + ε)              (2)  η = lr / (1 + (t−1) lr_decay)

    ε stands outside the root. Parameters, defaults and state ("step", "sum" s) as `torch.optim.Adagrad`.

    Reference: Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
    2011.
    """

    kernel = ("Adagrad", "sum")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> dict[str, float]:
        return {"sum": group["initial_accumulator_value"]}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        c = descent_coefficients(group)
        c["eta"] = group["lr"] / (1 + (clock["step"] - 1) * group["lr_decay"])
        c["eps"] = group["eps"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        s = state["sum"]
        g = descent_direction(p, g, group, c)
        s += g * g  # (1)
        p -= g / (xp.sqrt(s) + c.eps) * c.eta  # (2)
