"""Muon."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from ..backend.device.dtypes import bfloat16
from ..backend.device.gemm import gemm
from ..backend.device.options import number
from .arena import MASTER, Arena, Segment, unrounded
from .optimizer import Optimizer
from .rule import Clock, Group, Numbers, Params

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum, orthogonalised: all singular values of a matrix's step become about 1.

        b ← b + (1−μ)(g − b)                                (1)  momentum μ
        d = g + μ (b − g)                                   (2)  with nesterov; else d = b
        X = d / max(‖d‖, ε), then ns_steps times:
            A = X Xᵀ,  X ← a₀ X + (a₁ A + a₂ A²) X          (3)  Newton–Schulz, coefficients a = ns_coefficients
        p ← (1 − lr λ) p − lr s X                           (4)  weight_decay λ, decoupled

    with s = √max(1, rows/columns) ("original", the default) or 0.2 √max(rows, columns) ("match_rms_adamw", with which
    an lr found for AdamW can be kept).

    Parameters
    ----------
    params : iterable of Parameter, of (str, Parameter) or of dict
        Matrices of hidden layers; embeddings, the last layer, biases and gains are left to another optimizer.
    lr : float, default 1e-3
        Learning rate.
    weight_decay : float, default 0.1
        λ ≥ 0, decoupled.
    momentum : float, default 0.95
        μ ≥ 0, the share of the past in b.
    nesterov : bool, default True
        Look ahead, (2).
    ns_coefficients : (float, float, float), default (3.4445, -4.775, 2.0315)
        a₀, a₁ and a₂ of (3).
    eps : float, default 1e-7
        Least norm that d is divided by.
    ns_steps : int, default 5
        How often (3) is applied.
    adjust_lr_fn : {"original", "match_rms_adamw"}, optional
        The scale s; None is "original".
    arithmetic : {"float32", "torch"}, default "float32"
        How (3) is computed: in float32 (float64 of such parameters), or rounded to bfloat16 after each product, as
        PyTorch does. The latter is there to repeat its runs; it is no faster. It is no part of the state.

    Raises
    ------
    ValueError
        If a parameter is no matrix, or an option is out of range.
    TypeError
        If something is no Tensor of a real floating-point dtype.

    Notes
    -----
    Parameters, defaults and state ("momentum_buffer" b; "step" besides) as `torch.optim.Muon`. Departure: (3) is in
    float32, which moves single elements of a step by some 10⁻²; PyTorch's bfloat16 is `arithmetic="torch"`.

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.

    Liu et al., "Muon is scalable for LLM training", 2025.

    Examples
    --------
    >>> p = weft.Parameter([[3.0, 0.0], [0.0, 0.5]])
    >>> optimizer = optim.Muon([p], lr=0.1, weight_decay=0.0)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> [[round(x, 2) for x in row] for row in p.tolist()]
    [[2.93, 0.0], [0.0, 0.4]]
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        arithmetic: str = "float32",
    ):
        if arithmetic not in ("float32", "torch"):
            raise ValueError(f"`arithmetic` must be 'float32' or 'torch', got {arithmetic!r}")
        self.arithmetic = arithmetic
        number("momentum", momentum, 0, 1)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"`adjust_lr_fn` must be None, 'original' or 'match_rms_adamw', got {adjust_lr_fn!r}")
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
        )

    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        for i, p in enumerate(self.param_groups[-1]["params"]):
            if p.ndim != 2:
                raise ValueError(
                    f"`params[{i}]` of Muon must be a matrix, got shape {p.shape}; give it to another optimizer"
                )

    def slots(self, group: Group) -> dict[str, float]:
        return {"momentum_buffer": 0.0}

    def coefficients(self, group: Group, clock: Clock) -> dict[str, float]:
        return {
            "mu": group["momentum"],
            "fresh": 1 - group["momentum"],
            "eta": group["lr"],
            "keep": 1 - group["lr"] * group["weight_decay"],
        }

    def apply(self, arena: Arena, segment: Segment, group: Group, c: Numbers, multiplier: Any = None) -> None:
        xp, single = arena.xp, arena.state_dtype
        rounded = (lambda x: xp.astype(xp.astype(x, bfloat16), x.dtype)) if self.arithmetic == "torch" else lambda x: x
        for i in range(segment.start, segment.stop):
            value, b = arena.view(arena.values, i), arena.view(arena.state["momentum_buffer"], i)
            g = xp.astype(arena.view(arena.grads, i), single, copy=False)
            g = g if multiplier is None else g * multiplier
            b += (g - b) * c.fresh  # (1)
            d = g + (b - g) * c.mu if group["nesterov"] else b  # (2)
            X = orthogonalised(xp, d, group["ns_coefficients"], group["ns_steps"], group["eps"], rounded)  # (3)
            w = unrounded(xp, value, arena.view(arena.state[MASTER], i)) if arena.is_half else value
            w = w * c.keep - X * (c.eta * _scale(group, value.shape))  # (4)
            if arena.is_half:
                arena.view(arena.state[MASTER], i)[...] = w
            value[...] = xp.astype(w, value.dtype, copy=False)


def orthogonalised(
    xp: Any,
    d: Any,
    coefficients: tuple[float, float, float],
    steps: int,
    eps: float,
    rounded: Callable[[Any], Any] = lambda x: x,
) -> Any:
    """Roughly U Vᵀ of the matrix d = U S Vᵀ: the singular values go to between about 0.7 and 1.2."""
    a0, a1, a2 = coefficients
    wide = d.shape[0] <= d.shape[1]
    X = rounded(d if wide else d.mT)  # A is then the smaller of the two Gram matrices
    X = rounded(X / xp.clip(rounded(xp.sqrt(xp.sum(X * X))), min=eps))
    for _ in range(steps):
        A = rounded(gemm(xp, X, X.mT))
        X = rounded(X * a0 + gemm(xp, rounded(A * a1 + gemm(xp, A, A) * a2), X))
    return X if wide else X.mT


def _scale(group: Group, shape: tuple[int, int]) -> float:
    rows, columns = shape
    if group["adjust_lr_fn"] == "match_rms_adamw":
        return 0.2 * sqrt(max(rows, columns))
    return sqrt(max(1, rows / columns)) if columns else 1.0
