"""What cases of single instantiations are made of: a table of makers by kernel, and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["FLOAT32", "MAKERS", "STREAM", "numbers", "of"]

MAKERS: dict[
    str, Callable[..., None]
] = {}  # by the kernel's name: launches the instantiation with these template arguments
FLOAT32 = np.dtype(np.float32)
STREAM = (0, 0, None)  # of random numbers


def of(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The maker of these kernels' cases."""

    def add(make: Callable[..., None]) -> Callable[..., None]:
        MAKERS.update(dict.fromkeys(names, make))
        return make

    return add


def numbers(dtype: Any, *shape: int) -> Any:
    """Normally distributed, the same each time."""
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)
