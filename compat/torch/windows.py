"""Counts of integers."""

from __future__ import annotations

import numpy as np

from ...backend.tape.tensor import Tensor, wrap

__all__ = ["bincount"]


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each integer occurs, or the sum of its weights.

    Parameters
    ----------
    input : Tensor
        Integers ≥ 0 of one axis.
    weights : Tensor, optional
        What each counts, of the same shape.
    minlength : int, default 0
        The least length of the result.

    Returns
    -------
    Tensor
        int64; with weights float32 for float32, else float64.

    Raises
    ------
    RuntimeError
        If the integers or the weights' shape are not such.
    """
    raw = input.detach().cpu().numpy()
    if raw.ndim != 1 or raw.dtype.kind not in "iu" or (raw < 0).any():
        raise RuntimeError(
            f"`input` of bincount must be integers ≥ 0 of one axis, got {raw.dtype} of shape {raw.shape}"
            f"{' with negative ones' if raw.dtype.kind == 'i' and (raw < 0).any() else ''}; convert it first"
        )
    if weights is None:
        return wrap(np.bincount(raw, minlength=minlength).astype(np.int64), "cpu").to(input.device)
    if weights.shape != input.shape:
        raise RuntimeError(f"`weights` must have the shape {input.shape} of `input`, got {weights.shape}; reshape them")
    given = weights.detach().cpu().numpy()
    sums = np.bincount(raw, given, minlength).astype(np.float32 if given.dtype == np.float32 else np.float64)
    return wrap(sums, "cpu").to(input.device)
