"""Padding, with PyTorch's name and signature."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ...backend.array import indexing, manipulation
from ...backend.array.creation import full
from ...backend.device.options import integer
from ...backend.tape.tensor import Tensor
from . import _check as check

__all__ = ["pad"]

# PyTorch's word: NumPy's
MODES: dict[str, Literal["constant", "reflect", "edge", "wrap"]] = {
    "constant": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Elements added on the sides of a tensor.

    Parameters
    ----------
    input : Tensor
        Of any shape and dtype.
    pad : sequence of int
        (left, right, top, bottom, …): two for each axis, from the last one backwards. Negative numbers take
        elements away.
    mode : {"constant", "reflect", "replicate", "circular"}, default "constant"
        What is added: `value`, the mirror image without the edge element, the edge element, or what is at the other
        end. The last three pad any axes, in PyTorch only those behind batch and channels.
    value : float, optional
        For mode "constant" alone, where it is 0 unless given.

    Returns
    -------
    Tensor
        Of the same dtype.

    Raises
    ------
    TypeError
        If `input` is not a Tensor.
    ValueError
        If `pad` or `mode` do not fit the shape, or `value` comes with another mode.

    Examples
    --------
    >>> from weft.layers import functional as F
    >>> F.pad(weft.tensor([1.0, 2.0, 3.0]), (2, 1), mode="reflect").tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    check.tensor("input", input)
    check.one_of("mode", mode, tuple(MODES))
    for length in pad if isinstance(pad, list | tuple) else (pad,):
        integer("pad", length)
    pad = tuple(map(operator.index, pad))
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ValueError(f"`pad` must hold two ints for each of at most {input.ndim} axes, got {len(pad)} of them")
    sides = [(0, 0)] * (input.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if any(n + before + after < 0 for n, (before, after) in zip(input.shape, sides)):
        raise ValueError(f"`pad` must leave no axis shorter than 0, got {pad} for shape {tuple(input.shape)}")
    if mode == "constant":
        return _constant(input, sides, 0 if value is None else value)
    if value is not None:
        raise ValueError(f"`value` goes with mode='constant', got value={value} with mode={mode!r}")
    for axis, (before, after) in enumerate(sides):
        if before or after:
            input = _repeated(input, axis, before, after, mode)
    return input


def _constant(input: Tensor, sides: list[tuple[int, int]], value: float) -> Tensor:
    kept = tuple(slice(max(0, -before), n - max(0, -after)) for n, (before, after) in zip(input.shape, sides))
    if any(before < 0 or after < 0 for before, after in sides):
        input = indexing._getitem(input, key=kept)
    sides = [(max(0, before), max(0, after)) for before, after in sides]
    if not any(map(any, sides)):
        return input
    shape = tuple(before + n + after for n, (before, after) in zip(input.shape, sides))
    inside = tuple(slice(before, before + n) for n, (before, _) in zip(input.shape, sides))
    return indexing._setitem(full(shape, value, dtype=input.dtype, device=input.device), input, key=inside)


def _repeated(input: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """NumPy's own padding of 0 … n − 1 says which elements to take."""
    n = input.shape[axis]
    whole = np.arange(n)
    if mode == "circular":  # what is taken away is not what is at the other end
        whole = whole[max(0, -before) : n - max(0, -after)]
    most = {"reflect": n - 1, "circular": len(whole), "replicate": None}[mode]
    if not len(whole) or (most is not None and max(before, after) > most):
        limit = "of something" if most is None else f"at most {most}"
        raise ValueError(f"`pad` must be {limit} for mode={mode!r} along an axis of {n}, got ({before}, {after})")
    order = np.pad(whole, (max(0, before), max(0, after)), mode=MODES[mode])
    if mode != "circular":
        order = order[max(0, -before) : len(order) - max(0, -after)]
    parts = [_along(input, axis, *run) for run in _runs(order.tolist())]
    return parts[0] if len(parts) == 1 else manipulation.concat(parts, axis=axis)


def _runs(order: list[int]) -> Iterator[tuple[int, int, int]]:
    """(first, step, length) of runs that go up or down by one or stay: a list of places would be copied from the host."""
    start = 0
    while start < len(order):
        stop, step = start + 1, 1
        if stop < len(order) and abs(order[stop] - order[start]) <= 1:
            step = order[stop] - order[start]
            while stop < len(order) and order[stop] - order[stop - 1] == step:
                stop += 1
        yield order[start], step, stop - start
        start = stop
    if not order:
        yield 0, 1, 0


def _along(input: Tensor, axis: int, first: int, step: int, length: int) -> Tensor:
    if not step:
        part = _along(input, axis, first, 1, 1)
        return manipulation.broadcast_to(part, (*input.shape[:axis], length, *input.shape[axis + 1 :]))
    stop = first + step * length
    key = (*(slice(None),) * axis, slice(first, stop if stop >= 0 else None, step), ...)
    return indexing._getitem(input, key=key)
