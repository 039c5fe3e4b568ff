"""Adafactor."""

from __future__ import annotations

import math
from typing import Any

from ml_dtypes import finfo

from ..backend.device import dtypes
from .arena import MASTER, Arena, Segment, unrounded
from .optimizer import Optimizer
from .options import check_switches
from .rule import Clock, Group, Numbers, Params

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Steps relative to the parameter, over a second moment that means of rows and columns give.

        p ← (1 − lr λ) p                                (0)  weight_decay λ, decoupled
        R ← R + tᵝ (mean of g² over columns − R)        (1)  beta2_decay β ≤ 0
        C ← C + tᵝ (mean of g² over rows − C)           (2)
        V = R C / max(mean of R, ε₁)                    (3)  of a vector: V ← V + tᵝ (g² − V)
        u = g / √max(V, ε₁²)                            (4)
        p ← p − α u / max(1, rms(u)/d)                  (5)  α = max(ε₂, rms(p)) min(lr, 1/√t)

    with rms(x) = √(mean of x²), over the last two axes' rows and columns.

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-2
        The greatest step, relative to the parameter's root mean square.
    beta2_decay : float, default -0.8
        β ≤ 0.
    eps : (float or None, float), default (None, 1e-3)
        ε₁ and ε₂; None is the distance of 1 to the next number of the parameter's dtype.
    d : float, default 1.0
        Greatest root mean square of u, ≥ 1.
    weight_decay : float, default 0.0
        λ ≥ 0, decoupled.
    foreach : bool, optional
        Of PyTorch; without effect.
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
    Parameters, defaults and state ("step" t, "row_var" R and "col_var" C, or "variance" V) as `torch.optim.Adafactor`, of
    which α is computed before (0). Departure: where ε₁ is None, each parameter has that of its own dtype (PyTorch gives
    all of a group that of the first).

    On a GPU it runs in its generic form: each number needs means over its row, its column and the whole matrix.

    References
    ----------
    Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018.

    Examples
    --------
    >>> p = weft.Parameter([[1.0, -2.0]])
    >>> optimizer = optim.Adafactor([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()[0]]
    [0.842, -1.842]
    """

    limits = {"eps": ({"low": 0, "optional": True}, {"low": 0}), "beta2_decay": {"high": 0}, "d": {"low": 1}}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        check_switches(foreach=foreach)
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def slots(self, group: Group) -> dict[str, float]:
        return {"row_var": 0.0, "col_var": 0.0, "variance": 0.0}

    @staticmethod
    def slot_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        if (name == "variance") == (len(shape) > 1):
            return None
        return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, *shape[-1:]), "variance": shape}[name]

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        t, lr = clock["step"], group["lr"]
        return {
            "fresh": t ** group["beta2_decay"],
            "eta": min(lr, 1 / math.sqrt(t)),
            "keep": 1 - lr * group["weight_decay"],
            "d": group["d"],
        }

    def apply(self, arena: Arena, segment: Segment, group: Group, c: Numbers, multiplier: Any = None) -> None:
        xp, (eps1, eps2) = arena.xp, group["eps"]
        eps1 = float(finfo(dtypes.of(arena.values)).eps) if eps1 is None else eps1
        for i in range(segment.start, segment.stop):
            p, g = arena.view(arena.values, i), xp.astype(arena.view(arena.grads, i), arena.state_dtype, copy=False)
            if not p.size:
                continue
            g = g if multiplier is None else g * multiplier
            g = -g if group["maximize"] else g
            w = unrounded(xp, p, arena.view(arena.state[MASTER], i)) if arena.is_half else p
            alpha = xp.clip(_rms(xp, w), min=eps2) * c.eta
            u = g / xp.sqrt(xp.clip(self._second_moment(arena, i, g, eps1, c), min=eps1 * eps1))  # (4)
            w = w * c.keep  # (0)
            w = w - u * (alpha / xp.clip(_rms(xp, u) / c.d, min=1.0))  # (5)
            if arena.is_half:
                arena.view(arena.state[MASTER], i)[...] = w
            p[...] = xp.astype(w, p.dtype, copy=False)

    def _second_moment(self, arena: Arena, i: int, g: Any, eps1: float, c: Numbers) -> Any:
        xp, squares = arena.xp, g * g
        if g.ndim < 2:
            v = arena.part("variance", i)
            v += (squares - v) * c.fresh
            return v
        rows, columns = arena.part("row_var", i), arena.part("col_var", i)
        rows += (xp.mean(squares, axis=-1, keepdims=True) - rows) * c.fresh  # (1)
        columns += (xp.mean(squares, axis=-2, keepdims=True) - columns) * c.fresh  # (2)
        return rows * columns / xp.clip(xp.mean(rows, axis=-2, keepdims=True), min=eps1)  # (3)


def _rms(xp: Any, x: Any) -> Any:
    return xp.sqrt(xp.mean(x * x))
