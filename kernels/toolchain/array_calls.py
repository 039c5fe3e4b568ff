"""What arrays that tell of calls must know of NumPy's functions: the emulated device's arrays, and a CPU's that are recorded."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["COUNTING", "IN_PLACE", "IN_PLACE_METHODS", "item"]

# The sizes of their results are known when they have been computed.
COUNTING = {getattr(np, name) for name in ("argwhere", "compress", "extract", "flatnonzero", "nonzero", "unique", "unique_all",
            "unique_counts", "unique_inverse", "unique_values")}  # fmt: skip
# They write to their first argument.
IN_PLACE = {np.copyto, np.fill_diagonal, np.put, np.put_along_axis, np.place, np.putmask}
IN_PLACE_METHODS = ("fill", "partition", "put", "sort")


def item(x: np.ndarray, key: Any) -> Any:
    """x[key]; a single element as a view."""
    found = x[key]
    return x[(*key, ...) if isinstance(key, tuple) else (key, ...)] if isinstance(found, np.generic) else found
