"""The namespace of "cuda": array_api_compat's of CuPy, but for two functions that would wait for the GPU."""

from __future__ import annotations

from typing import Any

__all__ = ["CupyNamespace"]


class CupyNamespace:
    """`compat`, without boolean masks.

    array_api_compat assigns to `x[mask]` to have CuPy's `clip` and `sign` treat NaN as the standard says, and CuPy counts
    the true values of a mask on the host: ten launches and a wait each time, and no step with one could be captured.
    """

    def __init__(self, compat: Any):
        self._compat = compat

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._compat, name)
        setattr(self, name, found)
        return found

    def clip(self, x: Any, /, min: Any = None, max: Any = None) -> Any:
        """x limited to [min, max], in the dtype of x; NaN where x or a bound is."""
        xp, y = self._compat, x
        if x.dtype.kind in "iu":  # integers that x could not hold are no bounds
            limits = xp.iinfo(x.dtype)
            min = None if type(min) is int and min <= limits.min else min
            max = None if type(max) is int and max >= limits.max else max
        for bound, nearer in ((min, xp.maximum), (max, xp.minimum)):
            if bound is not None:
                y = nearer(y, xp.astype(bound, x.dtype) if hasattr(bound, "dtype") else bound)
        return xp.asarray(x, copy=True) if y is x else y

    def sign(self, x: Any, /) -> Any:
        """−1, 0 or 1 (z/|z| of a complex z), and NaN where x is."""
        import cupy

        if x.dtype.kind == "c":
            return cupy.where(x == 0, x, x / abs(x))
        return cupy.where(x == x, cupy.sign(x), x)
