"""Reading and writing parts of arrays, searching, sorting and sets, with derivatives where there are any."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np

from ..device import devices, dtypes
from ..tape.autograd import primitive
from ..tape.tensor import Tensor, ValuesAndIndices, device_of, innermost, wrap
from .elementwise import INEXACT, _operands, floats_win, promotable, unbroadcast, widened
from .info import result_type
from .spellings import DIM, spelled
from .sums import is_half

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
    impl = _scatter_add.impls.get(devices.kind(device_of(values)))
    found = NotImplemented if impl is None else impl(values, indices, size=size, axis=axis)
    return (_scatter_add.generic(xp, values, indices, size=size, axis=axis) if found is NotImplemented else found)[0]


@primitive(moves=True)
def _scatter_add(xp: Any, values: Any, indices: Any, /, *, size: int, axis: int) -> Any:
    rows = xp.moveaxis(values, axis, 0)
    if xp is np:  # one after the other, hence float32 in float64
        wide = np.float64 if values.dtype.kind in "fV" else values.dtype
        out = np.zeros((size, *rows.shape[1:]), wide)
        np.add.at(out, indices, rows.astype(wide, copy=False))
        out = out.astype(values.dtype, copy=False)
    else:  # a matrix product with one-hot columns is all that the standard offers
        every = xp.arange(size, dtype=indices.dtype, device=indices.device)
        wide = xp.float32 if is_half(values.dtype) else values.dtype
        one_hot = xp.astype(indices[None, :] == every[:, None], wide)
        flat = xp.reshape(xp.astype(rows, wide), (rows.shape[0], math.prod(rows.shape[1:])))
        out = xp.astype(xp.reshape(one_hot @ flat, (size, *rows.shape[1:])), values.dtype)
    return xp.moveaxis(out, 0, axis), (lambda g: xp.take(g, indices, axis=axis), None)


@primitive
def _largest(xp: Any, values: Any, places: Any, /, *, size: int) -> Any:
    """For each of `size` places the largest of the values that name it, 0 where none does; equal ones share the gradient.

    Sorted by value, and then by place, it is the last with that place. NaN, which comes last, is the largest.
    """
    if not values.shape[0]:
        return xp.zeros(size, dtype=values.dtype, device=values.device), (lambda g: xp.zeros_like(values), None)
    order = xp.argsort(values)
    order = xp.take(order, xp.argsort(xp.take(places, order, axis=0), stable=True), axis=0)
    every = xp.arange(size, dtype=places.dtype, device=places.device)
    ends = xp.searchsorted(xp.take(places, order, axis=0), every, side="right")
    starts = xp.searchsorted(xp.take(places, order, axis=0), every, side="left")
    last = xp.where(ends > starts, ends - 1, xp.zeros_like(ends))
    found = xp.take(values, xp.take(order, last, axis=0), axis=0)
    y = xp.where(ends > starts, found, xp.zeros_like(found))

    def grad_values(g: Any) -> Any:
        there = xp.take(y, places, axis=0)
        is_it = xp.astype((values == there) | ((values != values) & (there != there)), g.dtype)
        share = xp.take(scatter_add(xp, is_it, places, size, 0), places, axis=0)
        return xp.take(g, places, axis=0) * is_it / share

    return y, (grad_values, None)


@primitive(moves=True)
def take(xp: Any, x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """The elements of x at `indices` along an axis.

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    indices : Tensor
        Integers (K,), negative ones counting from the end.
    axis : int, optional
        What is looked up along; may be left out where x is 1-d.

    Returns
    -------
    Tensor
        Of the shape of x, but K long along `axis`. The gradient of what is taken twice is added up.

    Raises
    ------
    ValueError
        If `axis` is left out and x is not 1-d, or `indices` is not 1-d.
    IndexError
        If an index is out of bounds (on a CPU).

    Examples
    --------
    >>> weft.take(weft.tensor([5.0, 6.0, 7.0]), weft.tensor([2, 0, 2]))
    tensor([7., 5., 7.])
    """
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
    """The element of x that `indices` names for each position along an axis.

    With axis=-1: y[…, j] = x[…, indices[…, j]].

    Parameters
    ----------
    x : Tensor
        Of any dtype.
    indices : Tensor
        Integers, negative ones counting from the end; with as many axes as x, broadcast against it but for `axis`.
    axis : int, default -1
        What is looked up along.

    Returns
    -------
    Tensor
        Of the shape of `indices`, broadcast. PyTorch calls this `take_along_dim`.

    Examples
    --------
    >>> x = weft.tensor([[3.0, 1.0], [2.0, 4.0]])
    >>> weft.take_along_axis(x, weft.argsort(x))
    tensor([[1., 3.],
            [2., 4.]])
    """
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


def part(x: Any, key: Any) -> Any:
    """The view x[key] where the key is basic, even of one element; all of x otherwise."""
    if not _is_basic(key):
        return x
    keys = key if isinstance(key, tuple) else (key,)
    return x[keys] if any(k is Ellipsis for k in keys) else x[(*keys, ...)]


@primitive(moves=True)
def _getitem(xp: Any, x: Any, /, *, key: Any) -> Any:
    def grad_x(g: Any) -> Any:
        if _is_basic(key):
            out = xp.zeros_like(x)
            _place(xp, out, key, g)
            return out
        flat = _positions(x, key)
        g = xp.reshape(g, (-1,))
        return xp.reshape(scatter_add(xp, g, xp.asarray(flat, device=g.device), math.prod(x.shape), 0), x.shape)

    y = x[key]
    basic = _is_basic(key)
    if isinstance(y, np.generic) and basic:  # a view, no number of its own
        y = part(x, key)
    if basic:
        grad_x.add = functools.partial(_place, xp, key=key, add=True)  # type: ignore[attr-defined]
    return y, (grad_x,)


def _place(xp: Any, out: Any, key: Any, g: Any, add: bool = False) -> None:
    """out[key] = g, or += g, for a basic key."""
    kept = tuple(k for k in (key if isinstance(key, tuple) else (key,)) if k is not None)  # no new axes there
    g = xp.reshape(g, out[kept].shape)
    if add:
        out[kept] += g
    else:
        out[kept] = g


def _positions(x: Any, key: Any) -> np.ndarray:
    """For each element of x[key], which element of the flattened x it is: NumPy's indexing works it out on the host."""
    host = tuple(k if _is_basic(k) else devices.to_numpy(k) for k in (key if isinstance(key, tuple) else (key,)))
    return np.arange(math.prod(x.shape)).reshape(x.shape)[host].reshape(-1)


