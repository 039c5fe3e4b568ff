"""Adam for gradients of which most rows are zero."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .arena import MASTER, Arena, Segment, unrounded
from .optimizer import Optimizer
from .rule import MOMENTS, Clock, Group, Numbers, Params

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam that leaves rows without a gradient, and their moments, as they are.

    For the rows of which the gradient is not zero throughout, as those of an `Embedding` that a batch has used:

        m ← m + (1−β₁)(g − m)               (1)
        v ← v + (1−β₂)(g² − v)              (2)
        p ← p − lr √(1−β₂ᵗ)/(1−β₁ᵗ) · m / (√v + ε)     (3)

    Rows are what the first axis counts: of a vector, its numbers.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        β₁ and β₂, the shares of the past in m and v, each in [0, 1).
    eps : float, default 1e-8
        ε ≥ 0, against division by zero.
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
    Parameters, defaults and state ("step", "exp_avg" m, "exp_avg_sq" v) as `torch.optim.SparseAdam`. Departure: gradients
    here are dense, and their rows of zeros are those that PyTorch's sparse gradients leave out. t counts the steps of the
    parameter, not those of a row, and ε stands outside the correction, unlike `Adam`'s.

    On a GPU it runs in its generic form: whether a number moves depends on its whole row.

    Examples
    --------
    >>> p = weft.Parameter([[1.0], [1.0]])
    >>> optimizer = optim.SparseAdam([p], lr=0.5)
    >>> for _ in range(2):
    ...     p.grad = weft.tensor([[2.0], [0.0]])
    ...     optimizer.step()
    >>> [round(x, 3) for x in p.flatten().tolist()]
    [0.0, 1.0]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def slots(self, group: Group) -> Mapping[str, float]:
        return MOMENTS

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        t, (beta1, beta2) = clock["step"], group["betas"]
        eta = group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        return {"alpha1": 1 - beta1, "alpha2": 1 - beta2, "eta": eta, "eps": group["eps"]}

    def apply(self, arena: Arena, segment: Segment, group: Group, c: Numbers, multiplier: Any = None) -> None:
        xp = arena.xp
        for i in range(segment.start, segment.stop):
            p, g, m, v = (
                arena.view(vector, i)
                for vector in (arena.values, arena.grads, arena.state["exp_avg"], arena.state["exp_avg_sq"])
            )
            g = xp.astype(g, arena.state_dtype, copy=False)
            if not p.size:
                continue
            is_used = xp.any(g != 0, axis=tuple(range(1, g.ndim)), keepdims=True) if g.ndim else g != 0
            g = g if multiplier is None else g * multiplier
            g = -g if group["maximize"] else g
            m[...] = xp.where(is_used, m + (g - m) * c.alpha1, m)  # (1)
            v[...] = xp.where(is_used, v + (g * g - v) * c.alpha2, v)  # (2)
            w = unrounded(xp, p, arena.view(arena.state[MASTER], i)) if arena.is_half else p
            w = xp.where(is_used, w - m / (xp.sqrt(v) + c.eps) * c.eta, w)  # (3)
            if arena.is_half:
                arena.view(arena.state[MASTER], i)[...] = w
            p[...] = xp.astype(w, p.dtype, copy=False)
