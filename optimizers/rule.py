"""The words that update rules are written in, and what most of them begin with."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType, SimpleNamespace
from typing import Any, TypeAlias

from ..backend.tape.tensor import Tensor

__all__ = [
    "MOMENTS",
    "MOMENTS_AND_MAXIMUM",
    "Clock",
    "Group",
    "Numbers",
    "Params",
    "Vectors",
    "descent_coefficients",
    "descent_direction",
    "update_moments",
]

Group = dict[str, Any]  # a parameter group: its options by name
Clock = dict[str, Any]  # what is counted for a parameter: "step", …
Vectors = dict[str, Any]  # flat state vectors by name
Numbers = SimpleNamespace  # the coefficients of a step by name, as 0-d arrays
Params: TypeAlias = Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[Group]  # what optimizers are built on

# State vectors of Adam and its relatives: m and v, and the greatest v so far.
MOMENTS = MappingProxyType({"exp_avg": 0.0, "exp_avg_sq": 0.0})
MOMENTS_AND_MAXIMUM = MappingProxyType({**MOMENTS, "max_exp_avg_sq": 0.0})


def descent_coefficients(group: Group) -> dict[str, float]:
    """What `descent_direction` needs, first among a rule's coefficients; neutral where an option is not in use.

    A CUDA kernel, which knows no group, computes g ← sign g + λ p after p ← keep p.
    """
    decay, decoupled = group.get("weight_decay", 0), group.get("decoupled_weight_decay")
    return {
        "sign": -1.0 if group["maximize"] else 1.0,
        "decay": 0.0 if decoupled else decay,
        "keep": 1 - group["lr"] * decay if decoupled else 1.0,
    }


def descent_direction(p: Any, g: Any, group: Group, c: Numbers) -> Any:
    """The gradient to go down along: its sign (`maximize`), and weight decay.

    Coupled decay (L2) is g ← g + λ p; decoupled decay shrinks p ← (1 − lr λ) p at once. Reads c.decay and c.keep.
    """
    if group["maximize"]:
        g = -g
    if group["weight_decay"]:
        if group.get("decoupled_weight_decay"):
            p *= c.keep
        else:
            g = g + p * c.decay
    return g


def update_moments(g: Any, state: Vectors, c: Numbers) -> tuple[Any, Any]:
    """Equations (1) and (2) of Adam and its relatives: m ← m + (1−β₁)(g − m), v ← v + (1−β₂)(g² − v). Returns m and v."""
    m, v = state["exp_avg"], state["exp_avg_sq"]
    m += (g - m) * c.alpha1
    v += (g * g - v) * c.alpha2
    return m, v