def _may_repeat(key: Any) -> bool:
    """Whether an index may name a place twice: it has an array of integers of more than one element."""
    parts = [part for part in (key if isinstance(key, tuple) else (key,)) if getattr(part, "ndim", 0)]
    return any(part.size > 1 and dtypes.is_integral(part.dtype) for part in parts)


@primitive(moves=True)
def _setitem(xp: Any, x: Any, value: Any, /, *, key: Any) -> Any:
    """A copy of x with x[key] = value."""
    out = xp.asarray(x, copy=True)
    out[key] = value
    if dtypes.is_integral(out.dtype):
        return out, None

    def grad_x(g: Any) -> Any:
        rest = xp.asarray(g, copy=True)
        rest[key] = 0
        return rest

    def grad_value(g: Any) -> Any:
        taken = g[key]
        if _may_repeat(key):  # what a later value has overwritten is in no output
            order = xp.reshape(xp.arange(math.prod(taken.shape), device=g.device), taken.shape)
            last = xp.zeros(out.shape, dtype=order.dtype, device=g.device)
            last[key] = order
            taken = xp.where(last[key] == order, taken, xp.zeros_like(taken))
        lead = (1,) * (
            value.ndim - taken.ndim
        )  # assignment allows what broadcasting does not: leading axes of length 1
        return unbroadcast(xp, xp.reshape(taken, lead + taken.shape), value)

    return out, (grad_x, grad_value)


