"""Reading and writing parts of arrays, searching, sorting and sets, with derivatives where there are any."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from ..device import devices, dtypes
from ..tape.autograd import primitive
from ..tape.tensor import Tensor, innermost, wrap
from .elementwise import INEXACT, _operands, unbroadcast
from .info import result_type

__all__ = [
    "argsort",
    "isin",
    "nonzero",
    "searchsorted",
    "sort",
    "take",
    "take_along_axis",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "where",
]


# --- adding up what was gathered --------------------------------------------------------------------------------------
def scatter_add(xp: Any, values: Any, indices: Any, size: int, axis: int) -> Any:
    """The pullback of `take`: out[…, indices[j], …] += values[…, j, …] over an axis of `size`; `indices` is 1-d."""
    if isinstance(values, Tensor):
        return _scatter_add(values, indices if isinstance(indices, Tensor) else Tensor(indices), size=size, axis=axis)
    return _scatter_add.generic(xp, values, indices, size=size, axis=axis)[0]


@primitive(moves=True)
def _scatter_add(xp: Any, values: Any, indices: Any, /, *, size: int, axis: int) -> Any:
    rows = xp.moveaxis(values, axis, 0)
    if xp is np:
        out = np.zeros((size, *rows.shape[1:]), values.dtype)
        np.add.at(out, indices, rows)
    else:  # a matrix product with one-hot columns is all that the standard offers
        every = xp.arange(size, dtype=indices.dtype, device=indices.device)
        one_hot = xp.astype(indices[None, :] == every[:, None], values.dtype)
        flat = xp.reshape(rows, (rows.shape[0], math.prod(rows.shape[1:])))
        out = xp.reshape(one_hot @ flat, (size, *rows.shape[1:]))
    return xp.moveaxis(out, 0, axis), (lambda g: xp.take(g, indices, axis=axis), None)


@primitive(moves=True)
def take(xp: Any, x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """The elements of x at `indices` (1-d) along `axis`, which may be left out for 1-d x."""
    if axis is None and x.ndim != 1:
        raise ValueError(f"`take` needs `axis` for an array with {x.ndim} axes")
    if indices.ndim != 1:
        raise ValueError(f"`take` needs 1-d `indices`, got shape {indices.shape}")
    along = 0 if axis is None else axis
    y = xp.take(x, indices, axis=axis)

    def grad_x(g: Any) -> Any:
        n = x.shape[along]
        wrapped = xp.where(indices < 0, indices + n, indices)
        return scatter_add(xp, g, wrapped, n, along % x.ndim)

    return y, (grad_x, None)


@primitive(moves=True)
def take_along_axis(xp: Any, x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """The element of x that `indices` names for each position along `axis`."""
    y = xp.take_along_axis(x, indices, axis=axis)

    def grad_x(g: Any) -> Any:
        n = x.shape[axis]
        wrapped = xp.broadcast_to(xp.where(indices < 0, indices + n, indices), g.shape)
        wrapped = xp.moveaxis(wrapped, axis, -1)
        rows = math.prod(wrapped.shape[:-1])
        first = xp.arange(rows, dtype=indices.dtype, device=indices.device)[:, None] * n
        flat = xp.reshape(wrapped, (rows, wrapped.shape[-1])) + first
        g = xp.reshape(xp.moveaxis(g, axis, -1), (-1,))
        moved = xp.reshape(scatter_add(xp, g, xp.reshape(flat, (-1,)), rows * n, 0), (*wrapped.shape[:-1], n))
        return unbroadcast(xp, xp.moveaxis(moved, -1, axis), x)

    return y, (grad_x, None)


# --- x[key] and x[key] = value ----------------------------------------------------------------------------------------
def raw_key(key: Any, x: Tensor) -> Any:
    """An index with its Tensors replaced by what x.data, which may be a Tensor itself, is indexed with."""
    if isinstance(key, tuple):
        return tuple(raw_key(k, x) for k in key)
    if isinstance(key, list):
        return np.asarray(key)
    if not isinstance(x.data, Tensor):
        return innermost(key)
    return key.data if isinstance(key, Tensor) and key._depth == x._depth else key


def _is_basic(key: Any) -> bool:
    keys = key if isinstance(key, tuple) else (key,)
    return all(k is None or k is Ellipsis or isinstance(k, int | slice | np.integer) for k in keys)


@primitive(moves=True)
def _getitem(xp: Any, x: Any, /, *, key: Any) -> Any:
    def grad_x(g: Any) -> Any:
        if _is_basic(key):
            out = xp.zeros_like(x)
            kept = tuple(k for k in (key if isinstance(key, tuple) else (key,)) if k is not None)  # no new axes there
            out[kept] = xp.reshape(g, out[kept].shape)
            return out
        flat = _positions(x, key)
        g = xp.reshape(g, (-1,))
        return xp.reshape(scatter_add(xp, g, xp.asarray(flat, device=g.device), math.prod(x.shape), 0), x.shape)

    return x[key], (grad_x,)


def _positions(x: Any, key: Any) -> np.ndarray:
    """For each element of x[key], which element of the flattened x it is: NumPy's indexing works it out on the host."""
    host = tuple(k if _is_basic(k) else devices.to_numpy(k) for k in (key if isinstance(key, tuple) else (key,)))
    return np.arange(math.prod(x.shape)).reshape(x.shape)[host].reshape(-1)


