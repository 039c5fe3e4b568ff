"""`torch.distributions.constraints`: which values may be."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from ...backend.tape.autograd import no_grad
from ...backend.tape.tensor import Tensor

__all__ = ["CONSTRAINTS", "Constraint", "independent", "integer_interval", "interval"]


class Constraint:
    """Which values may be: a program's own kinds define `check`.

    Parameters
    ----------
    check : callable
        Of a Tensor, or of its raw array: where the values may be, without the axes of an event.
    name : str
        What messages say.
    event_dim : int, default 0
        How many of the last axes one value has.
    """

    is_discrete, event_dim = False, 0

    def __init__(self, check: Callable[[Any], Any] | None = None, name: str = "", event_dim: int = 0):
        self.event_dim, self._name = event_dim, name
        if check is not None:
            self.check = check  # type: ignore[method-assign,assignment]

    def check(self, value: Any) -> Any:
        """Where values may be.

        Parameters
        ----------
        value : Tensor
            Of any shape.

        Returns
        -------
        Tensor
            bool, without the axes of an event.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define `check`")

    def holds(self, value: Tensor) -> bool:
        """Whether all of a Tensor's values may be."""
        with no_grad():
            return bool(self.check(value.data if "check" in vars(self) else value).all())

    def __repr__(self) -> str:
        return self._name or type(self).__name__.lstrip("_")


def interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """[lower_bound, upper_bound]."""
    low, high = _raw(lower_bound), _raw(upper_bound)
    return Constraint(
        lambda x: (x >= low) & (x <= high), f"Interval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    )


def integer_interval(lower_bound: Any, upper_bound: Any) -> Constraint:
    """Whole numbers of [lower_bound, upper_bound]."""
    low, high = _raw(lower_bound), _raw(upper_bound)
    name = f"IntegerInterval(lower_bound={lower_bound}, upper_bound={upper_bound})"
    return Constraint(lambda x: (x % 1 == 0) & (x >= low) & (x <= high), name)


def independent(base: Constraint, reinterpreted_batch_ndims: int) -> Constraint:
    """What holds for every element of an event of so many axes."""

    def check(x: Any) -> Any:
        found = base.check(x)
        return found.reshape(*found.shape[: found.ndim - reinterpreted_batch_ndims], -1).all(-1)

    return Constraint(
        check, f"IndependentConstraint({base}, {reinterpreted_batch_ndims})", base.event_dim + reinterpreted_batch_ndims
    )


def _raw(bound: Any) -> Any:
    return bound.data if isinstance(bound, Tensor) else bound


def _lower_cholesky(x: Any) -> Any:
    below = x.reshape(-1, *x.shape[-2:])
    right = [(below[:, i, i + 1 :] == 0).all(-1) & (below[:, i, i] > 0) for i in range(x.shape[-1])]
    found = right[0]
    for row in right[1:]:
        found = found & row
    return found.reshape(x.shape[:-2])


def _bounded(compare: Callable[[Any, Any], Any], name: str, of: str) -> Callable[[Any], Constraint]:
    def with_bound(bound: Any) -> Constraint:
        limit = _raw(bound)
        return Constraint(lambda x: compare(x, limit), f"{name}({of}={bound})")

    return with_bound


_greater_than = _bounded(lambda x, low: x > low, "GreaterThan", "lower_bound")
_at_least = _bounded(lambda x, low: x >= low, "GreaterThanEq", "lower_bound")
_real = Constraint(lambda x: x == x, "Real()")

CONSTRAINTS = types.SimpleNamespace(
    Constraint=Constraint,
    real=_real,
    real_vector=independent(_real, 1),
    positive=_greater_than(0.0),
    nonnegative=_at_least(0.0),
    nonnegative_integer=Constraint(lambda x: (x % 1 == 0) & (x >= 0), "IntegerGreaterThan(lower_bound=0)"),
    positive_integer=Constraint(lambda x: (x % 1 == 0) & (x >= 1), "IntegerGreaterThan(lower_bound=1)"),
    boolean=Constraint(lambda x: (x == 0) | (x == 1), "Boolean()"),
    unit_interval=interval(0.0, 1.0),
    simplex=Constraint(lambda x: (x >= 0).all(-1) & (abs(x.sum(-1) - 1) < 1e-6), "Simplex()", 1),
    one_hot=Constraint(lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1), "OneHot()", 1),
    lower_cholesky=Constraint(_lower_cholesky, "LowerCholesky()", 2),
    symmetric=Constraint(lambda x: (abs(x - x.swapaxes(-2, -1)) < 1e-6).all((-2, -1)), "Symmetric()", 2),
    interval=interval,
    integer_interval=integer_interval,
    half_open_interval=lambda low, high: Constraint(
        lambda x: (x >= _raw(low)) & (x < _raw(high)), f"HalfOpenInterval(lower_bound={low}, upper_bound={high})"
    ),
    greater_than=_greater_than,
    greater_than_eq=_at_least,
    less_than=_bounded(lambda x, high: x < high, "LessThan", "upper_bound"),
    independent=independent,
    dependent=Constraint(lambda x: x == x, "Dependent()"),
)
