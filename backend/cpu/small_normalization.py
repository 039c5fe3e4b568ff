"""Normalisation of few rows on NumPy: as few calls as it takes, each of which costs more than the work that it does."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .blocks import row_dots, row_sums
from .linear import column_sums

__all__ = ["normalise_few"]


def normalise_few(x: Any, weight: Any, bias: Any, row: int, eps: float, *, centred: bool) -> Any:
    """Layer norm, or RMS norm where not `centred`, of rows of `row` elements that weight and bias have, too."""
    rows, (n, n_eps) = x.reshape(-1, row), _numbers(row, eps, x.dtype)
    d = rows - row_sums(rows) / n if centred else rows
    rstd = np.sqrt(n / (row_dots(d, d) + n_eps))
    x_hat = d * rstd
    y = x_hat if weight is None else x_hat * weight.reshape(1, row)
    if bias is not None:
        y = y + bias.reshape(1, row)

    def vjp(g: Any, need: Any, into: Any) -> tuple:
        g, grads = g.reshape(x_hat.shape), [None, None, None]
        if need[0]:
            ĝ = g if weight is None else g * weight.reshape(row)
            grad_x = ĝ - x_hat * (row_dots(ĝ, x_hat) / row)
            if centred:
                grad_x -= row_sums(ĝ) / row
            grad_x *= rstd
            grads[0] = grad_x.reshape(x.shape)
        for i, parameter in ((1, weight), (2, bias)):
            if len(need) > i and need[i]:
                out = into[i] if parameter.ndim == 1 else None
                grads[i] = column_sums(g * x_hat if i == 1 else g, out).reshape(parameter.shape)
        return tuple(grads[: len(need)])

    return y.reshape(x.shape), vjp


@functools.lru_cache(maxsize=64)
def _numbers(row: int, eps: float, dtype: Any) -> tuple[Any, Any]:
    """row and row · eps as arrays, which NumPy need not convert in each call."""
    return np.array(row, dtype), np.array(row * eps, dtype)
