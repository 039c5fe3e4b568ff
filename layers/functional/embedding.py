"""Embedding and one-hot vectors, with PyTorch's names and signatures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.array.creation import arange
from ...backend.array.elementwise import equal
from ...backend.array.manipulation import astype, expand_dims
from ...backend.device import devices
from ...backend.device.dtypes import bool as boolean
from ...backend.device.dtypes import int64, is_integral
from ...backend.device.options import integer, number
from ...backend.nn import embedding as primitives
from ...backend.nn.loss import note_outside, read
from ...backend.tape.sharing import changed
from ...backend.tape.tensor import Tensor, innermost
from . import _check as check

__all__ = ["embedding", "one_hot"]


def _check_indices(name: str, x: Tensor) -> None:
    if not is_integral(check.tensor(name, x).data.dtype) or x.dtype == boolean:
        raise TypeError(f"`{name}` must have an integer dtype, got {x.dtype}; convert it: {name}.long()")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table at indices: y = W[i].

    Gradients are always dense. Indices are checked where that does not wait for anything: on a CPU and in the emulator. On
    a GPU a row of the result is NaN where there is no such row in the table.

    Parameters
    ----------
    input : Tensor
        i, integers (…) in 0 … V − 1.
    weight : Tensor
        W, (V, D).
    padding_idx : int, optional
        A row that receives no gradient; negative numbers count from the end.
    max_norm : float, optional
        Rows that are used are first shrunk, in place, to at most this norm.
    norm_type : float, default 2.0
        The p of the p-norm that `max_norm` limits; may be infinite.
    scale_grad_by_freq : bool, default False
        Whether a row's gradient is divided by the number of its uses in the call.
    sparse : bool, default False
        PyTorch's argument; it changes nothing.

    Returns
    -------
    Tensor
        y, (…, D).

    Raises
    ------
    TypeError
        If `input` does not hold integers, or `weight` is not a Tensor.
    ValueError
        If `weight` does not have two axes, or `padding_idx` is none of its rows.
    IndexError
        If an index is outside the table (not on a GPU).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.embedding(weft.tensor([1, 0]), weft.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    _check_indices("input", input)
    if check.tensor("weight", weight).ndim != 2:
        raise ValueError(f"`weight` must have shape (V, D), got {tuple(weight.shape)}")
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ValueError(
                f"`padding_idx` must be in [{-rows}, {rows}) for `weight` {tuple(weight.shape)}, got {padding_idx}"
            )
        padding_idx %= rows
    primitives.check_indices(innermost(input), rows)
    if max_norm is not None:
        number("max_norm", max_norm, 0)
        number("norm_type", norm_type, above=0, infinite=True)
        _limit_norms(weight, input, float(max_norm), float(norm_type))
    options = {"scale_grad_by_freq": True} if scale_grad_by_freq else {}
    return primitives.embedding(input, weight, padding_idx=padding_idx, **options)


def _limit_norms(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """weight[v] ← weight[v] · min(1, max_norm / ‖weight[v]‖) for the rows v that are used; off the tape."""
    table, indices = innermost(weight), innermost(input)
    xp = devices.namespace_of(table)
    size = xp.abs(table)
    norms = xp.max(size, axis=1) if norm_type == math.inf else xp.sum(size**norm_type, axis=1) ** (1 / norm_type)
    used = _is_used(xp, xp.reshape(indices, (-1,)), table.shape[0])
    factor = xp.where(used & (norms > max_norm), max_norm / (norms + 1e-7), xp.ones_like(norms))  # 1e-7 as in PyTorch
    table *= factor[:, None]
    changed(table)


def _is_used(xp: Any, indices: Any, rows: int) -> Any:
    """Which of the rows 0 … rows − 1 appear among the indices."""
    if xp is np:
        return np.bincount(indices, minlength=rows) > 0
    return xp.any(indices[:, None] == xp.arange(rows, dtype=indices.dtype, device=indices.device), axis=0)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Vectors with a 1 where the index is and 0 elsewhere: y[…, c] = (i[…] = c).

    Parameters
    ----------
    tensor : Tensor
        i, integers (…) in 0 … num_classes − 1.
    num_classes : int, default -1
        Length of the new axis; −1: as many as the largest index needs, for which the host waits.

    Returns
    -------
    Tensor
        y, (…, num_classes), int64.

    Raises
    ------
    TypeError
        If `tensor` does not hold integers.
    ValueError
        If `num_classes` is neither positive nor −1, or −1 for an empty tensor or for indices of 2²⁴ and more (no classes,
        as a rule: PyTorch makes such vectors).
    IndexError
        If an index is outside 0 … num_classes − 1 (not on a GPU: there the vector is 0).

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.one_hot(weft.tensor([0, 2]), 3).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    _check_indices("tensor", tensor)
    raw = innermost(tensor)
    if num_classes == -1:
        if not tensor.size:
            raise ValueError("`num_classes` must be given for an empty tensor, got -1")
        num_classes = int(devices.namespace_of(raw).max(raw)) + 1
        if num_classes > 1 << 24:
            raise ValueError(f"`num_classes` must be given for indices of 2**24 and more, got {num_classes - 1}")
    integer("num_classes", num_classes)
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be positive, or -1 to be found, got {num_classes}")
    seen = read(raw)
    if seen is None:
        note_outside("indices", raw, num_classes)
    elif seen.size and not 0 <= seen.min() <= seen.max() < num_classes:
        raise IndexError(f"`tensor` must hold indices in [0, {num_classes}), got {seen.min()} … {seen.max()}")
    dtype = tensor.dtype if num_classes - 1 <= np.iinfo(tensor.dtype).max else int64
    classes = arange(num_classes, dtype=dtype, device=tensor.device)
    return astype(equal(expand_dims(tensor, axis=-1), classes), int64)
