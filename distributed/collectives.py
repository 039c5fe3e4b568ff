"""Collectives: what all processes do together, each with its own array or Tensor, in the same order."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from ..backend.device import devices, dtypes, ranks
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor, wrap
from .sums import OPERATIONS

__all__ = ["all_gather", "all_reduce", "barrier", "broadcast", "rank", "reduce_scatter", "size"]

X = TypeVar("X")


def rank() -> int:
    """Which process this is.

    Returns
    -------
    int
        In [0, `size()`); 0 where `init` was not called.

    Examples
    --------
    >>> weft.distributed.rank()
    0
    """
    return 0 if ranks.group is None else ranks.group.rank


def size() -> int:
    """How many processes compute together.

    Returns
    -------
    int
        1 where `init` was not called.

    Examples
    --------
    >>> weft.distributed.size()
    1
    """
    return 1 if ranks.group is None else ranks.group.size


def barrier() -> None:
    """Wait until all processes are here.

    Examples
    --------
    >>> weft.distributed.barrier()
    """
    if ranks.group is not None:
        ranks.group.barrier()


def all_reduce(x: X, op: str = "sum") -> X:
    """The sum over all processes, in place: x ← x₀ + x₁ + … in the order of ranks, the same bits in all of them.

    Parameters
    ----------
    x : array or Tensor
        Of the same shape and dtype in all processes; of NumPy, CuPy or the emulator, and one that can be written to.
    op : {"sum", "mean", "max", "min", "prod"}, default "sum"
        What is done.

    Returns
    -------
    array or Tensor
        x itself. (PyTorch's returns nothing.)

    Raises
    ------
    ValueError
        In all processes, if `op` is none of these, or shapes, dtypes or operations differ between processes.
    TypeError
        If x is no array; or for a mean of integers.

    Notes
    -----
    float16 and bfloat16 are added up in float32 and rounded once. The order does not depend on timing.

    Examples
    --------
    >>> weft.distributed.all_reduce(weft.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if op not in OPERATIONS:
        raise ValueError(f"`op` must be one of {', '.join(OPERATIONS)}, got {op!r}")
    raw = _raw("all_reduce", x)
    if op == "mean" and not dtypes.is_real_floating(raw.dtype):
        raise TypeError(f"`op='mean'` needs a floating-point dtype, got {raw.dtype}; sum, and divide")
    if ranks.group is not None:
        _agree("all_reduce", op, raw)
        reduce_raw(raw, op)
        changed(raw)
    return x


def reduce_raw(raw: Any, op: str = "sum") -> Any:
    """`all_reduce` of a raw array, unchecked."""
    if type(raw) is np.ndarray and raw.flags.c_contiguous:
        return ranks.group.reduce(raw, op)
    host = np.ascontiguousarray(devices.to_numpy(raw))
    raw[...] = devices.namespace_of(raw).asarray(ranks.group.reduce(host, op))
    return raw


def reduce_scatter(x: Any, op: str = "sum") -> Any:
    """This process's part of the sum over all: rows r · n/N … of x₀ + x₁ + …, for N processes and n rows.

    Parameters
    ----------
    x : array or Tensor of shape (n, …)
        n is a multiple of the number of processes.
    op : {"sum", "mean", "max", "min", "prod"}, default "sum"
        What is done.

    Returns
    -------
    array or Tensor of shape (n/N, …)
        A new one. (PyTorch's `reduce_scatter_tensor` writes to its first argument.)

    Raises
    ------
    ValueError
        If n is no multiple of N, or processes differ.

    Examples
    --------
    >>> weft.distributed.reduce_scatter(weft.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    raw = _raw("reduce_scatter", x)
    n = size()
    if not raw.ndim or raw.shape[0] % n:
        raise ValueError(
            f"`x` must have a multiple of {n} rows, one part for each process, got shape {tuple(raw.shape)}"
        )
    if op not in OPERATIONS:
        raise ValueError(f"`op` must be one of {', '.join(OPERATIONS)}, got {op!r}")
    host = np.array(devices.to_numpy(raw), copy=True, order="C")
    each = raw.shape[0] // n
    if ranks.group is not None:
        _agree("reduce_scatter", op, raw)
        ranks.group.start(host.reshape(-1), op, scatter=True).wait()
    return _like(x, raw, host[rank() * each : (rank() + 1) * each].copy())


def all_gather(x: Any) -> Any:
    """What all processes have, one after the other: (x₀, x₁, …) along the first axis.

    Parameters
    ----------
    x : array or Tensor of shape (n, …)
        Of the same shape and dtype in all processes.

    Returns
    -------
    array or Tensor of shape (N n, …)
        A new one. (PyTorch's `all_gather_into_tensor` writes to its first argument.)

    Raises
    ------
    ValueError
        If x has no axes, or processes differ.

    Examples
    --------
    >>> weft.distributed.all_gather(weft.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    raw = _raw("all_gather", x)
    if not raw.ndim:
        raise ValueError("`x` must have an axis to gather along, got a number; x.reshape(1)")
    host = np.ascontiguousarray(devices.to_numpy(raw))
    if ranks.group is None:
        return _like(x, raw, host.copy())
    _agree("all_gather", "", raw)
    return _like(x, raw, ranks.group.gather(host).reshape(-1, *host.shape[1:]))


def broadcast(x: X, source: int = 0) -> X:
    """What one process has, in place, in all of them.

    Parameters
    ----------
    x : array or Tensor
        Of the same shape and dtype in all processes.
    source : int, default 0
        Which process's.

    Returns
    -------
    array or Tensor
        x itself.

    Raises
    ------
    ValueError
        If there is no such process, or processes differ.

    Examples
    --------
    >>> weft.distributed.broadcast(weft.tensor([1.0]))
    tensor([1.])
    """
    if not isinstance(source, int) or not 0 <= source < size():
        raise ValueError(f"`source` must be a rank in [0, {size()}), got {source!r}")
    raw = _raw("broadcast", x)
    if ranks.group is not None:
        _agree("broadcast", str(source), raw)
        broadcast_raw(raw, source)
        changed(raw)
    return x


def broadcast_raw(raw: Any, source: int = 0) -> None:
    """`broadcast` of a raw array, unchecked."""
    host = np.ascontiguousarray(devices.to_numpy(raw))
    ranks.group.broadcast(host, source)
    raw[...] = devices.namespace_of(raw).asarray(host)


def _raw(name: str, x: Any) -> Any:
    raw = x.data if isinstance(x, Tensor) else x
    if not devices.is_array(raw) or isinstance(raw, np.generic):
        raise TypeError(f"`{name}` takes an array or a Tensor, got {x!r:.60}")
    return raw


def _like(x: Any, raw: Any, host: np.ndarray) -> Any:
    found = host if type(raw) is np.ndarray else devices.namespace_of(raw).asarray(host)
    return wrap(found, x.device) if isinstance(x, Tensor) else found


def _agree(name: str, op: str, raw: Any) -> None:
    """Raise ValueError, in all processes, unless all have called the same with arrays of one kind."""
    mine = f"{name}({op + ', ' if op else ''}{tuple(raw.shape)} {raw.dtype})"
    found = ranks.group.objects(mine)
    for other, call in enumerate(found):
        if call != found[0]:
            raise ValueError(
                f"`{name}` must be called alike in all processes, got {found[0]} in process 0 and {call} in process {other}"
            )
