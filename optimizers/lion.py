"""Lion."""

from __future__ import annotations

from typing import Any

from .optimizer import Optimizer
from .rule import Clock, Group, Numbers, Params, Vectors, descent_coefficients, descent_direction

__all__ = ["Lion"]


class Lion(Optimizer):
    """Evolved sign momentum: every weight moves by ± lr.

    p ← (1 − lr λ) p                    (1)  weight_decay λ, decoupled
    d = sign(m + (1−β₁)(g − m))         (2)
    p ← p − lr d                        (3)
    m ← m + (1−β₂)(g − m)               (4)

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        What to optimize. A dict is a group, `{"params": …}` with options of its own.
    lr : float, default 1e-4
        Learning rate.
    betas : (float, float), default (0.9, 0.99)
        β₁ and β₂, the shares of m in the step and in the next m, each in [0, 1).
    weight_decay : float, default 0
        λ ≥ 0, decoupled.
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
    State: "step", "exp_avg" m, half of Adam's memory. Its steps are larger: the authors take 3 to 10 times less lr than
    for AdamW, and as many times more weight_decay. PyTorch has no such optimizer.

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", 2023.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.Lion([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.9, -1.9]
    """

    kernel = ("Lion", "exp_avg")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "weight_decay": weight_decay,
                "maximize": maximize,
                "decoupled_weight_decay": True,
            },
        )

    def slots(self, group: Group) -> dict[str, float]:
        return {"exp_avg": 0.0}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        c = descent_coefficients(group)
        c["alpha1"], c["alpha2"], c["eta"] = 1 - beta1, 1 - beta2, group["lr"]
        return c

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        m = state["exp_avg"]
        g = descent_direction(p, g, group, c)  # (1)
        p -= xp.sign(m + (g - m) * c.alpha1) * c.eta  # (2) (3)
        m += (g - m) * c.alpha2  # (4)