@primitive
def where(xp: Any, condition: Any, x1: Any, x2: Any, /) -> Any:
    """A choice between x₁, where the condition holds, and x₂, elsewhere.

    Parameters
    ----------
    condition : Tensor
        Booleans.
    x1, x2 : Tensor or number
        Broadcast against each other and the condition; a number takes the other's dtype (or the default one).

    Returns
    -------
    Tensor
        Of the dtype that x1 and x2 promote to. Each gets the gradient of the elements that it was chosen for.

    Examples
    --------
    >>> weft.where(weft.tensor([True, False]), 1.0, weft.tensor([2.0, 3.0]))
    tensor([1., 3.])
    """
    if condition is None or x1 is None or x2 is None:
        raise TypeError(
            "`where` needs a condition and two values, got None; to find where x holds, use weft.nonzero(x)"
        )
    if type(x1) in INEXACT or type(x2) in INEXACT:
        x1, x2 = _operands(xp, x1, x2)
        if not hasattr(x1, "dtype") and not hasattr(x2, "dtype"):
            x1 = xp.asarray(x1, dtype=dtypes.native(xp, result_type(x1, x2)), device=condition.device)
    x1, x2 = floats_win(xp, x1, x2)
    wide1, wide2 = promotable(xp, x1, x2)
    y = xp.where(condition, wide1, wide2)

    def branch(like: Any, mask: Any) -> Any:
        return lambda g: unbroadcast(xp, xp.where(mask(condition), g, xp.zeros_like(g)), like)

    return y, (None, branch(x1, lambda c: c), branch(x2, lambda c: ~c))


# --- searching and sorting --------------------------------------------------------------------------------------------
@primitive(moves=True)
def _nonzero(xp: Any, x: Any, /) -> Any:
    return tuple(xp.nonzero(x)), None


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The positions of the elements that are not zero.

    Parameters
    ----------
    x : Tensor
        Of any dtype, with at least one axis.

    Returns
    -------
    tuple of Tensor
        One for each axis of x: integers (K,), in row-major order. `x[weft.nonzero(x)]` has the K elements.

    Raises
    ------
    ValueError
        If x is 0-d.

    Notes
    -----
    K is known to the host only: a GPU is waited for.

    Examples
    --------
    >>> weft.nonzero(weft.tensor([0, 3, 0, 4]))
    (tensor([1, 3]),)
    """
    if not x.ndim:
        raise ValueError("`nonzero` needs at least one axis, got a 0-d tensor")
    return cast(tuple[Tensor, ...], _nonzero(x))


@primitive(moves=True)
def searchsorted(
    xp: Any, x1: Any, x2: Any, /, *, side: Literal["left", "right"] = "left", sorter: Tensor | None = None
) -> Any:
    """Where each x₂ would be inserted into the sorted x₁ to keep it sorted.

    Parameters
    ----------
    x1 : Tensor
        Ascending (or made so by `sorter`), 1-d.
    x2 : Tensor
        What to insert, of any shape.
    side : {"left", "right"}, default "left"
        Before or after elements that are equal to it.
    sorter : Tensor, optional
        Integers that sort x1, as `argsort` returns them.

    Returns
    -------
    Tensor
        Integers of the shape of x2, from 0 to the length of x1.

    Examples
    --------
    >>> weft.searchsorted(weft.tensor([1.0, 2.0, 3.0]), weft.tensor([2.0, 2.5]))
    tensor([1, 2])
    """
    x1, x2 = widened(xp, x1, _element_of(xp, x2, x1))
    return xp.searchsorted(x1, x2, side=side, sorter=innermost(sorter)), None


@spelled(DIM)
@primitive(moves=True)
def argsort(xp: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The positions that sort x along an axis.

    Parameters
    ----------
    x : Tensor
        Of a real dtype; NaN comes last.
    axis : int, default -1
        What is sorted along.
    descending : bool, default False
        Whether the largest comes first.
    stable : bool, default True
        Whether equal elements are certain to keep their order, descending too.

    Returns
    -------
    Tensor
        Integers (int64) of the shape of x.

    Examples
    --------
    >>> weft.argsort(weft.tensor([3, 1, 2]))
    tensor([1, 2, 0])
    """
    (x,) = widened(xp, x)
    if not descending:
        return xp.argsort(x, axis=axis, stable=stable), None
    # NumPy knows no `descending`. Equal elements keep their order: sort the reversed array and mirror the positions.
    order = xp.flip(xp.argsort(xp.flip(x, axis=axis), axis=axis, stable=stable), axis=axis)
    return x.shape[axis] - 1 - order, None


def _with_indices(f: Any, x: Any, /, *, axis: int = -1, **options: Any) -> ValuesAndIndices:
    """PyTorch's `sort`."""
    indices = argsort(x, axis=axis, **options)
    return ValuesAndIndices(take_along_axis(x, indices, axis=axis), indices)


