"""`torch.distributions.transforms` and `constraints`: maps of values with their slopes, and which values may be."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Sequence
from typing import Any

from ...backend.tape.tensor import Tensor
from ...layers import functional

__all__ = ["CONSTRAINTS", "TRANSFORMS", "TanhTransform", "Transform"]


class Transform:
    """y = f(x), one to one, with log |dy / dx|; `inv` is the map back, a transform as well."""

    bijective = True

    def __init__(self, cache_size: int = 0):
        self.cache_size = cache_size

    def __call__(self, x: Tensor) -> Tensor:
        return self._call(x)

    @property
    def inv(self) -> Transform:
        """The map back."""
        return _Inverse(self)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |dy / dx|.

        Parameters
        ----------
        x, y : Tensor
            Both sides.

        Returns
        -------
        Tensor
            Of each element.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define log_abs_det_jacobian(self, x, y)")

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"`{type(self).__name__}` must define _call(self, x)")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"`{type(self).__name__}` must define _inverse(self, y)")


class _Inverse(Transform):
    def __init__(self, of: Transform):
        self.of = of

    inv = property(lambda self: self.of)  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return self.of._inverse(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """That of the other, negative."""
        return -self.of.log_abs_det_jacobian(y, x)


class AffineTransform(Transform):
    """y = loc + scale · x; `event_dim` axes are one value, whose slopes are added."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0):
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |scale|, summed over the axes of a value."""
        found = (x * 0 + self.scale).abs().log()
        return found.sum(tuple(range(-self.event_dim, 0))) if self.event_dim else found


class ExpTransform(Transform):
    """y = exp x."""

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """It is x."""
        return x


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp −x), kept inside (0, 1)."""

    def _call(self, x: Tensor) -> Tensor:
        return x.sigmoid()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """−softplus(−x) − softplus(x)."""
        return -functional.softplus(-x) - functional.softplus(x)


class SoftplusTransform(Transform):
    """y = log(1 + exp x)."""

    def _call(self, x: Tensor) -> Tensor:
        return functional.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """−softplus(−x)."""
        return -functional.softplus(-x)


class TanhTransform(Transform):
    """y = tanh x."""

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """2 (log 2 − x − softplus(−2 x))."""
        return 2 * (math.log(2) - x - functional.softplus(-2 * x))


class PowerTransform(Transform):
    """y = x^exponent, of positive x."""

    def __init__(self, exponent: Any, cache_size: int = 0):
        self.exponent = exponent

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |exponent · y / x|."""
        return (self.exponent * y / x).abs().log()


class ComposeTransform(Transform):
    """One after the other."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0):
        self.parts = list(parts)

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of theirs."""
        found: Any = 0.0
        for part in self.parts:
            y = part(x)
            found, x = found + part.log_abs_det_jacobian(x, y), y
        return found


TRANSFORMS: dict[str, Any] = {
    **{
        kind.__name__: kind
        for kind in (
            Transform, AffineTransform, ExpTransform, SigmoidTransform, SoftplusTransform, TanhTransform, PowerTransform,
            ComposeTransform,
        )
    },
    "identity_transform": ComposeTransform([]),
}  # fmt: skip


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
