"""Words swapped, inserted, deleted and replaced: of rows of tokens, or of strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .batch import Batch
from .tokens import OfTokens, along, closed_up
from .transform import Augmentation

__all__ = ["RandomDeletion", "RandomInsertion", "RandomSwap", "SynonymReplacement"]


class RandomSwap(OfTokens):
    """Swap two random tokens of a row, once for a share p of its tokens.

    Parameters
    ----------
    p : float, default 0.1
        In [0, 1].
    padding_idx : int, default 0
        What fills rows of tokens up, at their ends.

    Raises
    ------
    ValueError
        If `p` is not in [0, 1]; when called, if the inputs are neither integers (N, T) nor strings.

    References
    ----------
    .. [1] Wei, Zou, "EDA: easy data augmentation techniques for boosting performance on text classification tasks",
       EMNLP (2019).

    Examples
    --------
    >>> swapped = weft.data.augment.RandomSwap(1.0)(np.array([[1, 2, 3, 4, 0]]))
    >>> sorted(swapped[0].tolist()), swapped[0, 4]
    ([0, 1, 2, 3, 4], np.int64(0))
    """

    def __init__(self, p: float = 0.1, padding_idx: int = 0):
        super().__init__(p, padding_idx)

    def _changed(self, batch: Batch, x: Any, is_there: Any) -> Any:
        xp, width = batch.xp, x.shape[1]
        length = xp.sum(xp.astype(is_there, xp.int64), axis=1, keepdims=True)
        place = batch.put(np.arange(width)[None])
        wanted = (
            batch.put(batch.uniform(0, 1, 1)) + xp.astype(length, xp.float64) * self.p
        )  # on average as many as that
        for k in range(int(np.floor(1 + width * self.p))):
            one, other = (
                xp.astype(xp.floor(batch.put(batch.uniform(0, 1, 1)) * xp.astype(length, xp.float64)), xp.int64)
                for _ in range(2)
            )
            at_one, at_other = (place == i for i in (one, other))
            is_due = wanted >= k + 1
            first, second = (
                xp.sum(xp.where(at, x, xp.zeros_like(x)), axis=1, keepdims=True, dtype=x.dtype)
                for at in (at_one, at_other)
            )
            x = xp.where(at_one & is_due, second, xp.where(at_other & is_due, first, x))
        return x


class RandomDeletion(OfTokens):
    """Delete each token with probability p; of a row at least one stays.

    Parameters
    ----------
    p : float, default 0.1
        In [0, 1].
    padding_idx : int, default 0
        What fills rows of tokens up, at their ends, and what is left free.

    Raises
    ------
    ValueError
        As `RandomSwap`.

    References
    ----------
    .. [1] Wei, Zou, "EDA: easy data augmentation techniques for boosting performance on text classification tasks",
       EMNLP (2019).

    Examples
    --------
    >>> weft.data.augment.RandomDeletion(0.0)(["a picture of a loom"])
    ['a picture of a loom']
    """

    def __init__(self, p: float = 0.1, padding_idx: int = 0):
        super().__init__(p, padding_idx)

    def _changed(self, batch: Batch, x: Any, is_there: Any) -> Any:
        xp, lots = batch.xp, batch.put(batch.uniform(0, 1, x.shape[1]))
        lots = xp.where(is_there, lots, -1.0 * xp.ones_like(lots))
        is_kept = is_there & ((lots >= self.p) | (lots == xp.max(lots, axis=1, keepdims=True)))
        return closed_up(batch, x, is_kept, self.padding_idx)


class RandomInsertion(OfTokens):
    """Insert a random token after each with probability p; what then goes over the end of a row is cut off.

    Parameters
    ----------
    p : float, default 0.1
        In [0, 1].
    tokens : sequence of int or of str, optional
        What is inserted. By default other tokens of the row.
    padding_idx : int, default 0
        What fills rows of tokens up, at their ends.

    Raises
    ------
    ValueError
        As `RandomSwap`; if `tokens` is empty.

    Notes
    -----
    Strings have no end to go over. Wei and Zou insert synonyms: give them as `tokens`.

    References
    ----------
    .. [1] Wei, Zou, "EDA: easy data augmentation techniques for boosting performance on text classification tasks",
       EMNLP (2019).

    Examples
    --------
    >>> weft.data.augment.RandomInsertion(1.0, tokens=["very"])(["good"])
    ['good very']
    """

    def __init__(self, p: float = 0.1, tokens: Sequence[int] | Sequence[str] | None = None, padding_idx: int = 0):
        super().__init__(p, padding_idx)
        if tokens is not None and not len(tokens):
            raise ValueError(f"`tokens` must hold at least one token, or be None, got {tokens!r}")
        self.tokens = None if tokens is None else list(tokens)

    def _words(self) -> set[str]:
        return {str(token) for token in self.tokens or ()}

    def _width(self, longest: int) -> int:
        return 2 * longest

    def _in_ids(self, ids: dict[str, int]) -> Augmentation:
        other = super()._in_ids(ids)
        other.tokens = None if self.tokens is None else [ids[str(token)] for token in self.tokens]  # type: ignore[attr-defined]
        return other

    def _changed(self, batch: Batch, x: Any, is_there: Any) -> Any:
        xp, (n, width) = batch.xp, x.shape
        is_due = is_there & batch.put(batch.uniform(0, 1, width) < self.p)
        lots = batch.uniform(0, 1, width)
        if self.tokens is None:
            length = xp.sum(xp.astype(is_there, xp.int64), axis=1, keepdims=True)
            index = xp.astype(xp.floor(batch.put(lots) * xp.astype(length, xp.float64)), xp.int64)
            new = along(batch, x, index)
        else:
            new = batch.put(np.asarray(self.tokens)[np.floor(lots * len(self.tokens)).astype(int)])
        pairs = xp.reshape(xp.stack([x, xp.astype(new, x.dtype)], axis=2), (n, 2 * width))
        is_kept = xp.reshape(xp.stack([is_there, is_due], axis=2), (n, 2 * width))
        return closed_up(batch, pairs, is_kept, self.padding_idx)[:, :width]


class SynonymReplacement(OfTokens):
    """Replace each token that has synonyms, with probability p, by one of them.

    Parameters
    ----------
    table : dict of int to sequence of int, or of str to sequence of str
        The synonyms of each token.
    p : float, default 0.1
        In [0, 1].
    padding_idx : int, default 0
        What fills rows of tokens up, at their ends; it is never replaced.

    Raises
    ------
    ValueError
        As `RandomSwap`; if `table` is empty, or an entry of it.

    References
    ----------
    .. [1] Wei, Zou, "EDA: easy data augmentation techniques for boosting performance on text classification tasks",
       EMNLP (2019).

    Examples
    --------
    >>> weft.data.augment.SynonymReplacement({"quick": ["fast"]}, p=1.0)(["the quick fox"])
    ['the fast fox']
    """

    def __init__(self, table: Mapping[Any, Sequence[Any]], p: float = 0.1, padding_idx: int = 0):
        super().__init__(p, padding_idx)
        if (
            not isinstance(table, Mapping)
            or not table
            or not all(isinstance(s, list | tuple) and s for s in table.values())
        ):
            raise ValueError(f"`table` must give a list of synonyms for each of some tokens, got {table!s:.60}")
        self._table = {token: list(synonyms) for token, synonyms in table.items()}

    def _words(self) -> set[str]:
        return {str(word) for token, synonyms in self._table.items() for word in (token, *synonyms)}

    def _in_ids(self, ids: dict[str, int]) -> Augmentation:
        other = super()._in_ids(ids)
        other._table = {ids[str(t)]: [ids[str(s)] for s in synonyms] for t, synonyms in self._table.items()}  # type: ignore[attr-defined]
        return other

    def _changed(self, batch: Batch, x: Any, is_there: Any) -> Any:
        xp = batch.xp
        tokens = sorted(self._table)
        counts = np.array([len(self._table[t]) for t in tokens])
        keys, sizes, starts = (batch.put(a) for a in (np.array(tokens), counts, np.cumsum(counts) - counts))
        synonyms = batch.put(np.array([s for t in tokens for s in self._table[t]]))
        is_due = batch.put(batch.uniform(0, 1, x.shape[1]) < self.p)
        lots = batch.put(batch.uniform(0, 1, x.shape[1]).ravel())

        flat = xp.reshape(xp.astype(x, xp.int64), (-1,))
        index = xp.clip(xp.searchsorted(keys, flat), 0, len(tokens) - 1)
        has_some = xp.reshape(xp.take(keys, index, axis=0) == flat, x.shape)
        chosen = xp.astype(xp.floor(lots * xp.astype(xp.take(sizes, index, axis=0), xp.float64)), xp.int64)
        new = xp.reshape(xp.take(synonyms, xp.take(starts, index, axis=0) + chosen, axis=0), x.shape)
        return xp.where(is_there & is_due & has_some, xp.astype(new, x.dtype), x)
