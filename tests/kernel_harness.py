"""What every kernel must pass: the same bits under any schedule, and errors no worse than plain arithmetic's.

Kernels run in the emulator, which also checks each memory access; tests call launchers on NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from weft.kernels import emulator
from weft.kernels.toolchain.launch import FLOATS, HALVES

SCHEDULES = (("forward", 0), ("reverse", 0), ("random", 1))
SIZES = (0, 1, 31, 32, 33, 1025)
TOLERANCE = 2e-6  # of float32, relative to the largest magnitude of the reference

dtypes = pytest.mark.parametrize("dtype", FLOATS, ids=str)
halves = pytest.mark.parametrize("dtype", HALVES, ids=str)


def every_schedule(run: Callable[[], Any]) -> Any:
    """What `run` returns (arrays, None, or nested tuples of them), after the same bits came out under each schedule."""
    results = []
    for order, seed in SCHEDULES:
        with emulator.schedule(order, seed):
            results.append(run())
    for (order, _), other in zip(SCHEDULES[1:], results[1:]):
        _same_bits(results[0], other, f"forward and {order} schedules differ")
    return results[0]


def _same_bits(a: Any, b: Any, message: str) -> None:
    if isinstance(a, tuple | list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            _same_bits(x, y, message)
    elif a is not None:
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes(), message


def close(got: Any, exact: Any, tolerance: float = 1.0) -> None:
    """float32 results: within `tolerance` × TOLERANCE of the largest magnitude of the float64 reference."""
    got, exact = np.asarray(got), np.asarray(exact)
    assert got.shape == exact.shape
    scale = np.max(np.abs(exact), initial=0, where=np.isfinite(exact)) or 1.0
    np.testing.assert_allclose(got.astype(np.float64), exact, rtol=0, atol=tolerance * TOLERANCE * scale)


def no_worse(ours: Any, plain: Any, exact: Any, factor: float = 2.0) -> None:
    """Half precision: our largest error against float64 is at most `factor` × that of a plain implementation.

    `plain` is the same computation by NumPy operations that each round to the same dtype. Both end in one rounding of
    the result, and half a unit in its last place is what nobody can avoid.
    """
    ours, plain, exact = (np.asarray(a) for a in (ours, plain, exact))
    assert ours.dtype == plain.dtype
    assert ours.shape == exact.shape
    if not ours.size:
        return
    eps = 2.0**-11 if ours.dtype == np.float16 else 2.0**-8  # half a unit in the last place of 1
    unavoidable = eps * np.max(np.abs(exact))
    error = np.max(np.abs(ours.astype(np.float64) - exact))
    allowed = factor * max(np.max(np.abs(plain.astype(np.float64) - exact)), unavoidable)
    assert error <= allowed, f"error {error:.3g}, a plain implementation's × {factor:g} is {allowed:.3g}"


def rounded(a: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """`a` in the dtype, and the same values in float64 for the reference."""
    low = np.asarray(a).astype(dtype)
    return low, low.astype(np.float64)


def means_in_order(x: Any, g: Any, down: Any, across: Any, padded: bool = True, divisor: int | None = None) -> Any:
    """Averages and their gradient in float32, rounded once: sums in the order of a window's pixels, and of a pixel's windows."""
    axes = down, across
    starts = [np.arange(a.output) * a.stride - a.before for a in axes]
    ends = [np.minimum(start + a.kernel, a.size + a.before) for start, a in zip(starts, axes)]
    if not padded:
        starts, ends = ([np.clip(n, 0, a.size) for n, a in zip(ns, axes)] for ns in (starts, ends))
    rows, columns = (end - start for start, end in zip(starts, ends))
    count = np.full((down.output, across.output), divisor) if divisor else np.outer(rows, columns)
    count = count.astype(np.float32)
    y, grad = np.zeros(g.shape, np.float32), np.zeros(x.shape, np.float32)
    shares = g.astype(np.float32) * (np.float32(1) / count)
    taps = list(np.ndindex(down.kernel, across.kernel))

    def there(tap: Any) -> tuple[Any, Any]:
        """Windows whose tap is in the image, and these pixels."""
        places = [np.arange(a.output) * a.stride - a.before + i for a, i in zip(axes, tap)]
        inside = [(place >= 0) & (place < a.size) for place, a in zip(places, axes)]
        windows = np.ix_(*map(np.flatnonzero, inside))
        return (..., *windows), (..., *np.ix_(*(place[i] for place, i in zip(places, inside))))

    with np.errstate(invalid="ignore"):
        for tap in taps:
            windows, pixels = there(tap)
            y[windows] += x[pixels].astype(np.float32)
        for tap in reversed(taps):
            windows, pixels = there(tap)
            grad[pixels] += shares[windows]
        return (y / count).astype(x.dtype), grad.astype(x.dtype)


def same_numbers(got: Any, expected: Any) -> None:
    """The same bits, but that a NaN is a NaN."""
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == theirs.dtype
        ours, theirs = (np.where(np.isnan(a.astype(np.float32)), np.array(np.nan, a.dtype), a) for a in (ours, theirs))
        assert ours.tobytes() == theirs.tobytes()
