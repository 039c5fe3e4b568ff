"""What arguments of augmentations must be."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__: list[str] = []


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def number(name: str, value: Any, low: float = -np.inf, high: float = np.inf) -> float:
    """`value`, a number in [low, high]."""
    if not _number(value) or not low <= value <= high:
        raise ValueError(f"`{name}` must be a number in [{low:g}, {high:g}], got {value!r}")
    return float(value)


def whole(name: str, value: Any, low: int, high: float = np.inf) -> int:
    """`value`, an integer in [low, high]."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"`{name}` must be an integer in [{low}, {high:g}], got {value!r}")
    return int(value)


def interval(name: str, value: Any, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
    """`value`, two numbers in [low, high], the first not above the second."""
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(_number, value))
    if not pair or not low <= value[0] <= value[1] <= high:
        raise ValueError(f"`{name}` must be (least, greatest) in [{low:g}, {high:g}], got {value!r}")
    return float(value[0]), float(value[1])


def around(name: str, value: Any, centre: float, low: float = -np.inf, high: float = np.inf) -> tuple[float, float]:
    """A range: two numbers, or one, how far it goes to both sides of `centre` (but not below `low`)."""
    if _number(value):
        if value < 0:
            raise ValueError(f"`{name}` must be at least 0 where it is one number, got {value!r}; or give a range")
        value = (max(low, centre - value), centre + value)
    return interval(name, value, low, high)


def size(name: str, value: Any) -> tuple[int, int]:
    """(height, width): a positive integer for both, or two."""
    pair = (value, value) if isinstance(value, int | np.integer) else tuple(value) if _is_sequence(value) else ()
    pair = pair * 2 if len(pair) == 1 else pair
    if len(pair) != 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in pair):
        raise ValueError(f"`{name}` must be a positive integer or (height, width) of them, got {value!r}")
    return int(pair[0]), int(pair[1])


def fill(value: Any) -> Any:
    """A number, or one for each channel."""
    if not (_number(value) or (_is_sequence(value) and len(value) and all(map(_number, value)))):
        raise ValueError(f"`fill` must be a number, or one for each channel, got {value!r}")
    return value


def is_bilinear(value: Any, name: str = "interpolation") -> bool:
    """Whether an interpolation is "bilinear", not "nearest"; torchvision's `InterpolationMode` is known by its value."""
    value = getattr(value, "value", value)
    if value not in ("nearest", "bilinear"):
        raise ValueError(f"`{name}` must be 'nearest' or 'bilinear', got {value!r}")
    return value == "bilinear"


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple)
