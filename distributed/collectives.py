"""Collectives: what all processes do together, each with its own array or Tensor, in the same order."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from ..backend.device import devices, ranks
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Tensor, wrap
from .agreement import checked

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
    ranks.require_met()
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
    raw = checked("all_reduce", x, op=op, in_place=True)
    if ranks.group is not None:
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
    raw = checked("reduce_scatter", x, op=op, parts=True)
    host = np.array(devices.to_numpy(raw), copy=True, order="C")
    each = raw.shape[0] // size()
    if ranks.group is not None:
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
    raw = checked("all_gather", x)
    host = np.ascontiguousarray(devices.to_numpy(raw))
    if ranks.group is None:
        return _like(x, raw, host.copy())
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
    raw = checked("broadcast", x, source=source, in_place=True)
    if ranks.group is not None:
        broadcast_raw(raw, source)
        changed(raw)
    return x


def broadcast_raw(raw: Any, source: int = 0) -> None:
    """`broadcast` of a raw array, unchecked."""
    host = np.ascontiguousarray(devices.to_numpy(raw))
    ranks.group.broadcast(host, source)
    raw[...] = devices.namespace_of(raw).asarray(host)


def _like(x: Any, raw: Any, host: np.ndarray) -> Any:
    found = host if type(raw) is np.ndarray else devices.namespace_of(raw).asarray(host)
    return wrap(found, x.device) if isinstance(x, Tensor) else found
