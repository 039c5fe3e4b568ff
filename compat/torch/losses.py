"""Losses whose dtype PyTorch takes from one of two arguments that differ in theirs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...backend.device.dtypes import is_real_floating
from ...backend.tape.tensor import Tensor
from ...layers import functional, loss

__all__ = ["LOSSES", "BCEWithLogitsLoss", "HuberLoss"]


def _in_dtype_of(of: int, ours: Callable) -> Callable:
    """A loss, in the dtype of its input (0) or its target (1)."""

    @functools.wraps(ours)
    def call(input: Tensor, target: Tensor, *args: Any, **options: Any) -> Tensor:
        found, dtype = ours(input, target, *args, **options), (input, target)[of].dtype
        return found.to(dtype) if found.dtype != dtype and is_real_floating(dtype) else found

    return call


class BCEWithLogitsLoss(loss.BCEWithLogitsLoss):
    """weft's, in the target's dtype."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _in_dtype_of(1, super().forward)(input, target)


class HuberLoss(loss.HuberLoss):
    """weft's, in the input's dtype."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return _in_dtype_of(0, super().forward)(input, target)


LOSSES: dict[str, Callable] = {
    "binary_cross_entropy_with_logits": _in_dtype_of(1, functional.binary_cross_entropy_with_logits),
    "huber_loss": _in_dtype_of(0, functional.huber_loss),
}
