"""Methods of `Tensor` that only PyTorch has, with PyTorch's meaning: parts, places, order and shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..device import dtypes
from ..device.options import integer, number
from ..tape.tensor import Operand, Tensor, ValuesAndIndices, innermost
from . import creation, elementwise, indexing, manipulation
from .methods import _axis_to_cut, _varargs
from .torch_methods import torch_method

__all__: list[str] = []


def _axis(x: Tensor, dim: int) -> int:
    """`dim` counted from the front; of a 0-d tensor, which has a single place, 0."""
    return _axis_to_cut(x if x.ndim else x.reshape(1), dim)


# --- parts ------------------------------------------------------------------------------------------------------------
@torch_method
def select(self: Tensor, dim: int, index: int) -> Tensor:
    """The slice at one position along an axis, without that axis: a view."""
    axis = _axis_to_cut(self, dim)
    return self[(*(slice(None),) * axis, index, ...)]


@torch_method
def narrow(self: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Those `length` slices along an axis that begin at `start`: a view."""
    axis = _axis_to_cut(self, dim)
    n = self.shape[axis]
    integer("start", start, -n, n)
    begin = int(start) + n if start < 0 else int(start)
    integer("length", length, 0, n - begin)
    return self[(*(slice(None),) * axis, slice(begin, begin + int(length)), ...)]


