"""`torch.distributions.constraints`: which values may be."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ...backend.tape.tensor import Tensor

__all__ = ["CONSTRAINTS"]


class _Constraint:
    """Which values may be."""

    def __init__(self, check: Callable[[Tensor], Tensor], event_dim: int = 0):
        self.check, self.event_dim, self.is_discrete = check, event_dim, False


def _between(lower_bound: Any, upper_bound: Any) -> _Constraint:
    return _Constraint(lambda x: (x >= lower_bound) & (x <= upper_bound))


CONSTRAINTS = types.SimpleNamespace(
    Constraint=_Constraint,
    real=_Constraint(lambda x: x == x),
    real_vector=_Constraint(lambda x: (x == x).all(-1), 1),
    positive=_Constraint(lambda x: x > 0),
    nonnegative=_Constraint(lambda x: x >= 0),
    nonnegative_integer=_Constraint(lambda x: (x % 1 == 0) & (x >= 0)),
    positive_integer=_Constraint(lambda x: (x % 1 == 0) & (x >= 1)),
    boolean=_Constraint(lambda x: (x == 0) | (x == 1)),
    unit_interval=_between(0.0, 1.0),
    simplex=_Constraint(lambda x: (x >= 0).all(-1) & ((x.sum(-1) - 1).abs() < 1e-6), 1),
    interval=_between,
    integer_interval=lambda low, high: _Constraint(lambda x: (x % 1 == 0) & (x >= low) & (x <= high)),
    half_open_interval=lambda low, high: _Constraint(lambda x: (x >= low) & (x < high)),
    greater_than=lambda low: _Constraint(lambda x: x > low),
    greater_than_eq=lambda low: _Constraint(lambda x: x >= low),
    less_than=lambda high: _Constraint(lambda x: x < high),
    dependent=_Constraint(lambda x: x == x),
)
