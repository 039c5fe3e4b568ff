"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy import add, divide, maximum, multiply, sqrt, subtract

from .optimizer import Optimizer
from .options import check_switches
from .rule import (
    MOMENTS,
    MOMENTS_AND_MAXIMUM,
    Clock,
    Group,
    Numbers,
    Params,
    Vectors,
    descent_coefficients,
    descent_direction,
    update_moments,
)

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adaptive moment estimation.

        g ← g + λ p                             weight_decay λ ("L2"; see AdamW for the decoupled form)
        m ← m + (1−β₁)(g − m)               (1)
        v ← v + (1−β₂)(g² − v)              (2)
        v̂ ← max(v̂, v)  (else v̂ = v)          (3)  with amsgrad
        p ← p − η m / (√v̂ + ε̂)              (4)

    with η = lr √(1−β₂ᵗ) / (1−β₁ᵗ) and ε̂ = ε √(1−β₂ᵗ), which is lr m̂ / (√(v̂/(1−β₂ᵗ)) + ε) of the paper's
    bias-corrected moments with the corrections folded into two numbers per step: ε stands outside the root.

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
    weight_decay : float, default 0
        λ ≥ 0, coupled (L2).
    amsgrad : bool, default False
        Divide by the greatest v so far, (3).
    foreach : bool, optional
        Of PyTorch; without effect.
    maximize : bool, default False
        Climb instead of descending.
    capturable : bool, default False
        Of PyTorch; without effect.
    differentiable : bool, default False
        Of PyTorch; must be False.
    fused : bool, optional
        Of PyTorch; without effect.
    decoupled_weight_decay : bool, default False
        Whether λ shrinks the parameter itself, as in AdamW.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is listed twice or no leaf.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state ("step", "exp_avg" m, "exp_avg_sq" v, "max_exp_avg_sq" v̂) as `torch.optim.Adam`. As
    there, the maximum is taken before the bias correction.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015.

    amsgrad: Reddi, Kale and Kumar, "On the convergence of Adam and beyond", 2018.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.9, -1.9]
    """

    kernel = ("Adam", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        check_switches(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def slots(self, group: Group) -> Mapping[str, float]:
        return MOMENTS_AND_MAXIMUM if group["amsgrad"] else MOMENTS

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        alphas = {"alpha1": 1 - beta1, "alpha2": 1 - beta2}
        return descent_coefficients(group) | alphas | Adam.moving(self, group, clock) | {"amsgrad": group["amsgrad"]}

    def moving(self, group: Group, clock: Clock) -> dict[str, float]:
        t = clock["step"]
        beta1, beta2 = group["betas"]
        correction = math.sqrt(1 - beta2**t)
        return {"eta": group["lr"] * correction / (1 - beta1**t), "eps": group["eps"] * correction}

    def update(self, xp: Any, p: Any, g: Any, state: Vectors, group: Group, c: Numbers) -> None:
        g = descent_direction(p, g, group, c)
        m, v = update_moments(g, state, c)  # (1) (2)
        if group["amsgrad"]:
            v_max = state["max_exp_avg_sq"]
            v_max[...] = v = xp.maximum(v_max, v)  # (3)
        p -= m / (xp.sqrt(v) + c.eps) * c.eta  # (4)

    def update_cpu(self, p: np.ndarray, g: np.ndarray, state: Vectors, group: Group, c: Numbers, t: np.ndarray) -> None:
        """Equations (1) to (4) with the scratch vector for every intermediate: 1.25 times as fast.

        Ufuncs are called by their own names, with `out` by position: that saves a tenth of the 0.4 µs that one takes for a
        thousand numbers.

        Parameters
        ----------
        p : array of shape (n,)
            Parameters, changed in place.
        g : array of shape (n,)
            Gradients, left as they are.
        state : dict
            State vectors, changed in place.
        group : dict
            Options.
        c : SimpleNamespace
            Coefficients, 0-d arrays.
        t : array of shape (n,)
            Scratch.

        Examples
        --------
        >>> p = weft.Parameter([1.0])
        >>> p.grad = weft.tensor([3.0])
        >>> optim.Adam([p], lr=0.5).step()
        >>> p.item()
        0.5
        """
        m, v = state["exp_avg"], state["exp_avg_sq"]
        g = descent_direction(p, g, group, c)
        subtract(g, m, t)
        multiply(t, c.alpha1, t)
        add(m, t, m)  # (1)
        multiply(g, g, t)
        subtract(t, v, t)
        multiply(t, c.alpha2, t)
        add(v, t, v)  # (2)
        if group["amsgrad"]:
            v = maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])  # (3)
        sqrt(v, t)
        add(t, c.eps, t)
        divide(m, t, t)
        multiply(t, c.eta, t)
        subtract(p, t, p)  # (4)


class AdamW(Adam):
    """Adam with decoupled weight decay.

        p ← (1 − lr λ) p                    (0)

    and then `Adam`'s equations on the gradient alone: the decay is not divided by √v, so all weights shrink at one rate.

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
    weight_decay : float, default 1e-2
        λ ≥ 0, decoupled.
    amsgrad : bool, default False
        Divide by the greatest v so far.
    maximize : bool, default False
        Climb instead of descending.
    foreach : bool, optional
        Of PyTorch; without effect.
    capturable : bool, default False
        Of PyTorch; without effect.
    differentiable : bool, default False
        Of PyTorch; must be False.
    fused : bool, optional
        Of PyTorch; without effect.

    Raises
    ------
    ValueError
        If an option is out of range, or a parameter is listed twice or no leaf.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state as `torch.optim.AdamW`.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    Examples
    --------
    >>> p = weft.Parameter([1.0, -2.0])
    >>> optimizer = optim.AdamW([p], lr=0.1, weight_decay=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [round(x, 3) for x in p.tolist()]
    [0.85, -1.8]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_switches(foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused)
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
