"""Negative log-likelihoods of what a network says of a distribution: Gaussian and Poisson."""

from __future__ import annotations

import math
from typing import Any

from ..tape.autograd import primitive
from ..tape.recording import as_one
from .loss import _pointwise, read

__all__ = ["check_variances", "gaussian_nll_loss", "poisson_nll_loss"]


@as_one()
def check_variances(x: Any) -> None:
    """Raise ValueError if a variance is negative, if they can be `read`."""
    x = read(x)
    if x is not None and x.size and x.min() < 0:
        raise ValueError(f"`var` must hold variances, none negative, got {x.min()}; exponentiate what a network gives")


@primitive(precision="full")
def gaussian_nll_loss(
    xp: Any, input: Any, target: Any, var: Any, /, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """ℓ = ½ (ln v + (y − x)²/v), v = max(var, eps); `full` adds ½ ln 2π.

    The derivative by var is that by v, also where eps holds v up, as in PyTorch: small variances still grow.
    """
    v = xp.clip(var, min=eps)
    d = input - target
    loss = 0.5 * (xp.log(v) + d * d / v) + (0.5 * math.log(2 * math.pi) if full else 0.0)
    return _pointwise(
        xp, loss, reduction, (input, lambda: d / v), (target, lambda: -d / v), (var, lambda: 0.5 * (1 - d * d / v) / v)
    )


@primitive(precision="full")
def poisson_nll_loss(
    xp: Any,
    input: Any,
    target: Any,
    /,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """ℓ = eˣ − y x of logarithms x of rates, or x − y ln(x + eps) of rates x (`log_input=False`).

    `full` adds Stirling's ln y! ≈ y ln y − y + ½ ln 2πy where y > 1.
    """
    log_rate = input if log_input else xp.log(input + eps)
    loss = (xp.exp(input) if log_input else input) - target * log_rate
    large = target > 1
    y = xp.where(large, target, xp.ones_like(target))
    if full:
        factorial = y * xp.log(y) - y + 0.5 * xp.log(2 * math.pi * y)
        loss = loss + xp.where(large, factorial, xp.zeros_like(factorial))

    def slope_input() -> Any:
        return xp.exp(input) - target if log_input else 1 - target / (input + eps)

    def slope_target() -> Any:
        if not full:
            return -log_rate
        factorial = xp.log(y) + 0.5 / y
        return xp.where(large, factorial, xp.zeros_like(factorial)) - log_rate

    return _pointwise(xp, loss, reduction, (input, slope_input), (target, slope_target))
