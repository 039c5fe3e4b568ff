"""Methods of PyTorch's about where a tensor's numbers lie, and in which form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.tape.tensor import Tensor, wrap
from .shaping import _given, _like

__all__ = ["FUNCTIONS", "METHODS", "become", "sharing"]


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


def sharing(x: Tensor, tells: bool = True) -> Tensor:
    """PyTorch's `x.detach()`: the memory of x, computed or not, off the tape. What is written to it, x has, too.

    Parameters
    ----------
    x : Tensor
        Which.
    tells : bool, default True
        Whether `backward` raises if it needs what was written over; False is PyTorch's `x.data`.

    Returns
    -------
    Tensor
        One that does not require grad.
    """
    if x._depth:  # a function that is differentiated: its values stay as they are
        return _plain_detach(x)
    out = wrap(x.data, x.device)
    out._is_also(x, tells)
    return out


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


class Storage:
    """The memory under a Tensor and its views, in PyTorch's words."""

    def __init__(self, x: Tensor):
        base = x.detach().data
        while isinstance(getattr(base, "base", None), type(base)):
            base = base.base
        self.raw = base

    def data_ptr(self) -> int:
        """Where it begins."""
        return self.raw.ctypes.data if isinstance(self.raw, np.ndarray) else self.raw.data.ptr

    def nbytes(self) -> int:
        """How many bytes it has."""
        return self.raw.nbytes

    def size(self) -> int:
        """How many values it has."""
        return self.raw.size

    __len__ = size

    def element_size(self) -> int:
        """How many bytes a value has."""
        return self.raw.itemsize

    def tolist(self) -> list:
        """Its values."""
        return self.raw.reshape(-1).tolist()


def _random_(x: Tensor, *limits: int, to: int | None = None, generator: Any = None) -> Tensor:
    """PyTorch's `to`, which is the end; a single limit is it."""
    return _plain_random_(x, *limits, *(() if to is None else (to,)), generator=generator)


def _to(x: Tensor, *given: Any, memory_format: Any = None, **options: Any) -> Tensor:
    """PyTorch's `memory_format` changes nothing: memory is channel-last where convolutions want it so."""
    return _plain_to(x, *given, **options)


def _cuda(x: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    index = device if device is None or isinstance(device, int) else int(str(device).partition(":")[2] or 0)
    return _plain_cuda(x, index)


_plain_random_, _plain_to, _plain_cuda, _plain_detach = Tensor.random_, Tensor.to, Tensor.cuda, Tensor.detach


def _set_(x: Tensor, source: Tensor | None = None) -> Tensor:
    return become(x, x.new_zeros(0) if source is None else source)


def _map_(x: Tensor, other: Tensor, f: Callable) -> Tensor:
    pairs = zip(x.detach().reshape(-1).tolist(), other.expand(*x.shape).reshape(-1).tolist())
    return x.copy_(_like(x, np.array([f(a, b) for a, b in pairs], x.dtype).reshape(x.shape)))


def _apply_(x: Tensor, f: Callable) -> Tensor:
    return x.copy_(_like(x, np.array([f(a) for a in x.detach().reshape(-1).tolist()], x.dtype).reshape(x.shape)))


METHODS: dict[str, Callable] = {
    "detach": sharing,
    **dict.fromkeys(
        (
            "pin_memory", "as_subclass",
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
    "storage": lambda x: Storage(x),
    "untyped_storage": lambda x: Storage(x),
    "random_": _random_,
    "to": _to,
    "cuda": _cuda,
    "is_pinned": lambda x: False,
    "is_shared": lambda x: False,
    "is_conj": lambda x: False,
    "is_neg": lambda x: False,
    "is_inference": lambda x: False,
    "is_signed": lambda x: x.dtype.kind not in "ub",
    "cfloat": lambda x: x.to("complex64"),
    "cdouble": lambda x: x.to("complex128"),
}  # fmt: skip
FUNCTIONS: dict[str, Callable] = {
    "is_storage": lambda x: isinstance(x, Storage),
    "fill": lambda input, value: input.clone().fill_(value),
}
