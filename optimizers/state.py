"""State dicts of optimizers: PyTorch's layout and names, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend.tape.tensor import innermost
from .arena import MASTER
from .options import Limits, check_options, is_number_option
from .rule import Clock, Group

__all__ = ["check_state", "read_entry", "read_groups"]

_PYTORCHS_OWN = {"foreach", "fused", "capturable", "differentiable"}  # how PyTorch computes: nothing to load here


def check_state(state_dict: Any, name: str) -> None:
    """Raise unless it is laid out as the state dict of an optimizer."""
    given = sorted(state_dict) if isinstance(state_dict, Mapping) else state_dict
    if not isinstance(given, list) or not {"state", "param_groups"} <= state_dict.keys():
        kind = ValueError if isinstance(given, list) else TypeError
        raise kind(
            f"`state_dict` must be what `state_dict()` of {name} returned, with `state` and `param_groups`, got {given!r:.80}"
        )
    state, groups = state_dict["state"], state_dict["param_groups"]
    if not isinstance(state, Mapping):
        raise TypeError(f"`state_dict['state']` must be a dict, got {state!r:.80}")
    if not isinstance(groups, list | tuple) or not all(isinstance(g, Mapping) and "params" in g for g in groups):
        raise TypeError(
            f"`state_dict['param_groups']` must be a list of dicts with the key 'params', got {groups!r:.80}"
        )


def read_groups(groups: list[Group], saved: list[Group], limits: Limits) -> list[Group]:
    """The groups with the saved options in place of their own. Raises ValueError if they do not correspond."""
    sizes, saved_sizes = [len(g["params"]) for g in groups], [len(g["params"]) for g in saved]
    if sizes != saved_sizes:
        raise ValueError(f"`state_dict` must have groups of {sizes} parameters, got groups of {saved_sizes}")
    merged = []
    for mine, theirs in zip(groups, saved):
        if missing := [name for name in mine if is_number_option(name, limits) and name not in theirs]:
            raise ValueError(
                f"`state_dict` must hold {missing} for each group, got {sorted(theirs)}; was it saved by another optimizer?"
            )
        options = {name: value for name, value in theirs.items() if name not in _PYTORCHS_OWN}
        options |= {  # JSON has no tuples
            name: tuple(value)
            for name, value in options.items()
            if isinstance(value, list) and isinstance(mine.get(name), tuple)
        }
        merged.append(mine | options | {"params": mine["params"]})
        check_options(merged[-1], limits)
    return merged


def read_entry(
    entry: dict[str, Any], clock: Clock, shapes: Mapping[str, tuple[int, ...]], shape: tuple[int, ...], what: str
) -> Any:
    """One parameter's saved state as (clock, {name: array}). Raises ValueError if it is not state of this kind.

    `shapes` are those of its state vectors, `shape` its own.
    """
    entry = {name: value for name, value in entry.items() if value is not None}  # PyTorch's SGD saves empty buffers
    arrays = {name: innermost(value) for name, value in entry.items() if name not in clock}
    if not entry:
        return dict(clock), {}
    if arrays.keys() - {MASTER} != shapes.keys():
        raise ValueError(
            f"`state_dict` must hold {sorted(shapes)} for {what}, got {sorted(arrays)}; was it saved by another "
            "optimizer, or with other options?"
        )
    for name, array in arrays.items():
        if tuple(array.shape) != (expected := shapes.get(name, shape)):
            raise ValueError(f"`{name}` of {what} must have shape {expected}, got {tuple(array.shape)}")
    # PyTorch's SGD counts no steps; that there is state says that there has been one.
    counted = {"step": 1} | {name: type(first)(float(entry[name])) for name, first in clock.items() if name in entry}
    return clock | counted, arrays
