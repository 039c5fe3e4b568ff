"""`torch.testing`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.creation import asarray
from .shaping import _numpy

__all__ = ["assert_close"]

# (rtol, atol) by dtype; exact for what is no float
TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "complex64": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7), "complex128": (1e-7, 1e-7),
}  # fmt: skip
WIDE = {"f": np.dtype(np.float64), "V": np.dtype(np.float64), "c": np.dtype(np.complex128)}


def assert_close(
    actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None, equal_nan: bool = False,
    check_dtype: bool = True, msg: Any = None, **_options: Any,
) -> None:  # fmt: skip
    """Raise unless |actual − expected| ≤ atol + rtol |expected| everywhere; in sequences and dicts for each.

    Parameters
    ----------
    actual, expected : Tensor, number, sequence or dict
        Of one shape.
    rtol, atol : float, optional
        PyTorch's for the dtype if None; of two dtypes, the larger ones.
    equal_nan : bool, default False
        Whether NaN is close to NaN.
    check_dtype : bool, default True
        Whether dtypes must be equal.
    msg : str or callable, optional
        What the error says, or what makes it of what it would say.
    **_options : object
        PyTorch's, which change nothing.

    Raises
    ------
    AssertionError
        If they are not close, or of different shapes, lengths, keys or dtypes.
    """
    options = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan, "check_dtype": check_dtype, "msg": msg}
    if isinstance(expected, dict | list | tuple):
        keys = [x.keys() if isinstance(x, dict) else range(len(x)) for x in (actual, expected)]
        _check(
            list(keys[0]) == list(keys[1]), f"`actual` must have the parts {list(keys[1])}, got {list(keys[0])}", msg
        )
        for key in keys[1]:
            assert_close(actual[key], expected[key], **options)
        return
    a, b = (_numpy(asarray(x)) for x in (actual, expected))
    _check(a.shape == b.shape, f"`actual` must have the shape {b.shape}, got {a.shape}", msg)
    _check(a.dtype == b.dtype or not check_dtype, f"`actual` must have the dtype {b.dtype}, got {a.dtype}", msg)
    defaults = [TOLERANCES.get(str(x.dtype), (0.0, 0.0)) for x in (a, b)]
    relative, absolute = (max(d) if given is None else given for d, given in zip(zip(*defaults), (rtol, atol)))
    x, y = (v.astype(WIDE.get(v.dtype.kind, v.dtype)) for v in (a, b))
    far = ~np.isclose(x, y, rtol=relative, atol=absolute, equal_nan=equal_nan)
    if far.any():
        worst = np.abs(x[far] * 1.0 - y[far] * 1.0).max()
        _check(
            False,
            f"`actual` must be close to `expected`, got {far.sum()} of {far.size} apart, by up to {worst:.3g}",
            msg,
        )


def _check(is_so: bool, text: str, msg: Any) -> None:
    if not is_so:
        raise AssertionError(text if msg is None else msg(text) if callable(msg) else msg)
