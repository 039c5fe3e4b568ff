"""Samples drawn by weight, with replacement or without: for classes of unequal size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend.device.options import integer
from .labels import check_labels

__all__ = ["WeightedRandomSampler", "balanced_weights"]


def balanced_weights(labels: Any, num_classes: int | None = None) -> np.ndarray:
    """Weights of classes that even out how often they come: w_c = N / (C n_c), as in scikit-learn ("balanced").

    C counts the classes that come at all; those that do not have the weight 1. `balanced_weights(y)[y]` are weights of
    samples, for `WeightedRandomSampler`.

    Parameters
    ----------
    labels : array of int
        (N,) of the samples.
    num_classes : int, optional
        By default one more than the greatest label.

    Returns
    -------
    numpy.ndarray
        (C,) float32.

    Raises
    ------
    DataError
        If a label is out of range.

    Examples
    --------
    >>> balanced_weights([0, 0, 0, 1])
    array([0.6666667, 2.       ], dtype=float32)
    """
    labels = np.asarray(labels)
    if not labels.size:
        raise ValueError("`labels` must hold at least one label, got none")
    labels = check_labels(labels, int(labels.max()) + 1 if num_classes is None else num_classes)
    counts = np.bincount(labels, minlength=num_classes or 0)
    weights = labels.size / (np.maximum(counts, 1) * np.count_nonzero(counts))
    return np.where(counts, weights, 1).astype(np.float32)


class WeightedRandomSampler:
    """The `sampler` that draws sample i with probability w_i / Σ w.

    The order of epoch e is a function of (`seed`, e) alone; a `DataLoader` says which epoch it is, so that it can be resumed
    within one. PyTorch's, but for its `generator`, in whose place there is the seed.

    Parameters
    ----------
    weights : array of float
        (N,) w ≥ 0 of the samples.
    num_samples : int
        How many to draw in an epoch.
    replacement : bool, default True
        Whether a sample may come again.
    seed : int, default 0
        Decides what is drawn.

    Raises
    ------
    ValueError
        If weights are negative, not finite, all 0, or too few to draw as many without replacement.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    >>> sampler = WeightedRandomSampler(balanced_weights(labels)[labels], 1000)
    >>> 0.45 < labels[list(sampler)].mean() < 0.55
    np.True_
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, *, seed: int = 0):
        self.weights = np.asarray(weights, np.float64)
        self.num_samples, self.replacement, self.seed, self.epoch = num_samples, replacement, seed, 0
        integer("num_samples", num_samples, 1)
        integer("seed", seed, 0, 2**64 - 1)
        if not isinstance(replacement, bool):
            raise TypeError(f"`replacement` must be True or False, got {replacement!r}")
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ValueError(f"`weights` must be finite numbers (N,) of at least 0, got {self.weights!r:.80}")
        positive = np.count_nonzero(self.weights)
        if positive < (1 if replacement else num_samples):
            raise ValueError(
                f"`weights` must be above 0 for {'a sample' if replacement else f'the {num_samples} samples to draw'}, "
                f"got {positive} such of {len(self.weights)}"
            )

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next, as a `DataLoader` does by itself.

        Parameters
        ----------
        epoch : int
            From 0.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        # The upper half of Philox's 128-bit key is 0 for every stream that a user seeds with 64 bits.
        random = np.random.Generator(np.random.Philox(key=self.seed | (self.epoch + 1) << 64))
        p = self.weights / self.weights.sum()
        yield from random.choice(len(p), self.num_samples, self.replacement, p).tolist()
