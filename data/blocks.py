"""Blocks of tokens for a language model: each with the tokens that follow, one step later, as targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend.device.options import integer
from ..backend.tape.tensor import Tensor
from . import check
from .tokens import TokenFile

__all__ = ["RandomBlocks", "TokenBlocks", "pack"]


class TokenBlocks:
    """Consecutive blocks of a stream of tokens: sample i is x = t[iB : iB + B] and y = t[iB + 1 : iB + B + 1].

    What is left at the end, fewer than B + 1 tokens, is not used. A `DataLoader` gathers a batch in one call.

    Parameters
    ----------
    tokens : TokenFile or array of int, shape (N,)
        The stream. A file is read where a batch needs it.
    block_size : int
        B, at least 1.

    Raises
    ------
    ValueError
        If there are not B + 1 tokens, or `block_size` is out of range.
    TypeError
        If they are no integers.

    Examples
    --------
    >>> data = TokenBlocks(np.arange(10), 3)
    >>> len(data), data[1]
    (3, (array([3, 4, 5]), array([4, 5, 6])))
    """

    def __init__(self, tokens: Any, block_size: int):
        self.tokens, self.block_size = _stream(tokens, block_size), block_size

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.block_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """The batch (n, B), (n, B) of these samples."""
        index = np.asarray(indices, np.int64)
        if len(index) and not -len(self) <= index.min() <= index.max() < len(self):
            raise IndexError(f"`indices` must be in [0, {len(self)}), the blocks, got {indices}")
        return _gather(self.tokens, index % max(len(self), 1) * self.block_size, self.block_size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} blocks of {self.block_size})"


class RandomBlocks:
    """Blocks that begin anywhere in a stream of tokens: each sample is drawn anew, whatever its index.

    In a `DataLoader` what is drawn for a batch is decided by seed, epoch and number of the batch, so that a run that is
    resumed sees the same.

    Parameters
    ----------
    tokens : TokenFile or array of int, shape (N,)
        The stream. A file is read where a batch needs it.
    block_size : int
        B, at least 1.
    samples : int
        How many make an epoch.

    Raises
    ------
    ValueError
        If there are not B + 1 tokens, or an option is out of range.
    TypeError
        If they are no integers.

    Examples
    --------
    >>> data = RandomBlocks(np.arange(100), 3, samples=12)
    >>> loader = weft.data.DataLoader(data, batch_size=4, seed=1)
    >>> [bool(weft.all(x + 1 == y)) for x, y in loader]
    [True, True, True]
    """

    draws_batches = True  # of a batch that several processes share, each draws all, and takes its own

    def __init__(self, tokens: Any, block_size: int, samples: int):
        self.tokens, self.block_size = _stream(tokens, block_size), block_size
        integer("samples", samples)
        if samples < 1:
            raise ValueError(f"`samples` must be at least 1, got {samples}")
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """A batch (n, B), (n, B), as many as there are indices."""
        last = len(self.tokens) - self.block_size
        # the global generator, which is what a DataLoader seeds for each batch
        starts = np.random.randint(0, last, len(indices))  # noqa: NPY002
        return _gather(self.tokens, starts, self.block_size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.samples} blocks of {self.block_size})"


def pack(documents: Iterable[Any], end: int) -> np.ndarray:
    """Documents one after the other, each followed by a token that ends it: the stream that is cut into blocks.

    Parameters
    ----------
    documents : iterable of arrays or lists of int
        The tokens of each.
    end : int
        The token that ends a document.

    Returns
    -------
    array of int64, shape (N,)
        The stream. One that is too long for memory: `write_tokens(path, ([*d, end] for d in documents), vocab_size)`.

    Raises
    ------
    TypeError
        If tokens are no integers.
    ValueError
        If `end` is less than 0.

    Examples
    --------
    >>> pack([[5, 6], [7]], end=0)
    array([5, 6, 0, 7, 0])
    """
    integer("end", end, 0)
    parts = [part for document in documents for part in (check.tokens("documents", document), [end])]
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def _stream(tokens: Any, block_size: int) -> Any:
    integer("block_size", block_size)
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1, got {block_size}")
    if not isinstance(tokens, TokenFile):
        tokens = tokens.numpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
        if tokens.ndim != 1:
            raise ValueError(f"`tokens` must have shape (N,), got {tokens.shape}")
        if tokens.dtype.kind not in "iu":
            raise TypeError(f"`tokens` must be integers, got dtype {tokens.dtype}")
    if len(tokens) <= block_size:
        raise ValueError(
            f"`tokens` must be more than a block, {block_size}, got {len(tokens)}; take a smaller block_size"
        )
    return tokens


def _gather(tokens: Any, starts: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    found = tokens[starts[:, None] + np.arange(block_size + 1)].astype(np.int64)
    return found[:, :-1], found[:, 1:]
