"""What is sparse in PyTorch, dense here: places and values are kept beside the numbers, for programs that ask for them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend.array import indexing
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .making import tensor
from .shaping import _like, _numpy

__all__ = ["FUNCTIONS", "METHODS", "SPARSE"]

# Places and values, in their order and zeros included, of what was sparse.
_given_as: dict[int, tuple[Tensor, Tensor]] = {}


def _kept(dense: Tensor, places: Tensor, values: Tensor) -> Tensor:
    _given_as[id(dense)] = places, values
    weakref.finalize(dense, _given_as.pop, id(dense), None)
    return dense


def _sparse_coo_tensor(indices: Any, values: Any = None, size: Sequence[int] | None = None, **options: Any) -> Tensor:
    """Values at places, zero elsewhere; those at one place add up, and gradients flow to all."""
    places = np.asarray(indices.detach().cpu().numpy() if isinstance(indices, Tensor) else indices, np.int64)
    found = values if isinstance(values, Tensor) else tensor(values)
    if options.get("dtype") is not None or options.get("device") is not None:
        found = found.to(options.get("device") or found.device, options.get("dtype") or found.dtype)
    axes = len(places)
    shape = tuple(size) if size is not None else (*(places.max(1) + 1).tolist(), *found.shape[1:])
    if places.size and ((places < 0).any() or (places >= np.array(shape[:axes])[:, None]).any()):
        raise RuntimeError(f"`indices` must lie within the size {shape[:axes]}, got up to {places.max(1).tolist()}")
    flat = np.ravel_multi_index(tuple(places), shape[:axes]) if places.size else np.zeros(0, np.int64)
    rest = shape[axes:]
    zeros = found.new_zeros(int(np.prod(shape[:axes])), *rest)
    dense = zeros.index_add(0, _like(found, flat.astype(np.int64)), found).reshape(shape)
    dense = dense.requires_grad_() if options.get("requires_grad") else dense
    return _kept(dense, _like(found, places), found)


def _sparse_csr_tensor(
    crow_indices: Any, col_indices: Any, values: Any, size: Sequence[int] | None = None, **options: Any
) -> Tensor:
    ends, columns = (_numpy(x) if isinstance(x, Tensor) else np.asarray(x) for x in (crow_indices, col_indices))
    rows = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    size = (len(ends) - 1, int(columns.max(initial=-1)) + 1) if size is None else size
    return _sparse_coo_tensor(np.stack([rows, columns]), values, size, **options)


def _indices(x: Tensor) -> Tensor:
    if id(x) in _given_as:
        return _given_as[id(x)][0]
    return _like(x, np.stack(np.nonzero(_numpy(x))).astype(np.int64))


def _values(x: Tensor) -> Tensor:
    if id(x) in _given_as:
        return _given_as[id(x)][1]
    return x[tuple(_indices(x).unbind(0))]


def _coalesce(x: Tensor) -> Tensor:
    """Each place once, in order, with the sum of its values."""
    if id(x) not in _given_as:
        return x
    places = np.unique(_numpy(_indices(x)), axis=1)
    alias = x.view(x.shape)
    return _kept(alias, _like(x, places), x[tuple(_like(x, p) for p in places)])


def _pattern(x: Tensor) -> Tensor:
    """Where it has values, as bool: those of its axes that are sparse."""
    places = _numpy(_indices(x))
    found = np.zeros(x.shape[: len(places)], np.bool_)
    found[tuple(places)] = True
    return _like(x, found.reshape(*found.shape, *(1,) * (x.ndim - len(places))))


def _sparse_mask(x: Tensor, mask: Tensor) -> Tensor:
    """x where the mask has values, zero elsewhere."""
    places = _indices(mask)
    found = indexing.where(_pattern(mask), x, 0.0)
    return _kept(found, places, found[tuple(places.unbind(0))])


def _softmax(of: Callable) -> Callable:
    """Over what has values: where there is none is no zero, but nothing."""

    def run(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        input = input if dtype is None else input.to(dtype)
        places, there = _indices(input), _pattern(input)
        found = of(indexing.where(there, input, -np.inf), dim=dim)
        found = indexing.where(there, found, 0.0)
        return _kept(found, places, found[tuple(places.unbind(0))])

    return run


METHODS: dict[str, Callable] = {
    **{name: lambda x, *_args, **_options: x for name in ("to_dense", "to_sparse", "to_sparse_coo", "to_sparse_csr")},
    "coalesce": _coalesce,
    "sparse_mask": _sparse_mask,
    "indices": _indices,
    "_indices": _indices,
    "values": _values,
    "_values": _values,
    "_nnz": lambda x: len(_values(x)),
    "is_coalesced": lambda x: id(x) not in _given_as,
}
FUNCTIONS: dict[str, Callable] = {"sparse_coo_tensor": _sparse_coo_tensor, "sparse_csr_tensor": _sparse_csr_tensor}
SPARSE: dict[str, Callable] = {
    **{f"{kind}Tensor": _sparse_coo_tensor for kind in ("Float", "Double", "Long")},
    "sum": Tensor.sum,
    "addmm": Tensor.addmm,
    "softmax": _softmax(functional.softmax),
    "log_softmax": _softmax(functional.log_softmax),
}
