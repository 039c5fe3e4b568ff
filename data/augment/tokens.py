"""Rows of tokens, and strings in the place of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.random import Generator
from . import checks
from .batch import Batch
from .transform import Augmentation

__all__: list[str] = []

ABSENT = -1  # fills rows of words that are shorter than others


class OfTokens(Augmentation):
    """Changes rows of tokens (N, T), filled up with `padding_idx`, or a list of strings, whose words are the tokens."""

    def __init__(self, p: float, padding_idx: int):
        self.p, self.padding_idx = checks.number("p", p, 0, 1), checks.whole("padding_idx", padding_idx, -(2**62))

    def __call__(self, inputs: Any, *given: Any, generator: Generator | None = None, **named: Any) -> Any:
        """Augment arrays or Tensors of tokens, or a list of strings, by numbers of `generator` (weft's default if None)."""
        if not isinstance(inputs, list | tuple) or not inputs or not all(isinstance(text, str) for text in inputs):
            return super().__call__(inputs, *given, generator=generator, **named)
        rows = [text.split() for text in inputs]
        words = sorted({word for row in rows for word in row} | self._words())
        ids = {word: i for i, word in enumerate(words)}
        tokens = np.full((len(rows), self._width(max(map(len, rows)))), ABSENT)
        for row, to in zip(rows, tokens):
            to[: len(row)] = [ids[word] for word in row]
        changed = self._in_ids(ids)(tokens, *given, generator=generator, **named)
        tokens, *others = changed if isinstance(changed, tuple) else (changed,)
        texts = [" ".join(words[i] for i in row if i != ABSENT) for row in tokens]
        return (texts, *others) if others else texts

    def _words(self) -> set[str]:
        """Words that may come in."""
        return set()

    def _width(self, longest: int) -> int:
        """How long a text may become."""
        return longest

    def _in_ids(self, ids: dict[str, int]) -> Augmentation:
        """The same change of numbers in the place of words."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), padding_idx=ABSENT)
        return other

    def _apply(self, batch: Batch) -> None:
        x = batch.inputs
        if x.ndim != 2 or x.dtype.kind not in "iu":
            raise ValueError(f"`inputs` must be integers (N, T), or a list of strings, got {x.dtype} {tuple(x.shape)}")
        if x.shape[1]:
            batch.inputs = self._changed(batch, x, x != self.padding_idx)

    def _changed(self, batch: Batch, x: Any, is_there: Any) -> Any:
        raise NotImplementedError


def along(batch: Batch, x: Any, index: Any) -> Any:
    """x[n, index[n, t]]."""
    rows = batch.put(np.arange(x.shape[0])[:, None] * x.shape[1])
    return batch.xp.reshape(
        batch.xp.take(batch.xp.reshape(x, (-1,)), batch.xp.reshape(index + rows, (-1,)), axis=0), index.shape
    )


def closed_up(batch: Batch, x: Any, is_kept: Any, padding: int) -> Any:
    """The tokens that are kept, in their order, then padding."""
    xp = batch.xp
    order = xp.argsort(xp.astype(~is_kept, xp.int64), axis=1, stable=True)
    length = xp.sum(xp.astype(is_kept, xp.int64), axis=1, keepdims=True)
    is_filled = batch.put(np.arange(x.shape[1])[None]) < length
    return xp.where(is_filled, along(batch, x, order), xp.full_like(x, padding))
