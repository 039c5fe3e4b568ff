"""The namespace of "cuda": array_api_compat's of CuPy, but for what would wait for the GPU, or could not be recorded."""

from __future__ import annotations

from typing import Any

__all__ = ["CupyNamespace"]

MOST = 8  # arrays that CuPy joins with one copy each


class CupyNamespace:
    """`compat`, without boolean masks.

    array_api_compat assigns to `x[mask]` to have CuPy's `clip` and `sign` treat NaN as the standard says, and CuPy counts
    the true values of a mask on the host: ten launches and a wait each time, and no step with one could be captured.
    Of more than eight arrays CuPy sends the addresses to the GPU before it joins them, which no recording may.
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

    def concat(self, arrays: Any, /, *, axis: int | None = 0) -> Any:
        """The arrays one after the other along an axis; of all their elements if that is None."""
        parts = [x.reshape(-1) for x in arrays] if axis is None else list(arrays)
        axis = 0 if axis is None else axis
        while len(parts) > MOST:
            parts = [self._compat.concat(parts[i : i + MOST], axis=axis) for i in range(0, len(parts), MOST)]
        return self._compat.concat(parts, axis=axis)

    def stack(self, arrays: Any, /, *, axis: int = 0) -> Any:
        """The arrays one after the other along a new axis."""
        return self.concat([self._compat.expand_dims(x, axis=axis) for x in arrays], axis=axis)
