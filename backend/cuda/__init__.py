"""Hand-written kernels in the place of primitives, on "cuda" and in the emulator alike.

Imported when such a device is first asked for, and not before. What a kernel cannot do (float64, an unusual layout) it
hands back with NotImplemented, and the generic form runs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any


def replaces(primitive: Any) -> Callable:
    """Register a function in the place of a primitive, on every device that runs our kernels."""

    def register(implementation: Callable) -> Callable:
        for device in ("cuda", "emulator"):
            primitive.on(device)(implementation)
        return implementation

    return register


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f".{_module.name}", __name__)