@spelled(DIM, _with_indices)
@primitive(moves=True)
def sort(xp: Any, x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Sorted along an axis: the values alone (see `argsort` for where they were).

    Parameters
    ----------
    x : Tensor
        Of a real dtype; NaN comes last.
    axis : int, default -1
        What is sorted along.
    descending : bool, default False
        Whether the largest comes first.
    stable : bool, default True
        Whether equal elements are certain to keep their order, which decides who gets the gradient.

    Returns
    -------
    Tensor
        Of the shape and dtype of x.

    Notes
    -----
    PyTorch's returns values and indices, as `x.sort(dim=1)` does here. What `x.sort()` and `x.sort(1)` return cannot be
    unpacked, nor be indexed with 0 or 1; name the `axis` for that.

    Examples
    --------
    >>> weft.sort(weft.tensor([3, 1, 2]), descending=True)
    tensor([3, 2, 1])
    """
    order = argsort.generic(xp, x, axis=axis, descending=descending, stable=stable)[0]
    y = xp.take_along_axis(x, order, axis=axis)
    return y, (lambda g: xp.take_along_axis(g, xp.argsort(order, axis=axis), axis=axis),)


# --- sets -------------------------------------------------------------------------------------------------------------
UNIQUE = """{meaning}.

Parameters
----------
x : Tensor
    Of any shape; each NaN is distinct.

Returns
-------
NamedTuple of Tensor
    `values`, ascending{returns}. All are off the tape.

Examples
--------
>>> values, {names} = weft.{name}(weft.tensor([3, 1, 3]))
>>> values, {names}
({found})
"""
INDICES = ("indices", "where each is first in x, flattened", "[1, 0]")
INVERSE = ("inverse_indices", "for each element of x, which value it is", "[1, 0, 1]")
COUNTS = ("counts", "how often each is in x", "[1, 2]")


def _unique(name: str, meaning: str, *others: tuple[str, str, str]) -> Callable[[Tensor], Any]:
    def function(x: Tensor, /) -> Any:
        xp = devices.namespace_of(x.data)
        found: Any = getattr(xp, name)(*widened(xp, x.data))
        if found[0].dtype != x.data.dtype:
            found = found._replace(values=xp.astype(found.values, x.data.dtype))
        return type(found)(*[wrap(f, x.device) for f in found])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = UNIQUE.format(
        meaning=meaning,
        returns="".join(f";\n    `{what}`, {means}" for what, means, _ in others),
        name=name,
        names=", ".join(what for what, _, _ in others),
        found=", ".join(f"tensor({found})" for found in ("[1, 3]", *(example for _, _, example in others))),
    )
    return function


@primitive(moves=True)
def isin(xp: Any, x1: Any, x2: Any, /, *, invert: bool = False) -> Any:
    """Whether each element of x₁ is among those of x₂.

    Parameters
    ----------
    x1 : Tensor or number
        What is looked for, of any shape.
    x2 : Tensor or number
        What is looked through.
    invert : bool, default False
        Whether to tell those that are not instead.

    Returns
    -------
    Tensor
        Booleans of the shape of x1.

    Examples
    --------
    >>> weft.isin(weft.tensor([1, 2, 3]), weft.tensor([2, 4]))
    tensor([False,  True, False])
    """
    x1, x2 = widened(xp, _element_of(xp, x1, x2), _element_of(xp, x2, x1))
    return xp.isin(x1, x2, invert=invert), None


def _element_of(xp: Any, x: Any, other: Any) -> Any:
    """Python numbers as the floating-point dtype of the other holds them: what holds 0.1 has 0.1 in it."""
    is_number = type(x) in (int, float, list) and hasattr(other, "dtype") and dtypes.is_real_floating(other.dtype)
    return xp.asarray(x, dtype=other.dtype) if is_number else x


unique_all = _unique("unique_all", "Distinct values, where they are, and how often", INDICES, INVERSE, COUNTS)
unique_counts = _unique("unique_counts", "Distinct values, and how often each is there", COUNTS)
unique_inverse = _unique("unique_inverse", "Distinct values and, for each element, which it is", INVERSE)


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct values of x, ascending.

    Parameters
    ----------
    x : Tensor
        Of any shape; each NaN is distinct.

    Returns
    -------
    Tensor
        Of shape (K,) and the dtype of x, off the tape.

    Examples
    --------
    >>> weft.unique_values(weft.tensor([3, 1, 3]))
    tensor([1, 3])
    """
    return unique_counts(x).values
