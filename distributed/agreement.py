"""Whether all processes make the same call, with arrays of one kind: if not, or if one calls wrongly, all of them raise."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.device import devices, dtypes, ranks
from ..backend.tape.tensor import Tensor
from .sums import OPERATIONS

__all__ = ["checked"]


def checked(
    name: str, x: Any, *, op: Any = None, source: Any = None, parts: bool = False, in_place: bool = False
) -> Any:
    """The array of x, once all processes have called the same with arrays of one kind; otherwise all of them raise."""
    ranks.require_met()
    raw: Any = None
    fault: Exception | None = None
    try:
        raw = _raw(name, x, in_place)
        _check(raw, name, op, source, parts)
    except (TypeError, ValueError) as error:
        fault = error
    if ranks.group is not None:
        what = "" if op is source is None else f"{source if op is None else op}, "
        mine = fault or f"{name}({what}{tuple(raw.shape)} {raw.dtype})"
        found = ranks.group.objects((fault is None, str(mine)))
        if fault is None:
            _compare(name, found)
    if fault is not None:
        raise fault
    return raw


def _raw(name: str, x: Any, in_place: bool) -> Any:
    raw = x.data if isinstance(x, Tensor) else x
    if not devices.is_array(raw) or isinstance(raw, np.generic):
        raise TypeError(f"`{name}` takes an array or a Tensor, got {x!r:.60}")
    if not dtypes.is_real_floating(raw.dtype) and _kind(raw) not in "biufc":
        raise TypeError(f"`{name}` takes numbers, got an array of dtype {raw.dtype}")
    if in_place and isinstance(raw, np.ndarray) and not raw.flags.writeable:
        raise ValueError(f"`{name}` writes to `x`, got an array that is read-only; give it a copy")
    return raw


def _kind(raw: Any) -> str:
    return getattr(raw.dtype, "kind", "f")  # which NumPy's and CuPy's dtypes have


def _check(raw: Any, name: str, op: Any, source: Any, parts: bool) -> None:
    n = 1 if ranks.group is None else ranks.group.size
    if name == "broadcast" and not (isinstance(source, int) and not isinstance(source, bool) and 0 <= source < n):
        raise ValueError(f"`source` must be a rank in [0, {n}), got {source!r}")
    if name == "all_gather" and not raw.ndim:
        raise ValueError("`x` must have an axis to gather along, got a number; x.reshape(1)")
    if parts and (not raw.ndim or raw.shape[0] % n):
        raise ValueError(
            f"`x` must have a multiple of {n} rows, one part for each process, got shape {tuple(raw.shape)}"
        )
    if name not in ("all_reduce", "reduce_scatter"):
        return
    if not isinstance(op, str) or op not in OPERATIONS:
        raise ValueError(f"`op` must be one of {', '.join(OPERATIONS)}, got {op!r}")
    if op == "mean" and not dtypes.is_real_floating(raw.dtype):
        raise TypeError(f"`op='mean'` needs a floating-point dtype, got {raw.dtype}; sum, and divide")
    if op == "sum" and _kind(raw) == "b":
        raise TypeError("`op='sum'` needs numbers, got bool; count in int64, or ask for the 'max', whether any is true")


def _compare(name: str, found: list[tuple[bool, str]]) -> None:
    """Raise ValueError unless all processes have made the call of process 0."""
    for other, (is_valid, call) in enumerate(found):
        if not is_valid:
            raise ValueError(f"`{name}` cannot go on, as process {other} has called it wrongly: {call}")
    for other, (_, call) in enumerate(found):
        if call != found[0][1]:
            raise ValueError(
                f"`{name}` must be called alike in all processes, got {found[0][1]} in process 0 and {call} in process {other}"
            )
