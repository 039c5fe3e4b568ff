"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

        g ← g + λ p                             weight_decay λ
        b ← μ b + (1−τ) g                   (1)  momentum μ, dampening τ; at the first step b ← g
        d = g + μ b                         (2)  with nesterov; else d = b, and without momentum d = g
        p ← p − lr d                        (3)

    Both conventions of momentum: τ = 0 sums gradients (v = μv + g), τ = μ averages them (v = μv + (1−μ)g).

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        μ ≥ 0.
    dampening : float, default 0
        τ; 0 with nesterov.
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    nesterov : bool, default False
        Look ahead, (2); needs momentum.
    maximize : bool, default False
        Climb instead of descending.
    foreach : bool, optional
        Of PyTorch; without effect.
    differentiable : bool, default False
        Of PyTorch; must be False.
    fused : bool, optional
        Of PyTorch; without effect.

    Raises
    ------
    ValueError
        If an option is out of range, or `nesterov` has no momentum or some dampening.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state ("momentum_buffer" b; "step" besides) as `torch.optim.SGD`. Departure: dampening
    applies from a parameter's second step on, also where momentum is switched on later.

    References
    ----------
    Polyak 1964.

    Nesterov 1983, in the form of Sutskever et al., "On the importance of initialization and momentum in deep learning",
    2013.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.SGD([p], lr=0.25, momentum=0.9)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.5, -1.0]
    """

    kernel = ("SGD", "momentum_buffer")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_switches(foreach=foreach, differentiable=differentiable, fused=fused)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"`nesterov` needs momentum > 0 and dampening = 0, got momentum {momentum} and dampening {dampening}"
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        c = descent_coefficients(group)
        c["eta"], c["mu"] = group["lr"], group["momentum"]
        return c | SGD.moving(self, group, clock) | {"nesterov": group["nesterov"]}

    def moving(self, group: Group, clock: Clock) -> dict[str, float]:
        return {"fresh": 1.0 if clock["step"] == 1 else 1 - group["dampening"]}

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        p -= self._direction(p, g, state, group, c) * c.eta  # (3)

    def update_cpu(self, p: np.ndarray, g: np.ndarray, state: Vectors, group: Group, c: Numbers, t: np.ndarray) -> None:
        np.multiply(self._direction(p, g, state, group, c), c.eta, t)
        p -= t  # (3)

    def _direction(self, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> Any:
        g = descent_direction(p, g, group, c)
        if not group["momentum"]:
            return g
        b = state["momentum_buffer"]
        b *= c.mu
        b += g * c.fresh if group["dampening"] else g  # (1)
        return g + b * c.mu if group["nesterov"] else b  # (2)