@torch_method
def unbind(self: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices along an axis, without that axis: views."""
    return tuple(select(self, dim, i) for i in range(self.shape[_axis_to_cut(self, dim)]))


@torch_method
def index_select(self: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices at these positions along an axis."""
    if not self.ndim:
        return index_select(self.reshape(1), dim, index).reshape(())
    return indexing.take(self, index.reshape(-1), axis=_axis(self, dim))


@torch_method
def masked_select(self: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` holds, 1-d, in row-major order."""
    x, mask = manipulation.broadcast_arrays(self, _booleans("masked_select", mask))
    return x[mask]


def _booleans(name: str, mask: Tensor) -> Tensor:
    if mask.dtype != np.bool_:
        raise TypeError(f"`{name}` needs a `mask` of dtype bool, got {mask.dtype}; use mask.bool()")
    return mask


@torch_method
def where(self: Tensor, condition: Tensor, other: Operand) -> Tensor:
    """Choice of x where the condition holds, `other` elsewhere."""
    return indexing.where(_booleans("where", condition), self, other)


@torch_method
def masked_fill(self: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """The number `value` where `mask` holds, x elsewhere."""
    if isinstance(value, Tensor) and value.ndim:
        raise ValueError(
            f"`masked_fill` needs one number for `value`, got shape {value.shape}; use `where` for several"
        )
    y = indexing.where(_booleans("masked_fill", mask), value, self)
    if y.dtype != self.dtype:
        raise TypeError(f"`masked_fill` needs a `value` that {self.dtype} holds, got {value}; convert the tensor first")
    return y


# --- places -----------------------------------------------------------------------------------------------------------
def _checked(name: str, x: Tensor, dim: int, index: Tensor, src: Any = None) -> int:
    """The axis; an error unless an index of this shape names a place of x, and an element of `src`, for each position."""
    axis = _axis(x, dim)
    if not np.issubdtype(index.dtype, np.integer):
        raise TypeError(f"`{name}` needs integers for `index`, got {index.dtype}; use index.long()")
    if index.ndim != x.ndim or any(m > n for i, (m, n) in enumerate(zip(index.shape, x.shape)) if i != axis):
        raise ValueError(
            f"`{name}` needs an `index` of as many axes as the tensor, no longer than it but along `dim` {dim}, got shape "
            f"{index.shape} for {x.shape}"
        )
    if isinstance(src, Tensor) and (src.ndim != index.ndim or any(m > n for m, n in zip(index.shape, src.shape))):
        raise ValueError(f"`{name}` needs a `src` at least of the shape of `index`, {index.shape}, got {src.shape}")
    raw, n = innermost(index), (x.shape or (1,))[axis]
    if isinstance(raw, np.ndarray) and raw.size and not (raw.min() >= 0 and raw.max() < n):
        raise IndexError(f"`{name}` needs an `index` in [0, {n - 1}], got {raw.min()} … {raw.max()}")
    return axis


def _places(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """For each position of `index` which element of the flattened x it names."""
    places = index.long() * math.prod(x.shape[axis + 1 :])
    for i, n in enumerate(index.shape):
        if i != axis:
            along = creation.arange(n, dtype=np.int64, device=x.device) * math.prod(x.shape[i + 1 :])
            places = places + along.reshape(n, *(1,) * (index.ndim - i - 1))
    return places.reshape(-1)


def _beginning(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x.shape == shape else x[tuple(slice(n) for n in shape)]


@torch_method
def gather(self: Tensor, dim: int, index: Tensor) -> Tensor:
    """With dim = 1: y[i, j] = x[i, index[i, j]]."""
    axis = _checked("gather", self, dim, index)
    if not self.ndim:
        return self.clone()
    shape = tuple(n if i == axis else index.shape[i] for i, n in enumerate(self.shape))
    return indexing.take_along_axis(_beginning(self, shape), index, axis=axis)


@torch_method
def scatter(
    self: Tensor, dim: int, index: Tensor, src: Operand | None = None, *, value: Operand | None = None
) -> Tensor:
    """With dim = 1: y[i, index[i, j]] = src[i, j], x elsewhere. Of several for one place, the last is kept."""
    given = value if src is None else src
    if given is None:
        raise TypeError("`scatter` needs `src` or `value`, got neither")
    axis = _checked("scatter", self, dim, index, given)
    if isinstance(given, Tensor):
        if given.dtype != self.dtype:
            raise TypeError(
                f"`scatter` needs a `src` of the tensor's dtype {self.dtype}, got {given.dtype}; convert it"
            )
        given = _beginning(given, index.shape).reshape(-1)
    key = indexing.raw_key(_places(self, axis, index), self)
    return indexing._setitem(self.reshape(-1), given, key=key).reshape(self.shape)


@torch_method
def scatter_add(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """With dim = 1: y[i, index[i, j]] = x[…] + Σ src[i, j] over all that name the place."""
    axis = _checked("scatter_add", self, dim, index, src)
    if src.dtype != self.dtype:
        raise TypeError(f"`scatter_add` needs a `src` of the tensor's dtype {self.dtype}, got {src.dtype}; convert it")
    values = _beginning(src, index.shape).reshape(-1)
    added = indexing._scatter_add(values, _places(self, axis, index), size=self.size, axis=0)
    return self + added.reshape(self.shape)


@torch_method
def scatter_reduce(
    self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """With dim = 1: y[i, index[i, j]] = sum, mean, amax or amin of x[…] and src[i, j] over all that name the place."""
    axis = _checked("scatter_reduce", self, dim, index, src)
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise ValueError(f"`reduce` must be 'sum', 'mean', 'amax' or 'amin', got {reduce!r}")
    if src.dtype != self.dtype:
        raise TypeError(
            f"`scatter_reduce` needs a `src` of the tensor's dtype {self.dtype}, got {src.dtype}; convert it"
        )
    x, values, places = self.reshape(-1), _beginning(src, index.shape).reshape(-1), _places(self, axis, index)
    if reduce in ("amax", "amin"):
        if include_self:
            places = manipulation.concat([creation.arange(x.size, dtype=np.int64, device=x.device), places])
            values = manipulation.concat([x, values])
        sign = 1 if reduce == "amax" else -1
        y = sign * indexing._largest(sign * values, places, size=x.size)
    else:
        y = indexing._scatter_add(values, places, size=x.size, axis=0) + (x if include_self else 0)
    counts = indexing._scatter_add(creation.ones_like(places), places, size=x.size, axis=0)
    if reduce == "mean":
        counted = elementwise.maximum(counts + include_self, creation.ones_like(counts)).astype(self.dtype)
        y = y // counted if dtypes.is_integral(y.dtype) else y / counted
    return (y if include_self else indexing.where(counts > 0, y, x)).reshape(self.shape)


@torch_method
def index_add(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: complex = 1) -> Tensor:
    """With dim = 0: y[index[i]] = x[…] + α Σ source[i] over all that name the place."""
    if not self.ndim:
        return index_add(self.reshape(1), dim, index, source.reshape(-1), alpha=alpha).reshape(())
    axis = _axis(self, dim)
    if source.dtype != self.dtype:
        raise TypeError(
            f"`index_add` needs a `source` of the tensor's dtype {self.dtype}, got {source.dtype}; convert it"
        )
    expected = (*self.shape[:axis], index.size, *self.shape[axis + 1 :])
    if source.shape != expected:
        raise ValueError(f"`index_add` needs a `source` of shape {expected}, got {source.shape}")
    added = indexing._scatter_add(source, index.reshape(-1), size=self.shape[axis], axis=axis)
    return self + (added if alpha == 1 else added * alpha)


@torch_method
def index_fill(self: Tensor, dim: int, index: Tensor, value: Operand) -> Tensor:
    """The number `value` in the slices at these positions along an axis, x elsewhere."""
    if not self.ndim:
        return index_fill(self.reshape(1), dim, index, value).reshape(())
    return indexing._setitem(self, value, key=_slices(self, dim, index))


@torch_method
def index_copy(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """The slices of `source` at these positions along an axis, x elsewhere."""
    if source.dtype != self.dtype:
        raise TypeError(
            f"`index_copy` needs a `source` of the tensor's dtype {self.dtype}, got {source.dtype}; convert it"
        )
    if not self.ndim:
        return index_copy(self.reshape(1), dim, index, source.reshape(-1)).reshape(())
    return indexing._setitem(self, source, key=_slices(self, dim, index))


def _slices(x: Tensor, dim: int, index: Tensor) -> Any:
    return indexing.raw_key((*(slice(None),) * _axis_to_cut(x, dim), index.reshape(-1)), x)


# --- order ------------------------------------------------------------------------------------------------------------
def _picked(x: Tensor, places: Tensor, axis: int, keepdim: bool) -> ValuesAndIndices:
    values = indexing.take_along_axis(x, places, axis=axis)
    if keepdim:
        return ValuesAndIndices(values, places)
    return ValuesAndIndices(manipulation.squeeze(values, axis), manipulation.squeeze(places, axis))


@torch_method
def topk(self: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest (or smallest) elements along an axis, in this order; of equal ones those that come first."""
    axis = _axis(self, dim)
    x = self if self.ndim else self.reshape(1)
    integer("k", k, 0, x.shape[axis])
    order = narrow(indexing.argsort(x, axis=axis, descending=largest), axis, 0, k)
    found = _picked(x, order, axis, keepdim=True)
    return found if self.ndim or not k else ValuesAndIndices(*(t.reshape(()) for t in found))


@torch_method
def kthvalue(self: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The k-th smallest element along an axis."""
    axis = _axis(self, dim)
    x = self if self.ndim else self.reshape(1)
    integer("k", k, 1, x.shape[axis])
    order = indexing.argsort(x, axis=axis)
    return _picked(x, narrow(order, axis, int(k) - 1, 1), axis, keepdim and bool(self.ndim))


@torch_method
def median(self: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median, of two the lower; NaN where there is one. With `dim`, values and indices."""
    if dim is None:
        if not self.size:
            return self.new_full((), float("nan"))
        return median(self.reshape(-1), 0).values
    axis = _axis(self, dim)
    x = self if self.ndim else self.reshape(1)
    n = x.shape[axis]
    integer("the length of `dim`", n, 1)
    missing = elementwise.isnan(x).sum(axis=axis, keepdims=True)
    place = indexing.where(missing > 0, n - missing, (n - 1) // 2)
    order = indexing.take_along_axis(indexing.argsort(x, axis=axis), place, axis=axis)
    found = _picked(x, order, axis, keepdim or not self.ndim)
    return found if self.ndim else ValuesAndIndices(*(t.reshape(()) for t in found))


@torch_method
def quantile(
    self: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The element at the fraction q of the sorted ones along an axis (of all, if None); NaN where there is one."""
    axis = 0 if dim is None else _axis(self, dim)
    x = self.reshape(-1) if dim is None or not self.ndim else self
    n = x.shape[axis]
    integer("the length of `dim`", n, 1)
    given = q if isinstance(q, Tensor) and q.requires_grad else None
    if isinstance(q, Tensor):
        q = q.tolist()
    ordered = indexing.sort(x, axis=axis)
    has_nan = elementwise.isnan(x).any(axis=axis)
    shape = tuple(1 if dim is None or i == axis else m for i, m in enumerate(self.shape))

    def at(fraction: float, slope: Any = None) -> Tensor:
        number("q", fraction, 0, 1)
        rank = fraction * (n - 1)
        below, above = math.floor(rank), math.ceil(rank)
        part = {
            "linear": rank - below, "lower": 0.0, "higher": 1.0, "midpoint": 0.5, "nearest": float(round(rank) - below),
        }.get(interpolation)  # fmt: skip
        if part is None:
            raise ValueError(
                f"`interpolation` must be 'linear', 'lower', 'higher', 'midpoint' or 'nearest', got {interpolation!r}"
            )
        low, high = select(ordered, axis, below), select(ordered, axis, above)
        if slope is not None and interpolation == "linear":
            y = low + (high - low) * (slope * (n - 1) - below)
        else:
            y = low if part == 0 or below == above else high if part == 1 else low + (high - low) * part
        y = indexing.where(has_nan, float("nan"), y)
        return y.reshape(shape) if keepdim else y

    if isinstance(q, list):
        return manipulation.stack([at(f, None if given is None else given[i]) for i, f in enumerate(q)])
    return at(q, given)


@torch_method
def unique(self: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Any:
    """The distinct values, ascending; in a tuple, if more is asked for. All are off the tape."""
    found = indexing.unique_all(self)
    rest = [found.inverse_indices.reshape(self.shape)] * return_inverse + [found.counts] * return_counts
    return (found.values, *rest) if rest else found.values


# --- shape ------------------------------------------------------------------------------------------------------------
@torch_method
def t(self: Tensor) -> Tensor:
    """The transpose of a matrix; a vector as it is."""
    if self.ndim > 2:
        raise ValueError(f"`t` needs at most two axes, got shape {self.shape}; use .mT or .transpose(dim0, dim1)")
    return self if self.ndim < 2 else self.mT


@torch_method
def movedim(self: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the rest keeping their order: a view."""
    return manipulation.moveaxis(self, source, destination)


@torch_method
def unflatten(self: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis split into several."""
    axis = _axis_to_cut(self, dim)
    n, shape = self.shape[axis], list(cast("tuple[int, ...]", _varargs((sizes,))))
    known = math.prod(s for s in shape if s != -1)
    if shape.count(-1) == 1 and known and n % known == 0:
        shape[shape.index(-1)] = n // known
    if -1 in shape or math.prod(shape) != n:
        raise ValueError(f"`sizes` must multiply to {n}, the length of axis {dim}, got {sizes}")
    return self.reshape((*self.shape[:axis], *shape, *self.shape[axis + 1 :]))


@torch_method
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded to the shape of another tensor: a view."""
    return self.expand(other.shape)


@torch_method
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """Reshaped to the shape of another tensor."""
    return self.reshape(other.shape)


@torch_method
def ravel(self: Tensor) -> Tensor:
    """All elements along one axis, in row-major order."""
    return self.reshape(-1)
