"""What the functions of this package ask of their arguments, in words that help. Nothing here touches the data."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ...backend.device import dtypes
from ...backend.device.dtypes import is_real_floating
from ...backend.device.options import integer, number
from ...backend.modes.autocast import is_autocast_enabled
from ...backend.tape.tensor import Tensor

__all__: list[str] = []

Ints = int | Sequence[int]  # one for all axes, or one for each


def tensor(name: str, x: Any) -> Tensor:
    """A Tensor, or TypeError."""
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a weft.Tensor, got {type(x).__name__}; convert it: weft.asarray(…)")
    return x


def floating(name: str, x: Any) -> None:
    """A Tensor of a real floating-point dtype, or TypeError."""
    if not is_real_floating(tensor(name, x).data.dtype):
        raise TypeError(f"`{name}` must have a real floating-point dtype, got {x.dtype}; convert it: {name}.float()")


def is_integral(x: Any) -> bool:
    """Whether it is a Tensor of integers or booleans."""
    return isinstance(x, Tensor) and dtypes.is_integral(x.data.dtype)


def as_floating(name: str, x: Any) -> Tensor:
    """A Tensor of a real floating-point dtype, integers in the default dtype; of any other dtype, TypeError."""
    if is_integral(x):
        return x.astype(dtypes.get_default_dtype())
    floating(name, x)
    return x


def same_dtype(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Mixed dtypes would silently be computed in the wider one, at a multiple of the cost."""
    if x.data.dtype != other.data.dtype and not is_autocast_enabled():
        raise TypeError(
            f"`{name}` must have the dtype of `{other_name}`, {other.dtype}, got {x.dtype}; "
            f"convert it: {name}.to(weft.{other.dtype}), or the module: .double(), .float(), …"
        )


def choice(name: str, x: Any) -> Tensor:
    """A Tensor of booleans or integers, 0 for no; or TypeError, for among floats, as they are added to scores, 0 is yes."""
    if not is_integral(tensor(name, x)):
        raise TypeError(
            f"`{name}` must be boolean or of integers, 0 for what does not count, got {x.dtype}; convert it: {name}.bool(), "
            f"or, if 0 is what counts and -inf what does not, {name} == 0"
        )
    return x


def shape(name: str, x: Tensor, required: Sequence[int]) -> None:
    """Exactly this shape, or ValueError."""
    if tuple(tensor(name, x).shape) != tuple(required):
        raise ValueError(f"`{name}` must have shape {tuple(required)}, got {tuple(x.shape)}")


def axis(name: str, value: int, x: Tensor, *, scalar: bool = False) -> int:
    """A valid axis of x, or IndexError; a `scalar` may be taken for a vector of one element."""
    n = x.ndim or int(scalar)
    if not isinstance(value, int):
        integer(name, value, -n, n - 1)
    if not -n <= value < n:
        raise IndexError(f"`{name}` must be in [{-n}, {n}) for shape {tuple(x.shape)}, got {value}")
    return value


def several(name: str, value: Any, n: int, least: int = 0) -> tuple[int, ...]:
    """An int, for all axes, or n of them, as a tuple; each at least `least`."""
    if type(value) is int and value >= least:
        return (value,) * n
    if type(value) is tuple and len(value) == n and all(type(v) is int and v >= least for v in value):
        return value
    given = tuple(value) if isinstance(value, Sequence) else (value,)
    try:
        values = () if any(isinstance(v, bool) for v in given) else tuple(map(operator.index, given))
    except TypeError:
        values = ()
    if len(values) == 1:
        values *= n
    if len(values) != n or min(values) < least:
        wanted = f"an int or {n} ints, each" if n > 1 else "an int,"
        raise ValueError(f"`{name}` must be {wanted} at least {least}, got {value!r}")
    return values


def probability(name: str, p: float) -> None:
    """In [0, 1], or ValueError."""
    if type(p) is not float:
        number(name, p)
    if not 0 <= p <= 1:
        raise ValueError(f"`{name}` must be a probability in [0, 1], got {p}")


def eps(value: float | None) -> None:
    """What keeps a division from 0: finite and ≥ 0, or None where the caller knows better."""
    if value is not None and not (type(value) is float and 0 <= value < 1):
        number("eps", value, 0)


def sizes(**given: Any) -> None:
    """Integers ≥ 0."""
    for name, value in given.items():
        integer(name, value, 0)


def counts(**given: Any) -> None:
    """Integers ≥ 1."""
    for name, value in given.items():
        integer(name, value, 1)


def numbers(**given: Any) -> None:
    """Finite numbers."""
    for name, value in given.items():
        number(name, value)


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """One of a few words, or ValueError."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}")
