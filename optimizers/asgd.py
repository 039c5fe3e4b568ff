"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Averaged stochastic gradient descent: steps that shrink, and the mean of where they led.

        g ← g + w p                             weight_decay w
        p ← (1 − λ η) p − η g               (1)  lambd λ
        ā ← ā + μ (p − ā)                   (2)
        η = lr / (1 + λ lr t)^α             (3)  of the next step; at first η = lr
        μ = 1 / max(1, t − t₀)              (4)  of the next step; at first μ = 1: until t₀, ā is p

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-2
        Learning rate.
    lambd : float, default 1e-4
        λ ≥ 0, how fast η falls, and a decay of the parameters.
    alpha : float, default 0.75
        α ≥ 0, the power of (3).
    t0 : float, default 1e6
        t₀ ≥ 0, the step from which on ā is a mean.
    weight_decay : float, default 0
        w ≥ 0, coupled (L2).
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
    Parameters, defaults and state ("step" t, "eta" η, "mu" μ, "ax" ā) as `torch.optim.ASGD`; as there, the mean is only
    kept in the state. η and μ are in double precision, where PyTorch has float32.

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.ASGD([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.5, -1.0]
    """

    clock = {"step": 0, "eta": 0.0, "mu": 1.0}
    kernel = ("ASGD", "ax")
    limits = {"lambd": {"low": 0}, "alpha": {"low": 0}, "t0": {"low": 0}}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_switches(foreach=foreach, differentiable=differentiable, capturable=capturable)
        super().__init__(
            params,
            {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "maximize": maximize},
        )

    def slots(self, group: Group) -> dict[str, float]:
        return {"ax": 0.0}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        t, lr, lambd = clock["step"], group["lr"], group["lambd"]
        eta, mu = lr if t == 1 else clock["eta"], clock["mu"]
        clock["eta"] = lr / (1 + lambd * lr * t) ** group["alpha"]  # (3)
        clock["mu"] = 1 / max(1, t - group["t0"])  # (4)
        c = descent_coefficients(group)
        c["shrink"], c["eta"], c["mu"] = 1 - lambd * eta, eta, mu
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = descent_direction(p, g, group, c)
        p *= c.shrink
        p -= g * c.eta  # (1)
        ax = state["ax"]
        ax[...] = xp.where(c.mu == 1, p, ax + (p - ax) * c.mu)  # (2), without rounding while it is p
