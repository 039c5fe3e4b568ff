"""What parameters and options must satisfy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend.device.dtypes import is_real_floating
from ..backend.tape.tensor import Tensor
from .rule import Group

__all__ = ["check_options", "check_params"]

_NON_NEGATIVE = ("must be ≥ 0", lambda v: v >= 0)
_SHARE = ("must be in [0, 1]", lambda v: 0 <= v <= 1)

_REQUIREMENTS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "lr": _NON_NEGATIVE,
    "eps": _NON_NEGATIVE,
    "weight_decay": _NON_NEGATIVE,
    "momentum": _NON_NEGATIVE,
    "lr_decay": _NON_NEGATIVE,
    "momentum_decay": _NON_NEGATIVE,
    "initial_accumulator_value": _NON_NEGATIVE,
    "final_lr": _NON_NEGATIVE,
    "rho": _SHARE,
    "alpha": _SHARE,
    "betas": ("must be in [0, 1)", lambda v: 0 <= v < 1),
    "gamma": ("must be in (0, 1)", lambda v: 0 < v < 1),
}


def check_options(group: Group) -> None:
    """Raise ValueError for an option that is out of range."""
    for name, value in group.items():
        if name not in _REQUIREMENTS:
            continue
        requirement, holds = _REQUIREMENTS[name]
        for label, number in (
            {f"betas[{i}]": b for i, b in enumerate(value)}.items() if name == "betas" else [(name, value)]
        ):
            if not holds(number):
                raise ValueError(f"`{label}` {requirement}, got {number}")


def check_params(params: Sequence[Any], taken: Sequence[Tensor]) -> None:
    """Raise unless these are leaf Tensors of real floating-point dtype, each once and none of those `taken` already."""
    if not params:
        raise ValueError("`params` must hold at least one parameter, got none (was a generator used up before?)")
    seen = {id(p) for p in taken}
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"`params[{i}]` must be a weft.Parameter, got {type(p).__name__}")
        if p._node is not None:
            raise ValueError(
                f"`params[{i}]` must be a leaf, got the result of {p._node.name}; optimize what it was computed from, "
                "or p.detach().requires_grad_()"
            )
        if not is_real_floating(p.dtype):
            raise TypeError(f"`params[{i}]` must have a real floating-point dtype, got {p.dtype}")
        if id(p) in seen:
            raise ValueError(f"`params[{i}]` (shape {p.shape}) must appear once, got it twice; list a shared one once")
        seen.add(id(p))
