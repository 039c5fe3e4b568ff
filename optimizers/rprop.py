"""Rprop."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Resilient propagation: only the gradient's sign counts, and each number has a step size of its own.

        s = g g′                            (1)  g′ the gradient before, at first 0
        Δ ← Δ η⁺ if s > 0, Δ η⁻ if s < 0    (2)  within step_sizes; at first Δ = lr
        g ← 0 where s < 0                   (3)  turn back only at the next step
        p ← p − sign(g) Δ                   (4)

    It is for gradients of all the data: between small batches signs change by chance.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-2
        The first Δ of every number.
    etas : (float, float), default (0.5, 1.2)
        η⁻ in (0, 1) and η⁺ > 1.
    step_sizes : (float, float), default (1e-6, 50)
        Least and greatest Δ.
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
    Parameters, defaults and state ("step", "prev" g′, "step_size" Δ) as `torch.optim.Rprop`. Departure: a gradient that
    is NaN makes its parameter NaN, where PyTorch leaves it as it is.

    References
    ----------
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993 (this
    form, without backtracking, is Igel and Hüsken's iRprop−, 2000).

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.Rprop([p], lr=0.25)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.75, -1.75]
    """

    kernel = ("Rprop", "prev", "step_size")
    limits = {"etas": ({"above": 0, "below": 1}, {"above": 1}), "step_sizes": ({"low": 0}, {"low": 0})}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_switches(capturable=capturable, foreach=foreach, differentiable=differentiable)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def slots(self, group: Group) -> dict[str, float]:
        return {"prev": 0.0, "step_size": 0.0}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        c = descent_coefficients(group)
        c["first"] = group["lr"] if clock["step"] == 1 else 0.0  # the lr of a parameter's first step, whenever that is
        (c["shorter"], c["longer"]), (c["least"], c["greatest"]) = group["etas"], group["step_sizes"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = -g if group["maximize"] else g
        previous, size = state["prev"], state["step_size"]
        s = g * previous  # (1)
        size += c.first
        size *= xp.where(s > 0, c.longer, xp.where(s < 0, c.shorter, xp.ones_like(s)))
        size[...] = xp.minimum(xp.maximum(size, c.least), c.greatest)  # (2)
        previous[...] = xp.where(s < 0, xp.zeros_like(g), g)  # (3)
        p -= xp.sign(previous) * size  # (4)
