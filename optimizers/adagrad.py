"""Adagrad."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Gradient over the root of the sum of all squared gradients so far.

    g ← g + λ p                             weight_decay λ
    s ← s + g²                          (1)  from initial_accumulator_value
    p ← p − η g / (√s + ε)              (2)  η = lr / (1 + (t−1) lr_decay)

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-2
        Learning rate.
    lr_decay : float, default 0
        How fast η falls, ≥ 0.
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    initial_accumulator_value : float, default 0
        What s starts from, ≥ 0.
    eps : float, default 1e-10
        ε ≥ 0, outside the root.
    foreach : bool, optional
        Of PyTorch; without effect.
    maximize : bool, default False
        Climb instead of descending.
    differentiable : bool, default False
        Of PyTorch; must be False.
    fused : bool, optional
        Of PyTorch; without effect.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is listed twice or no leaf.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state ("step", "sum" s) as `torch.optim.Adagrad`.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.Adagrad([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.9, -1.9]
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
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_switches(foreach=foreach, differentiable=differentiable, fused=fused)
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
