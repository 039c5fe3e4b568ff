"""Adadelta."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps in the units of the parameter: gradient times the ratio of root mean squares of steps and gradients.

    g ← g + λ p                             weight_decay λ
    v ← v + (1−ρ)(g² − v)               (1)
    Δ = g √(u + ε) / √(v + ε)           (2)
    u ← u + (1−ρ)(Δ² − u)               (3)
    p ← p − lr Δ                        (4)

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1.0
        Learning rate.
    rho : float, default 0.9
        ρ in [0, 1], the share of the past in both averages.
    eps : float, default 1e-6
        ε ≥ 0, inside both roots: it decides the size of the first steps.
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    foreach : bool, optional
        Of PyTorch; without effect.
    capturable : bool, default False
        Of PyTorch; without effect.
    maximize : bool, default False
        Climb instead of descending.
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
    Parameters, defaults and state ("step", "square_avg" v, "acc_delta" u) as `torch.optim.Adadelta`.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012 (there, lr = 1).

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.Adadelta([p], lr=100.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.684, -1.684]
    """

    kernel = ("Adadelta", "square_avg", "acc_delta")

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_switches(foreach=foreach, capturable=capturable, differentiable=differentiable)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def slots(self, group: Group) -> dict[str, float]:
        return {"square_avg": 0.0, "acc_delta": 0.0}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        c = descent_coefficients(group)
        c["fresh"], c["eta"], c["eps"] = 1 - group["rho"], group["lr"], group["eps"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        v, u = state["square_avg"], state["acc_delta"]
        g = descent_direction(p, g, group, c)
        v += (g * g - v) * c.fresh  # (1)
        delta = g * (xp.sqrt(u + c.eps) / xp.sqrt(v + c.eps))  # (2)
        u += (delta * delta - u) * c.fresh  # (3)
        p -= delta * c.eta  # (4)
