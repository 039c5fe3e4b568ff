"""Methods and functions that weft has, with arguments that PyTorch's take besides, or takes in another order."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend.array import einsum, elementwise, indexing, products
from ...backend.tape.tensor import Tensor
from ...layers import functional
from .promotion import demoted

__all__ = ["FUNCTIONS", "METHODS"]


def _as(self: Tensor, value: Any) -> Any:
    """A value to be written, in this tensor's dtype."""
    if isinstance(value, Tensor):
        return value.to(self.dtype)
    return bool(value) if self.dtype == np.bool_ else int(value) if self.dtype.kind in "iu" else value


def _take(self: Tensor, index: Tensor, **options: Any) -> Tensor:
    if options:
        return indexing.take(self, index, **options)
    return indexing.take(self.reshape(-1), index.reshape(-1)).reshape(index.shape)


def _is_contiguous(self: Tensor, memory_format: Any = "torch.contiguous_format") -> bool:
    return _plain_is_contiguous(self.movedim(1, -1) if "channels_last" in memory_format else self)


def _contiguous(self: Tensor, memory_format: Any = "torch.contiguous_format") -> Tensor:
    if "channels_last" not in memory_format:
        return _plain_contiguous(self)
    return _plain_contiguous(self.movedim(1, -1)).movedim(-1, 1)


def _embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """The other way round than `torch.nn.functional.embedding`."""
    padding = None if padding_idx < 0 else padding_idx
    return functional.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq)


def _einsum(equation: Any, *operands: Any) -> Tensor:
    """With an equation, or with a list of numbers after each operand, the result's at the end."""
    if isinstance(equation, str):
        return einsum.einsum(equation, *operands)
    given = (equation, *operands)
    inputs, lists = given[0 : len(given) // 2 * 2 : 2], given[1::2]
    terms = ["".join("..." if i is Ellipsis else LETTERS[i] for i in numbers) for numbers in lists]
    result = given[-1] if len(given) % 2 else None
    arrow = "" if result is None else "->" + "".join("..." if i is Ellipsis else LETTERS[i] for i in result)
    return einsum.einsum(",".join(terms) + arrow, *inputs)


LETTERS = string.ascii_uppercase + string.ascii_lowercase
_plain_contiguous, _plain_is_contiguous = Tensor.contiguous, Tensor.is_contiguous  # type: ignore[attr-defined]
_plain_masked_fill, _plain_masked_fill_ = Tensor.masked_fill, Tensor.masked_fill_
_plain_dot, _plain_addcmul, _plain_addcdiv = Tensor.dot, Tensor.addcmul, Tensor.addcdiv  # type: ignore[attr-defined]

METHODS: dict[str, Callable] = {
    "take": _take,
    "matmul": lambda self, other: products.matmul(self, other),
    "dot": lambda self, tensor: _plain_dot(self, tensor),
    "is_contiguous": _is_contiguous,
    "contiguous": _contiguous,
    "where": lambda self, condition, other: indexing.where(condition, *demoted(self, other)),
    "masked_fill": lambda self, mask, value: _plain_masked_fill(self, mask, _as(self, value)),
    "masked_fill_": lambda self, mask, value: _plain_masked_fill_(self, mask, _as(self, value)),
    "addcmul": lambda self, *tensors, value=1: _plain_addcmul(*demoted(self, *tensors), value=value),
    "addcdiv": lambda self, *tensors, value=1: _plain_addcdiv(*demoted(self, *tensors), value=value),
    "square": lambda self: elementwise.square(self.to("int64") if self.dtype == np.bool_ else self),
}
FUNCTIONS: dict[str, Callable] = {"embedding": _embedding, "einsum": _einsum}
