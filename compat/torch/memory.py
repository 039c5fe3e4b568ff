"""Methods of PyTorch's about where a tensor's numbers lie, and in which form: what is sparse there is dense here."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor, wrap
from .making import tensor
from .shaping import _given, _like

__all__ = ["FUNCTIONS", "METHODS", "become", "sparse_coo_tensor"]


def become(x: Tensor, other: Tensor) -> Tensor:
    """x, with the memory, the shape and the history of another.

    Parameters
    ----------
    x, other : Tensor
        Which; of one dtype.

    Returns
    -------
    Tensor
        The first.
    """
    x.data, x.device, x._node, x.requires_grad = other.data, other.device, other._node, other.requires_grad
    x._kin, x._depth = None, other._depth
    return x


def _itself(x: Tensor, *_args: Any, **_options: Any) -> Tensor:
    return x


def _resize_(x: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    shape = _given(size)
    raw = np.zeros(int(np.prod(shape)), x.dtype)
    old = x.detach().cpu().numpy().ravel()[: raw.size]
    raw[: old.size] = old
    return become(x, wrap(raw.reshape(shape), "cpu").to(x.device))


def _new(x: Tensor, *given: Any) -> Tensor:
    if given and not all(isinstance(n, int) for n in given) and not isinstance(given[0], tuple):
        return x.new_tensor(given[0])
    return x.new_zeros(*given) if given else x.new_zeros(0)


def _get_device(x: Tensor) -> int:
    return int(x.device.partition(":")[2] or 0) if x.device != "cpu" else -1


def _storage_offset(x: Tensor) -> int:
    raw = x.data
    base = raw
    while isinstance(getattr(base, "base", None), np.ndarray):
        base = base.base
    if base is raw or not isinstance(raw, np.ndarray):
        return 0
    return (raw.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // raw.itemsize


def _set_(x: Tensor, source: Tensor | None = None) -> Tensor:
    return become(x, x.new_zeros(0) if source is None else source)


def _map_(x: Tensor, other: Tensor, f: Callable) -> Tensor:
    pairs = zip(x.detach().reshape(-1).tolist(), other.expand(*x.shape).reshape(-1).tolist())
    return x.copy_(_like(x, np.array([f(a, b) for a, b in pairs], x.dtype).reshape(x.shape)))


def _apply_(x: Tensor, f: Callable) -> Tensor:
    return x.copy_(_like(x, np.array([f(a) for a in x.detach().reshape(-1).tolist()], x.dtype).reshape(x.shape)))


def _geometric_(x: Tensor, p: float, *, generator: Any = None) -> Tensor:
    return x.copy_((x * 0 + 1).uniform_(generator=generator).log().div(np.log1p(-p)).ceil().clamp(min=1))


def _cauchy_(x: Tensor, median: float = 0, sigma: float = 1, *, generator: Any = None) -> Tensor:
    return x.copy_(median + sigma * (np.pi * (x.clone().uniform_(generator=generator) - 0.5)).tan())


def _log_normal_(x: Tensor, mean: float = 1, std: float = 2, *, generator: Any = None) -> Tensor:
    return x.copy_(x.clone().normal_(mean, std, generator=generator).exp())


# --- sparse -----------------------------------------------------------------------------------------------------------
def sparse_coo_tensor(indices: Any, values: Any = None, size: Sequence[int] | None = None, **options: Any) -> Tensor:
    """A dense tensor of what a sparse one says: values at places, zero elsewhere; gradients flow to the values.

    Parameters
    ----------
    indices : Tensor (axes, n)
        The places; values at one place add up.
    values : Tensor (n, ...)
        What lies there.
    size : sequence of int, optional
        The shape; as large as the places need if None.
    **options : object
        `dtype`, `device` and `requires_grad`.

    Returns
    -------
    Tensor
        Dense.
    """
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
    _given_as[id(dense)] = _like(found, places), found
    weakref.finalize(dense, _given_as.pop, id(dense), None)
    return dense


_given_as: dict[
    int, tuple[Tensor, Tensor]
] = {}  # places and values, in their order and zeros included, of what was sparse


def _indices(x: Tensor) -> Tensor:
    if id(x) in _given_as:
        return _given_as[id(x)][0]
    return _like(x, np.stack(np.nonzero(x.detach().cpu().numpy())).astype(np.int64))


def _values(x: Tensor) -> Tensor:
    if id(x) in _given_as:
        return _given_as[id(x)][1]
    return x[tuple(_indices(x).unbind(0))]


METHODS: dict[str, Callable] = {
    **dict.fromkeys(
        (
            "pin_memory", "to_dense", "to_sparse", "to_sparse_coo", "to_sparse_csr", "coalesce", "sparse_mask", "as_subclass",
            "refine_names", "rename",
        ),
        _itself,
    ),
    "resize_": _resize_,
    "resize_as_": lambda x, other: _resize_(x, *other.shape),
    "resize": lambda x, *size: _resize_(x.clone(), *size),
    "set_": _set_,
    "new": _new,
    "get_device": _get_device,
    "storage_offset": _storage_offset,
    "map_": _map_,
    "apply_": _apply_,
    "geometric_": _geometric_,
    "cauchy_": _cauchy_,
    "log_normal_": _log_normal_,
    "indices": _indices,
    "_indices": _indices,
    "values": _values,
    "_values": _values,
    "_nnz": lambda x: len(_values(x)),
    "is_coalesced": lambda x: True,
    "is_pinned": lambda x: False,
    "is_shared": lambda x: False,
    "is_conj": lambda x: False,
    "is_neg": lambda x: False,
    "is_inference": lambda x: False,
    "is_signed": lambda x: x.dtype.kind not in "ub",
    "bernoulli": lambda x, p=None, *, generator=None: x.clone().bernoulli_(x if p is None else p, generator=generator),
    "cfloat": lambda x: x.to("complex64"),
    "cdouble": lambda x: x.to("complex128"),
}  # fmt: skip
FUNCTIONS: dict[str, Callable] = {"sparse_coo_tensor": sparse_coo_tensor, "is_storage": lambda x: False}
