"""Batches of samples of like length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend.device.options import integer

__all__ = ["BucketSampler"]


class BucketSampler:
    """The `batch_sampler` of sequences: samples of like length make a batch, and batches come in an order of their own.

    The samples are shuffled, cut into pools of `pool` batches, sorted by length within each, cut into batches, and these are
    shuffled. The order of epoch e is a function of (`seed`, e) alone; a `DataLoader` says which epoch it is, so that it can be
    resumed within one.

    Parameters
    ----------
    lengths : array of int, shape (N,) or (N, k)
        Of each sample; of several lengths the sum counts.
    batch_size : int
        Samples in a batch, but for the last.
    shuffle : bool, default True
        False sorts by length once, the shortest first.
    pool : int, default 100
        Batches in a pool; more mean less padding, and less mixing.
    seed : int, default 0
        Decides the order.

    Raises
    ------
    ValueError
        If there are no lengths, or a number is out of range.

    Examples
    --------
    >>> sampler = BucketSampler([3, 9, 3, 8, 2, 9], batch_size=2)
    >>> sorted(sorted(batch) for batch in sampler)
    [[0, 3], [1, 5], [2, 4]]
    >>> [len(sampler), list(BucketSampler([3, 1, 2], 2, shuffle=False))]
    [3, [[1, 2], [0]]]
    """

    def __init__(self, lengths: Any, batch_size: int, *, shuffle: bool = True, pool: int = 100, seed: int = 0):
        lengths = np.asarray(lengths)
        if lengths.ndim not in (1, 2) or not lengths.size or lengths.dtype.kind not in "iu":
            raise ValueError(
                f"`lengths` must be integers of shape (N,) or (N, k), N at least 1, got {lengths.dtype} of shape {lengths.shape}"
            )
        integer("batch_size", batch_size, 1)
        integer("pool", pool, 1)
        integer("seed", seed, 0, 2**64 - 1)
        self.lengths = lengths if lengths.ndim == 1 else lengths.sum(axis=1)
        self.batch_size, self.shuffle, self.pool, self.seed = batch_size, shuffle, pool, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, as a `DataLoader` does by itself.

        Parameters
        ----------
        epoch : int
            From 0.

        Examples
        --------
        >>> sampler = BucketSampler(range(1, 99), batch_size=2)
        >>> first = list(sampler)
        >>> sampler.set_epoch(1)
        >>> list(sampler) == first
        False
        """
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        n, size = len(self.lengths), self.batch_size
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            yield from (order[i : i + size].tolist() for i in range(0, n, size))
            return
        # The upper half of Philox's 128-bit key is 0 for every stream that a user seeds with 64 bits.
        random = np.random.Generator(np.random.Philox(key=self.seed | (self.epoch + 1) << 64))
        order, step = random.permutation(n), self.pool * size
        pools = [order[i : i + step] for i in range(0, n, step)]
        order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        for i in random.permutation(len(self)).tolist():
            yield order[i * size : (i + 1) * size].tolist()
