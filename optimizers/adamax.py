"""Adamax."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adam with the infinity norm in place of the root mean square.

    g ← g + λ p                             weight_decay λ
    m ← m + (1−β₁)(g − m)               (1)
    u ← max(β₂ u, |g| + ε)              (2)
    p ← p − η m / u                     (3)  η = lr / (1−β₁ᵗ)

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 2e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        β₁ and β₂, the shares of the past in m and u, each in [0, 1).
    eps : float, default 1e-8
        ε ≥ 0, inside the maximum.
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    foreach : bool, optional
        Of PyTorch; without effect.
    maximize : bool, default False
        Climb instead of descending.
    differentiable : bool, default False
        Of PyTorch; must be False.
    capturable : bool, default False
        Of PyTorch; without effect.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is listed twice or no leaf.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state ("step", "exp_avg" m, "exp_inf" u) as `torch.optim.Adamax`.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 7.1.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.Adamax([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.9, -1.9]
    """

    kernel = ("Adamax", "exp_avg", "exp_inf")

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_switches(foreach=foreach, differentiable=differentiable, capturable=capturable)
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
