"""What parameters and options must satisfy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.device.dtypes import is_real_floating
from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor
from .rule import Group

__all__ = ["check_options", "check_params", "is_number_option"]

_NON_NEGATIVE: dict[str, Any] = {"low": 0}
_SHARE: dict[str, Any] = {"low": 0, "high": 1}

_LIMITS: dict[str, dict[str, Any]] = {
    "lr": _NON_NEGATIVE,
    "eps": _NON_NEGATIVE,
    "weight_decay": _NON_NEGATIVE,
    "momentum": _NON_NEGATIVE,
    "dampening": {},
    "lr_decay": _NON_NEGATIVE,
    "momentum_decay": _NON_NEGATIVE,
    "initial_accumulator_value": _NON_NEGATIVE,
    "final_lr": _NON_NEGATIVE,
    "rho": _SHARE,
    "alpha": _SHARE,
    "gamma": {"above": 0, "below": 1},
}
_SEVERAL: dict[str, tuple[int, dict[str, Any]]] = {"betas": (2, {"low": 0, "below": 1}), "ns_coefficients": (3, {})}


def is_number_option(name: str) -> bool:
    """Whether it is one of the options that `check_options` holds to limits."""
    return name in _LIMITS or name in _SEVERAL


def check_options(group: Group) -> None:
    """Raise ValueError for an option that is out of range, TypeError for what is no number."""
    for name, value in group.items():
        if name in _LIMITS:
            number(name, value, **_LIMITS[name])
        elif name in _SEVERAL:
            count, limits = _SEVERAL[name]
            if not isinstance(value, tuple | list) or len(value) != count:
                raise ValueError(f"`{name}` must be {count} numbers, got {value!r}")
            for i, each in enumerate(value):
                number(f"{name}[{i}]", each, **limits)
        elif name == "ns_steps":
            integer(name, value, 0)


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
