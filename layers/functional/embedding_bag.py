"""Bags of embeddings: rows of a table, looked up and reduced, with PyTorch's name and signature."""

from __future__ import annotations

import math

import numpy as np

from ...backend.array import indexing
from ...backend.array.creation import arange, asarray, ones
from ...backend.array.elementwise import divide, logical_and, maximum, multiply, not_equal, subtract
from ...backend.array.manipulation import astype, expand_dims, squeeze
from ...backend.array.reductions import any as any_of
from ...backend.array.reductions import argmax, sum
from ...backend.device import devices
from ...backend.device.dtypes import bool as boolean
from ...backend.device.dtypes import int64
from ...backend.nn.loss import read
from ...backend.tape.tensor import Tensor, innermost
from . import _check as check
from .embedding import _check_indices, embedding

__all__ = ["embedding_bag"]


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sum, mean or maximum of the rows of a table at the indices of each bag: y_b = Σ_{i in bag b} a_i W[i].

    Parameters
    ----------
    input : Tensor
        i, integers in 0 … V − 1: (B, K), a bag in each row, or (L,), all bags one after the other.
    weight : Tensor
        W, (V, D).
    offsets : Tensor, optional
        With (L,): where each bag begins, integers (B,), the first 0. An empty bag gives zeros.
    max_norm : float, optional
        Rows that are used are first shrunk, in place, to at most this norm.
    norm_type : float, default 2
        The p of the p-norm that `max_norm` limits; may be infinite.
    scale_grad_by_freq : bool, default False
        Whether a row's gradient is divided by the number of its uses in the call. Not with "max".
    mode : {"sum", "mean", "max"}, default "mean"
        How rows are reduced. The gradient of equal largest ones goes to the first.
    sparse : bool, default False
        PyTorch's argument; it changes nothing: gradients are dense.
    per_sample_weights : Tensor, optional
        a, in the shape of `input`; 1 if None. With "sum" alone.
    include_last_offset : bool, default False
        Whether `offsets` has one more entry, the end of the last bag.
    padding_idx : int, optional
        An index that does not count, nor receives a gradient; negative numbers count from the end.

    Returns
    -------
    Tensor
        y, (B, D).

    Raises
    ------
    TypeError
        If indices or offsets are no integers, or `weight` is not a Tensor.
    ValueError
        If shapes or options do not fit, or `offsets` do not ascend from 0 to at most L (not on a GPU).
    IndexError
        If an index is outside the table (not on a GPU).

    Notes
    -----
    "max" with `offsets` asks the host how long the bags are: a GPU is waited for.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> table = weft.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> F.embedding_bag(weft.tensor([0, 1, 2]), table, weft.tensor([0, 2]), mode="sum")
    tensor([[4., 6.],
            [5., 6.]])
    """
    _check_indices("input", input)
    check.one_of("mode", mode, ("sum", "mean", "max"))
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError(
            f"`mode`='max' goes with neither `scale_grad_by_freq` nor `sparse`, got {scale_grad_by_freq} and {sparse}"
        )
    if per_sample_weights is not None:
        if mode != "sum":
            raise ValueError(f"`per_sample_weights` goes with mode='sum', got mode={mode!r}")
        check.shape("per_sample_weights", per_sample_weights, input.shape)
        check.same_dtype("per_sample_weights", per_sample_weights, "weight", check.tensor("weight", weight))
    if input.ndim == 2 and offsets is not None:
        raise ValueError(f"`offsets` goes with `input` (L,), got `input` {tuple(input.shape)}")
    if input.ndim == 1:
        _check_offsets(offsets, input.shape[0], include_last_offset)
    elif input.ndim != 2:
        raise ValueError(f"`input` must have shape (B, K), or (L,) with `offsets`, got {tuple(input.shape)}")
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = multiply(rows, expand_dims(per_sample_weights, axis=-1))
    if padding_idx is None:
        counted = ones(input.shape, dtype=boolean, device=input.device)
    else:
        counted = not_equal(input, padding_idx % weight.shape[0])
        rows = indexing.where(expand_dims(counted, axis=-1), rows, 0.0)
    if offsets is not None and (mode != "max" or not input.size):
        return _reduced_by_offsets(rows, counted, offsets, mode, include_last_offset)
    if offsets is not None:
        rows, counted = _padded(rows, counted, offsets, include_last_offset)
    return _reduced(rows, counted, mode)


def _check_offsets(offsets: Tensor | None, length: int, include_last: bool) -> None:
    if offsets is None:
        raise ValueError(f"`offsets` must say where the bags of `input` ({length},) begin, got None")
    _check_indices("offsets", offsets)
    if offsets.ndim != 1 or offsets.shape[0] < include_last:
        raise ValueError(f"`offsets` must have shape (B,), or (B + 1,) with the last one, got {tuple(offsets.shape)}")
    seen = read(innermost(offsets))
    if seen is not None and seen.size and (seen[0] != 0 or (np.diff(seen) < 0).any() or seen[-1] > length):
        raise ValueError(f"`offsets` must ascend from 0 to at most {length}, the length of `input`, got {seen!r:.80}")


def _reduced(rows: Tensor, counted: Tensor, mode: str) -> Tensor:
    """Of bags of one length: rows (B, K, D), where counted (B, K)."""
    if mode == "max" and rows.shape[1]:
        there = expand_dims(counted, axis=-1)
        masked = indexing.where(there, rows, -math.inf)
        first = argmax(masked.detach(), axis=1, keepdims=True)
        largest = squeeze(indexing.take_along_axis(masked, first, axis=1), axis=1)
        return indexing.where(any_of(there, axis=1), largest, 0.0)
    y = sum(rows, axis=1)
    return y if mode == "sum" else divide(y, _at_least_1(sum(astype(counted, rows.dtype), axis=1)))


def _reduced_by_offsets(rows: Tensor, counted: Tensor, offsets: Tensor, mode: str, include_last: bool) -> Tensor:
    """Of bags one after the other: rows (L, D), where counted (L,). What lies behind the last offset is a bag of its own."""
    places = arange(rows.shape[0], dtype=offsets.dtype, device=offsets.device)
    bags = subtract(astype(indexing.searchsorted(offsets, places, side="right"), int64), 1)
    n = offsets.shape[0]
    y = indexing._scatter_add(rows, bags, size=n, axis=0)
    if mode == "mean":
        y = divide(y, _at_least_1(indexing._scatter_add(astype(counted, rows.dtype), bags, size=n, axis=0)))
    return y[: n - 1, :] if include_last else y


def _at_least_1(counts: Tensor) -> Tensor:
    return expand_dims(maximum(counts, 1), axis=-1)


def _padded(rows: Tensor, counted: Tensor, offsets: Tensor, include_last: bool) -> tuple[Tensor, Tensor]:
    """Bags as long as the longest: rows (B, K, D), and which of them count."""
    starts = devices.to_numpy(innermost(offsets)).astype(np.int64)
    ends = starts[1:] if include_last else np.append(starts[1:], rows.shape[0])
    starts = starts[: len(ends)]
    places = starts[:, None] + np.arange((ends - starts).max(initial=1))
    inside = places < ends[:, None]
    index = asarray(np.where(inside, places, 0).reshape(-1), device=rows.device)
    there = asarray(inside, device=rows.device)
    bags = indexing.take(rows, index, axis=0).reshape(*places.shape, rows.shape[1])
    return bags, logical_and(there, indexing.take(counted, index, axis=0).reshape(*places.shape))
