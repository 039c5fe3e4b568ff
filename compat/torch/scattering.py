"""Methods of PyTorch's that write values to places: by index, by mask, by slice, and reduced where several meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend.array import indexing
from ...backend.tape.autograd import primitive
from ...backend.tape.tensor import Tensor, wrap
from .shaping import _like, _numpy

__all__ = ["METHODS"]

UFUNCS: dict[str, Any] = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


@primitive
def scatter_reduced(
    xp: Any, x: Any, src: Any, /, *, key: tuple[np.ndarray, ...], reduce: str, include_self: bool
) -> Any:
    """y[k] = the product, or an extremum, of x[k] and every src with key k; NumPy's arrays alone."""
    if isinstance(x, Tensor):
        raise NotImplementedError(f"`scatter_reduce` has no second derivative for {reduce!r}; use 'sum' or 'mean'")
    takes_part = np.ones(x.shape, np.bool_)
    takes_part[key] = include_self
    kind = np.finfo if x.dtype.kind == "f" else np.iinfo
    blank = 1 if reduce == "prod" else kind(x.dtype).min if reduce == "amax" else kind(x.dtype).max
    y = np.where(takes_part, x, np.asarray(blank, x.dtype))
    UFUNCS[reduce].at(y, key, src)
    slopes = (_slopes_of_product if reduce == "prod" else _slopes_of_extremum)(x, src, y, key, takes_part)
    return y, (lambda g: g * slopes[0], lambda g: g[key] * slopes[1])


def _slopes_of_product(x: Any, src: Any, y: Any, key: Any, takes_part: Any) -> tuple[Any, Any]:
    """The product of all others: by division, and by counting the zeros among them."""
    zeros = (takes_part & (x == 0)).astype(np.int64)
    np.add.at(zeros, key, src == 0)
    others = np.where(takes_part & (x != 0), x, np.ones((), x.dtype))
    np.multiply.at(others, key, np.where(src == 0, np.ones((), x.dtype), src))

    def slope(factor: Any, count: Any, product: Any) -> Any:
        alone = count == (factor == 0)  # no zero among the others
        return np.where(alone, product / np.where(factor == 0, 1, factor), 0).astype(x.dtype)

    return slope(x, zeros, others) * takes_part, slope(src, zeros[key], others[key])


def _slopes_of_extremum(x: Any, src: Any, y: Any, key: Any, takes_part: Any) -> tuple[Any, Any]:
    """Those that are as large share the gradient; PyTorch counts x among them even where it takes no part."""
    first, second = takes_part & (x == y), src == y[key]
    shares = first.astype(x.dtype)
    np.add.at(shares, key, second)
    shares = np.maximum(shares, 1)
    return first / shares, second / shares[key]


def _scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """Reduced groups of `src`, and of x unless it is left out where something goes."""
    if reduce not in ("sum", "mean", *UFUNCS):
        raise RuntimeError(f"`reduce` must be sum, mean, prod, amax or amin, got {reduce!r}")
    src = src[tuple(slice(n) for n in index.shape)]
    if reduce in UFUNCS:
        where = np.indices(index.shape)
        key = tuple(_numpy(index) if d == dim % x.ndim else where[d] for d in range(x.ndim))
        return scatter_reduced(x.cpu(), src.cpu(), key=key, reduce=reduce, include_self=include_self).to(x.device)
    start = x if include_self else x.scatter(dim, index, 0.0)
    total = start.scatter_add(dim, index, src)
    if reduce == "sum":
        return total
    ones = x.new_ones(*x.shape)
    ones = ones if include_self else ones.scatter(dim, index, 0.0)
    count = ones.scatter_add(dim, index, src.new_ones(*src.shape))
    return total / count if x.is_floating_point() else total.floor_divide(count)


def _index_put(x: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    return _index_put_(x.clone(), indices, values, accumulate)


def _index_put_(x: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False) -> Tensor:
    key = tuple(slice(None) if i is None else i for i in indices)
    if not accumulate:
        x[key] = values
        return x
    places = wrap(np.arange(x.numel()), "cpu").reshape(x.shape)[
        tuple(k.cpu() if isinstance(k, Tensor) else k for k in key)
    ]
    flat = values.expand(*places.shape).reshape(-1)
    return x.copy_(x.reshape(-1).index_add(0, places.reshape(-1).to(x.device), flat.to(x.dtype)).reshape(x.shape))


def _masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    mask = mask.expand(*np.broadcast_shapes(mask.shape, x.shape))
    places = (mask.reshape(-1).long().cumsum(0) - 1).clamp(min=0)
    return indexing.where(mask, source.reshape(-1)[places].reshape(mask.shape), x)


def _select_scatter(x: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    out = x.clone()
    out[(*(slice(None),) * (dim % x.ndim), index)] = src
    return out


def _slice_scatter(
    x: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    out = x.clone()
    out[(*(slice(None),) * (dim % x.ndim), slice(start, end, step))] = src
    return out


def _diagonal_scatter(x: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    places = np.diagonal(np.arange(x.numel()).reshape(x.shape), offset, dim1, dim2).copy()
    return x.reshape(-1).index_copy(0, _like(x, places.reshape(-1)), src.reshape(-1)).reshape(x.shape)


def _put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """At places of x as one row."""
    places = index.reshape(-1)
    if places.shape[0] != source.numel():
        raise RuntimeError(f"`index` must have as many elements as `source`, {source.numel()}, got {places.shape[0]}")
    return _index_put(x.reshape(-1), (places,), source.reshape(-1), accumulate).reshape(x.shape)


METHODS: dict[str, Callable] = {
    "index_put": _index_put,
    "index_put_": _index_put_,
    "scatter_reduce": _scatter_reduce,
    "masked_scatter": _masked_scatter,
    "select_scatter": _select_scatter,
    "slice_scatter": _slice_scatter,
    "diagonal_scatter": _diagonal_scatter,
    "put": _put,
    "put_": lambda x, *args, **options: x.copy_(_put(x, *args, **options)),
}
