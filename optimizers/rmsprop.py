"""RMSprop."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Gradient over its root mean square.

    g ← g + λ p                             weight_decay λ
    v ← v + (1−α)(g² − v)               (1)
    ḡ ← ḡ + (1−α)(g − ḡ),  s = v − ḡ²   (2)  with centered; else s = v
    d = g / (√s + ε)                    (3)
    b ← μ b + d,  d = b                 (4)  with momentum μ
    p ← p − lr d                        (5)

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        α in [0, 1], the share of the past in the averages.
    eps : float, default 1e-8
        ε ≥ 0, outside the root.
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    momentum : float, default 0
        μ ≥ 0.
    centered : bool, default False
        Divide by the standard deviation, (2).
    capturable : bool, default False
        Of PyTorch; without effect.
    foreach : bool, optional
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
    Parameters, defaults and state ("step", "square_avg" v, "grad_avg" ḡ, "momentum_buffer" b) as `torch.optim.RMSprop`.
    Departure: s is held at ≥ 0, where rounding would have given PyTorch the root of a negative number.

    References
    ----------
    Tieleman and Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.

    centered: Graves, "Generating sequences with recurrent neural networks", 2013.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.RMSprop([p], lr=0.01)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.9, -1.9]
    """

    kernel = ("RMSprop", "square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_switches(capturable=capturable, foreach=foreach, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> dict[str, float]:
        slots = {"square_avg": 0.0}
        if group["momentum"]:
            slots["momentum_buffer"] = 0.0
        if group["centered"]:
            slots["grad_avg"] = 0.0
        return slots

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        c = descent_coefficients(group)
        c["fresh"], c["eta"], c["eps"] = 1 - group["alpha"], group["lr"], group["eps"]
        c["mu"], c["centered"] = group["momentum"], group["centered"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = descent_direction(p, g, group, c)
        s = v = state["square_avg"]
        v += (g * g - v) * c.fresh  # (1)
        if group["centered"]:
            g_avg = state["grad_avg"]
            g_avg += (g - g_avg) * c.fresh
            s = xp.maximum(v - g_avg * g_avg, xp.zeros_like(v))  # (2)
        d = g / (xp.sqrt(s) + c.eps)  # (3)
        if group["momentum"]:
            b = state["momentum_buffer"]
            b *= c.mu
            b += d
            d = b  # (4)
        p -= d * c.eta  # (5)
