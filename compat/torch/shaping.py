"""Methods of PyTorch's that give other shapes, parts and orders, made of weft's operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend.array import indexing, manipulation, reductions
from ...backend.array.creation import asarray
from ...backend.tape.tensor import Tensor, ValuesAndIndices, wrap
from .eigen import refusing

__all__ = ["FUNCTIONS", "INPLACE", "METHODS"]


def _given(shape: tuple) -> tuple[int, ...]:
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else shape


def _like(x: Tensor, raw: Any) -> Tensor:
    """What NumPy has made, where x is."""
    return wrap(np.asarray(raw), "cpu").to(x.device)


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def _squeeze(x: Tensor, dim: Any = None, **options: Any) -> Tensor:
    """An axis that is longer than 1 stays."""
    if "axis" in options:
        return manipulation.squeeze(x, **options)
    if dim is None:
        return manipulation.squeeze(x, axis=tuple(i for i, n in enumerate(x.shape) if n == 1))
    dims = {range(max(x.ndim, 1))[d] for d in (dim if isinstance(dim, tuple | list) else (dim,))}
    found = tuple(d for d in sorted(dims) if x.ndim and x.shape[d] == 1)
    return manipulation.squeeze(x, axis=found) if found else x.view(x.shape)


def _moved(x: Tensor, source: Any, destination: Any) -> Tensor:
    return manipulation.moveaxis(x, source, destination)


def _tensor_split(x: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    n = x.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        parts = indices_or_sections
        sizes = [n // parts + (i < n % parts) for i in range(parts)]
        return x.split(sizes, dim)
    ends = [0, *(min(max(i + n if i < 0 else i, 0), n) for i in indices_or_sections), n]
    return tuple(x.narrow(dim, a, max(b - a, 0)) for a, b in itertools.pairwise(ends))


def _take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    if dim is None:
        return indexing.take_along_axis(x.reshape(-1), indices.reshape(-1), axis=0)
    shape = list(np.broadcast_shapes(_without(x.shape, dim), _without(indices.shape, dim)))
    dim %= x.ndim
    a, b = ((*shape[:dim], y.shape[dim], *shape[dim:]) for y in (x, indices))
    return indexing.take_along_axis(x.expand(*a), indices.expand(*b), axis=dim)


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    dim %= len(shape)
    return shape[:dim] + shape[dim + 1 :]


def _rot90(x: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    a, b = dims
    k %= 4
    if k == 2:
        return x.flip(a, b)
    return x if not k else x.flip(b).transpose(a, b) if k == 1 else x.transpose(a, b).flip(b)


def _argwhere(x: Tensor) -> Tensor:
    return (
        manipulation.stack(indexing.nonzero(x), axis=1) if x.ndim else _like(x, np.zeros((int(bool(x)), 0), np.int64))
    )


def _unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    raw = _numpy(x)
    rows = raw.reshape(-1, 1) if dim is None else np.moveaxis(raw, dim, 0).reshape(raw.shape[dim], -1)
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(1)
    starts = np.flatnonzero(new)
    values = raw.reshape(-1)[starts] if dim is None else np.take(raw, starts, dim)
    found = [values]
    inverse = np.cumsum(new) - 1
    found += [inverse.reshape(raw.shape) if dim is None else inverse] * return_inverse
    found += [np.diff(np.append(starts, len(rows)))] * return_counts
    made = tuple(_like(x, f) for f in found)
    return refusing("unique_consecutive", made if len(made) > 1 else made[0], x)


def _cumulative_extremum(better: Callable) -> Callable:
    def run(x: Tensor, dim: int) -> ValuesAndIndices:
        raw = np.moveaxis(_numpy(x), dim, 0)
        places = np.zeros(raw.shape, np.int64)
        best = raw[:1].copy()[0] if len(raw) else raw
        where = np.zeros(best.shape, np.int64)
        for i, row in enumerate(raw):
            taken = better(row, best) | (row != row)
            best, where = np.where(taken, row, best), np.where(taken, i, where)
            places[i] = where
        indices = _like(x, np.moveaxis(places, 0, dim).copy())
        return ValuesAndIndices(indexing.take_along_axis(x, indices, axis=dim), indices)

    return run


def _mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    if not x.ndim:
        return ValuesAndIndices(x, _like(x, np.int64(0)))
    raw = np.moveaxis(_numpy(x), dim, -1)
    rows = raw.reshape(-1, raw.shape[-1])
    found = []
    for row in rows:
        values, counts = np.unique(row, return_counts=True)
        found.append(np.flatnonzero(row == values[counts.argmax()])[-1])
    indices = _like(x, np.array(found, np.int64).reshape(raw.shape[:-1])).unsqueeze(dim)
    most = indexing.take_along_axis(x, indices, axis=dim)
    return ValuesAndIndices(*((most, indices) if keepdim else (most.squeeze(dim), indices.squeeze(dim))))


def _aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return tuple(getattr(reductions, name)(x, axis=dim, keepdims=keepdim) for name in ("min", "max"))  # type: ignore[return-value]


def _sum_to_size(x: Tensor, *size: Any) -> Tensor:
    shape = _given(size)
    extra = x.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1))
    return reductions.sum(x, axis=axes, keepdims=True).reshape(shape) if axes else x


def _flat(x: Tensor) -> Tensor:
    return x[None] if x.ndim == 0 else x


def _diagflat(x: Tensor, offset: int = 0) -> Tensor:
    return x.reshape(-1).diag(offset)


def _renamed(name: str) -> Callable:
    def call(x: Tensor, *args: Any, **options: Any) -> Any:
        return getattr(x, name)(*args, **options)

    return call


# --- functions of several tensors -----------------------------------------------------------------------------------
def _atleast(n: int) -> Callable:
    shapes = {
        1: lambda x: x.reshape(-1) if x.ndim < 1 else x,
        2: lambda x: x.reshape(1, -1) if x.ndim < 2 else x,
        3: lambda x: x.reshape(1, -1, 1) if x.ndim < 2 else x[..., None] if x.ndim == 2 else x,
    }

    def call(*tensors: Any) -> Any:
        several = len(tensors) > 1 or isinstance(tensors[0], tuple | list)
        given = tensors[0] if isinstance(tensors[0], tuple | list) else tensors
        made = tuple(map(shapes[n], given))
        return made if several else made[0]

    return call


def _broadcast_tensors(*tensors: Any) -> list[Tensor]:
    given: Any = _given(tensors)
    shape = np.broadcast_shapes(*(t.shape for t in given))
    return [t.expand(*shape) for t in given]


def _block_diag(*tensors: Tensor) -> Tensor:
    parts = [t.reshape(1, -1) if t.ndim < 2 else t for t in tensors]
    width = sum(p.shape[1] for p in parts)
    rows, left = [], 0
    for p in parts:
        blank = p.new_zeros(p.shape[0], width)
        rows.append(manipulation.concat([blank[:, :left], p, blank[:, left + p.shape[1] :]], axis=1))
        left += p.shape[1]
    return manipulation.concat(rows, axis=0)


def _cartesian_prod(*tensors: Tensor) -> Tensor:
    if len(tensors) == 1:
        return tensors[0]
    places = np.indices([len(t) for t in tensors]).reshape(len(tensors), -1)
    return manipulation.stack([t[_like(t, p)] for t, p in zip(tensors, places)], axis=1)


def _combinations(x: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(len(x)), r)), np.int64).reshape(-1, r)
    return x[_like(x, places)]


def _column_stack(tensors: Sequence[Tensor]) -> Tensor:
    return manipulation.concat([t.reshape(-1, 1) if t.ndim < 2 else t for t in tensors], axis=1)


def _dstack(tensors: Sequence[Tensor]) -> Tensor:
    return manipulation.concat([_atleast(3)(t) for t in tensors], axis=2)


def _triangle_indices(which: Callable) -> Callable:
    def make(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
        found = asarray(np.stack(which(row, offset, col)).astype(np.int64), device=device)
        return found if dtype is None else found.to(dtype)

    return make


def _unravel_index(indices: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:
    return tuple(_like(indices, part) for part in np.unravel_index(_numpy(indices), tuple(shape)))


METHODS: dict[str, Callable] = {
    "squeeze": _squeeze,
    "moveaxis": _moved,
    "swapdims": _renamed("swapaxes"),
    "tensor_split": _tensor_split,
    "split_with_sizes": _renamed("split"),
    "unsafe_split": _renamed("split"),
    "unsafe_chunk": _renamed("chunk"),
    "hsplit": lambda x, n: _tensor_split(x, n, 0 if x.ndim == 1 else 1),
    "vsplit": lambda x, n: _tensor_split(x, n, 0),
    "dsplit": lambda x, n: _tensor_split(x, n, 2),
    "take_along_dim": _take_along_dim,
    "rot90": _rot90,
    "fliplr": lambda x: x.flip(1),
    "flipud": lambda x: x.flip(0),
    "argwhere": _argwhere,
    "unique_consecutive": _unique_consecutive,
    "cummax": _cumulative_extremum(np.greater_equal),
    "cummin": _cumulative_extremum(np.less_equal),
    "mode": _mode,
    "aminmax": _aminmax,
    "sum_to_size": _sum_to_size,
    "diagflat": _diagflat,
    "msort": lambda x: x.sort(0)[0],
    "adjoint": lambda x: x.transpose(-2, -1).conj(),
    "narrow_copy": _renamed("narrow"),
}
# Those whose in-place forms give the tensor itself another shape.
INPLACE = ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims")
FUNCTIONS: dict[str, Callable] = {
    "atleast_1d": _atleast(1),
    "atleast_2d": _atleast(2),
    "atleast_3d": _atleast(3),
    "broadcast_tensors": _broadcast_tensors,
    "block_diag": _block_diag,
    "cartesian_prod": _cartesian_prod,
    "combinations": _combinations,
    "column_stack": _column_stack,
    "dstack": _dstack,
    "tril_indices": _triangle_indices(np.tril_indices),
    "triu_indices": _triangle_indices(np.triu_indices),
    "unravel_index": _unravel_index,
}