@primitive(moves=True)
def _setitem(xp: Any, x: Any, value: Any, /, *, key: Any) -> Any:
    """A copy of x with x[key] = value."""
    out = xp.asarray(x, copy=True)
    out[key] = value
    if not dtypes.is_real_floating(out.dtype):
        return out, None

    def grad_x(g: Any) -> Any:
        rest = xp.asarray(g, copy=True)
        rest[key] = 0
        return rest

    def grad_value(g: Any) -> Any:
        taken = g[key]
        lead = (1,) * (
            value.ndim - taken.ndim
        )  # assignment allows what broadcasting does not: leading axes of length 1
        return unbroadcast(xp, xp.reshape(taken, lead + taken.shape), value)

    return out, (grad_x, grad_value)


@primitive
def where(xp: Any, condition: Any, x1: Any, x2: Any, /) -> Any:
    """x₁ where the condition holds, x₂ elsewhere; Python numbers take the other's dtype (or the default one)."""
    if type(x1) in INEXACT or type(x2) in INEXACT:
        x1, x2 = _operands(xp, x1, x2)
        if not hasattr(x1, "dtype") and not hasattr(x2, "dtype"):
            x1 = xp.asarray(x1, dtype=dtypes.native(xp, result_type(x1, x2)), device=condition.device)
    y = xp.where(condition, x1, x2)

    def branch(like: Any, mask: Any) -> Any:
        return lambda g: unbroadcast(xp, xp.where(mask(condition), g, xp.zeros_like(g)), like)

    return y, (None, branch(x1, lambda c: c), branch(x2, lambda c: ~c))


# --- searching and sorting --------------------------------------------------------------------------------------------
@primitive(moves=True)
def _nonzero(xp: Any, x: Any, /) -> Any:
    return tuple(xp.nonzero(x)), None


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The positions of the elements that are not zero, one index array per axis."""
    if not x.ndim:
        raise ValueError("`nonzero` needs at least one axis, got a 0-d tensor")
    return cast(tuple[Tensor, ...], _nonzero(x))


@primitive(moves=True)
def searchsorted(xp: Any, x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where each x₂ would be inserted into the sorted x₁ to keep it sorted."""
    return xp.searchsorted(x1, x2, side=side, sorter=innermost(sorter)), None


@primitive(moves=True)
def argsort(xp: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The positions that sort x along `axis`."""
    if xp is np:
        order = np.argsort(x, axis=axis, stable=stable)
        if descending:  # equal elements keep their order: sort the reversed array and mirror the positions
            order = np.flip(np.argsort(np.flip(x, axis=axis), axis=axis, stable=stable), axis=axis)
            order = x.shape[axis] - 1 - order
        return order, None
    return xp.argsort(x, axis=axis, descending=descending, stable=stable), None


@primitive(moves=True)
def sort(xp: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """x sorted along `axis`."""
    order = argsort.generic(xp, x, axis=axis, descending=descending, stable=stable)[0]
    y = xp.take_along_axis(x, order, axis=axis)
    return y, (lambda g: xp.take_along_axis(g, xp.argsort(order, axis=axis), axis=axis),)


# --- sets -------------------------------------------------------------------------------------------------------------
def _unique(name: str, doc: str) -> Any:
    def function(x: Tensor, /) -> Any:
        found: Any = getattr(devices.namespace_of(x.data), name)(x.data)
        if not isinstance(found, tuple):
            return wrap(found, x.device)
        return type(found)(*[wrap(f, x.device) for f in found])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


@primitive(moves=True)
def isin(xp: Any, x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Whether each element of x₁ is among those of x₂ (`invert=True`: is not)."""
    return xp.isin(x1, x2, invert=invert), None


unique_all = _unique("unique_all", "Distinct values, their first indices, the inverse indices and the counts.")
unique_counts = _unique("unique_counts", "Distinct values and their counts.")
unique_inverse = _unique("unique_inverse", "Distinct values and, for each element, the index of its value.")


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct values of x, ascending."""
    return unique_counts(x).values
