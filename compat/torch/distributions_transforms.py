"""`torch.distributions.transforms`: maps of values with their slopes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...backend.array.info import finfo
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .distributions_constraints import CONSTRAINTS as C

__all__ = ["TRANSFORMS", "TanhTransform", "Transform", "event_dim", "summed"]


class Transform:
    """y = f(x), one to one, with log |dy / dx|; `inv` is the map back, a transform as well."""

    bijective = True

    cache_size = event_dim = 0
    codomain: Any = None  # the constraint of y
    _last: Any = (None, None)

    def __init__(self, cache_size: int = 0):
        self.cache_size = cache_size

    def __call__(self, x: Tensor) -> Tensor:
        if self.cache_size and x is self._last[0]:
            return self._last[1]
        y = self._call(x)
        if self.cache_size:
            self._last = (x, y)
        return y

    def back(self, y: Tensor) -> Tensor:
        """What becomes y; with `cache_size` 1 the very x that it was made of, whose digits y may not have any more.

        Parameters
        ----------
        y : Tensor
            What was made.

        Returns
        -------
        Tensor
            x.
        """
        if self.cache_size and y is self._last[1]:
            return self._last[0]
        x = self._inverse(y)
        if self.cache_size:
            self._last = (x, y)
        return x

    @property
    def inv(self) -> Transform:
        """The map back."""
        return _Inverse(self)

    @property
    def sign(self) -> Any:
        """1 where y grows with x, −1 where it falls."""
        raise NotImplementedError(f"`{type(self).__name__}` must define sign")

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


def event_dim(transform: Any) -> int:
    """How many axes are one value of a transform: its own word, or that of its domain.

    Parameters
    ----------
    transform : Transform
        Which.

    Returns
    -------
    int
        0: each element is a value.
    """
    return transform.event_dim or getattr(getattr(transform, "domain", None), "event_dim", 0)


def summed(x: Any, axes: int) -> Any:
    """The sum over the last axes.

    Parameters
    ----------
    x : Tensor
        What.
    axes : int
        How many; 0 leaves it.

    Returns
    -------
    Tensor
        Of so many axes fewer.
    """
    return x.sum(tuple(range(-axes, 0))) if axes else x


class _Inverse(Transform):
    def __init__(self, of: Transform):
        self.of, self.event_dim = of, event_dim(of)

    inv = property(lambda self: self.of)  # type: ignore[assignment]
    sign = property(lambda self: self.of.sign)

    def _call(self, x: Tensor) -> Tensor:
        return self.of.back(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """That of the other, negative."""
        return -self.of.log_abs_det_jacobian(y, x)


class AffineTransform(Transform):
    """y = loc + scale · x; `event_dim` axes are one value, whose slopes are added."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    sign = property(lambda self: self.scale.sign() if isinstance(self.scale, Tensor) else math.copysign(1, self.scale))

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """log |scale|, summed over the axes of a value."""
        return summed((x * 0 + self.scale).abs().log(), self.event_dim)


class ExpTransform(Transform):
    """y = exp x."""

    codomain = C.positive

    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """It is x."""
        return x


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp −x), kept inside (0, 1)."""

    codomain = C.unit_interval

    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return self._inside(x.sigmoid())

    def _inside(self, y: Tensor) -> Tensor:
        kind = finfo(y.dtype)
        return y.clip(min=float(kind.smallest_normal), max=1 - float(kind.eps))

    def _inverse(self, y: Tensor) -> Tensor:
        y = self._inside(y)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """−softplus(−x) − softplus(x)."""
        return -functional.softplus(-x) - functional.softplus(x)


class SoftplusTransform(Transform):
    """y = log(1 + exp x)."""

    codomain = C.positive

    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return functional.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-(-y).expm1()).log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """−softplus(−x)."""
        return -functional.softplus(-x)


class TanhTransform(Transform):
    """y = tanh x."""

    codomain = C.interval(-1.0, 1.0)

    sign = 1  # type: ignore[assignment]

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """2 (log 2 − x − softplus(−2 x))."""
        return 2 * (math.log(2) - x - functional.softplus(-2 * x))


class PowerTransform(Transform):
    """y = x^exponent, of positive x."""

    codomain = C.positive

    def __init__(self, exponent: Any, cache_size: int = 0):
        super().__init__(cache_size)
        self.exponent = exponent

    sign = property(
        lambda self: self.exponent.sign() if isinstance(self.exponent, Tensor) else math.copysign(1, self.exponent)
    )

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
        super().__init__(cache_size)
        self.parts = list(parts)
        self.event_dim = max(map(event_dim, self.parts), default=0)
        self.codomain = self.parts[-1].codomain if self.parts else None

    sign = property(lambda self: math.prod((part.sign for part in self.parts), start=1))

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
            found, x = found + summed(part.log_abs_det_jacobian(x, y), self.event_dim - event_dim(part)), y
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
