"""Operators that take many elements to one, or to as many along an axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import weft

from .elementwise import Attributes
from .shapes import axes_of, ints

__all__ = ["HOST", "OPERATORS"]


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    """Over axes that are an attribute in old versions and an input in new ones; over none of them all, or none at all."""

    def run(attributes: Attributes, x: Any, axes: Any = None) -> Any:
        given = attributes.get("axes", axes)
        is_empty = given is None or not len(ints(given))
        if is_empty and attributes.get("noop_with_empty_axes", 0):
            return function(x[None], (0,), False) if x.ndim else x
        along = tuple(range(x.ndim)) if is_empty else tuple(axes_of({}, given, x.ndim))
        return function(x, along, bool(attributes.get("keepdims", 1)))

    return run


def _sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return weft.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def _product(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return weft.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


def _mean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if weft.isdtype(x.dtype, "real floating"):
        return weft.mean(x, axis=axes, keepdims=keepdims)
    count = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    return weft.trunc(_sum(x, axes, keepdims).astype(weft.float64) / count).astype(x.dtype)


def _log_sum_exp(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if not all(x.shape):
        return weft.log(_sum(weft.exp(x), axes, keepdims))
    return weft.logsumexp(x, axis=axes, keepdims=keepdims)


def _root(x: Any) -> Any:
    return weft.sqrt(x) if weft.isdtype(x.dtype, "real floating") else weft.sqrt(x.astype(weft.float64)).astype(x.dtype)


def _log(x: Any) -> Any:
    return weft.log(x) if weft.isdtype(x.dtype, "real floating") else weft.log(x.astype(weft.float64)).astype(x.dtype)


def extremum(function: Callable[..., Any], lowest: bool) -> Callable[..., Any]:
    """Of booleans, too, and of nothing: then what any number would replace."""

    def run(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if x.dtype == np.bool_:
            return (weft.any if lowest else weft.all)(x, axis=axes, keepdims=keepdims)
        if any(x.shape[a] == 0 for a in axes):
            lengths = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
            info = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
            bound = (-np.inf if lowest else np.inf) if x.dtype.kind == "f" else (info.min if lowest else info.max)
            return weft.full(tuple(lengths), bound, dtype=x.dtype, device=x.device)
        return function(x, axis=axes, keepdims=keepdims)

    return run


def position(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the greatest or least lies: the first or, if asked for, the last."""

    def run(attributes: Attributes, x: Any) -> Any:
        axis, keepdims = attributes.get("axis", 0), bool(attributes.get("keepdims", 1))
        if not attributes.get("select_last_index", 0):
            return function(x, axis=axis, keepdims=keepdims)
        return x.shape[axis] - 1 - function(weft.flip(x, axis=axis), axis=axis, keepdims=keepdims)

    return run


def cumulative(function: Callable[..., Any], start: int) -> Callable[..., Any]:
    """Along an axis, from its end if `reverse`, without the element itself if `exclusive`."""

    def run(attributes: Attributes, x: Any, axis: Any) -> Any:
        along = ints(axis)[0] % x.ndim
        x = weft.flip(x, axis=along) if attributes.get("reverse", 0) else x
        found = function(x, axis=along, dtype=x.dtype)
        if attributes.get("exclusive", 0):
            front = (slice(None),) * along
            first = weft.full(
                tuple(1 if i == along else n for i, n in enumerate(x.shape)), start, dtype=x.dtype, device=x.device
            )
            found = weft.concat([first, found[(*front, slice(0, -1))]], axis=along)
        return weft.flip(found, axis=along) if attributes.get("reverse", 0) else found

    return run


def top_k(attributes: Attributes, x: Any, k: Any = None) -> Any:
    """The k greatest or least and where they lie, in order; of equals the first come first."""
    axis, count = attributes.get("axis", -1), attributes.get("k", None)
    count = ints(k)[0] if count is None else count
    order = weft.argsort(x, axis=axis, descending=bool(attributes.get("largest", 1)), stable=True)
    places = order[(slice(None),) * (axis % x.ndim) + (slice(0, count),)]
    return weft.take_along_axis(x, places, axis=axis), places.astype(weft.int64)


OPERATORS: dict[str, Callable[..., Any]] = {
    "ReduceSum": reduction(_sum), "ReduceProd": reduction(_product), "ReduceMean": reduction(_mean),
    "ReduceMax": reduction(extremum(weft.max, True)), "ReduceMin": reduction(extremum(weft.min, False)),
    "ReduceL1": reduction(lambda x, a, k: _sum(weft.abs(x), a, k)),
    "ReduceL2": reduction(lambda x, a, k: _root(_sum(x * x, a, k))),
    "ReduceSumSquare": reduction(lambda x, a, k: _sum(x * x, a, k)),
    "ReduceLogSum": reduction(lambda x, a, k: _log(_sum(x, a, k))), "ReduceLogSumExp": reduction(_log_sum_exp),
    "ArgMax": position(weft.argmax), "ArgMin": position(weft.argmin), "TopK": top_k,
    "CumSum": cumulative(weft.cumulative_sum, 0), "CumProd": cumulative(weft.cumulative_prod, 1),
}  # fmt: skip
HOST: dict[str, tuple[int, ...]] = {
    **{name: (1,) for name in OPERATORS if name.startswith("Reduce")}, "TopK": (1,), "CumSum": (1,), "CumProd": (1,),
}  # fmt: skip
