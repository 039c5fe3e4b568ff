"""What parameters and options must satisfy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..backend.device.dtypes import is_real_floating
from ..backend.device.options import integer, number
from ..backend.tape.tensor import Tensor
from .rule import Group

__all__ = ["Limits", "as_numbers", "check_options", "check_params", "check_switches", "is_fixed", "is_number_option"]

Limits = Mapping[str, Any]  # of an option, by name: keywords of `number`, or a tuple of them for an option of several

_NON_NEGATIVE: dict[str, Any] = {"low": 0}
_SHARE: dict[str, Any] = {"low": 0, "high": 1}
_BETA: dict[str, Any] = {"low": 0, "below": 1}

_LIMITS: Limits = {
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
    "betas": (_BETA, _BETA),
    "ns_coefficients": ({}, {}, {}),
}


def is_number_option(name: str, own: Limits) -> bool:
    """Whether it is one of the options that `check_options` holds to limits."""
    return name in _LIMITS or name in own


def check_options(group: Group, own: Limits) -> None:
    """Raise ValueError for an option that is out of range, TypeError for what is no number.

    `own` are limits of this optimizer alone, in place of those that the others share.
    """
    for name, value in tuple(group.items()):
        limits = own.get(name, _LIMITS.get(name))
        if isinstance(limits, tuple):
            if not isinstance(value, tuple | list) or len(value) != len(limits):
                raise ValueError(f"`{name}` must be {len(limits)} numbers, got {value!r}")
            for i, (each, of_each) in enumerate(zip(value, limits)):
                if each is not None or not of_each.get("optional"):
                    number(f"{name}[{i}]", each, **{k: v for k, v in of_each.items() if k != "optional"})
        elif limits is not None:
            number(name, value, **limits)
            if getattr(value, "ndim", 0):  # a Tensor of one element, as PyTorch takes it
                group[name] = value.reshape(())
        elif name == "ns_steps":
            integer(name, value, 0)


def as_numbers(group: Group) -> Group:
    """The options, with what Tensors among them hold now: `lr.fill_(0.01)` changes the rate of the next step."""
    for value in group.values():  # at each step: half the time of `any`
        if isinstance(value, Tensor):
            return {name: float(v) if isinstance(v, Tensor) else v for name, v in group.items()}
    return group


def is_fixed(name: str, value: Any) -> bool:
    """Whether an option has no other value as long as it is the same object."""
    parts = value if isinstance(value, tuple) else (value,)
    return name in ("params", "param_names") or all(isinstance(v, bool | int | float | str | None) for v in parts)


def check_switches(*, differentiable: bool = False, **switches: bool | None) -> None:
    """Raise unless these switches, by which PyTorch chooses among its implementations, can be left without effect.

    There is one implementation here: of all parameters at once, in one kernel where there is one, fit for `weft.capture`.
    """
    for name, value in (switches | {"differentiable": differentiable}).items():
        if value is not None and not isinstance(value, bool):
            raise TypeError(f"`{name}` must be a bool or None, got {value!r:.80}")
    if differentiable:
        raise NotImplementedError(
            "`differentiable` must be False, got True: a step writes to its parameters in place; to differentiate through "
            "updates, write them as a function of the parameters and use weft.grad"
        )


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
