"""Rows of tables: noise, mixtures of rows of one class, and new rows for small classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.array.random import Generator, generator_of
from ...backend.device import dtypes
from ...backend.device.devices import to_numpy
from ...backend.tape.tensor import innermost
from . import checks
from .batch import Batch
from .transform import Augmentation

__all__ = ["FeatureNoise", "Interpolation", "smote"]


class FeatureNoise(Augmentation):
    """Add normal noise to features: y = x + sigma · n.

    Parameters
    ----------
    sigma : float or sequence of float, default 0.1
        Its standard deviation, for all features or for each: a share of the feature's own.
    p : float, default 1.0
        With what probability a row is changed.

    Raises
    ------
    ValueError
        If `sigma` is negative or `p` not in [0, 1]; when called, if the inputs are no floating-point numbers.

    Examples
    --------
    >>> x = weft.data.augment.FeatureNoise(sigma=[0.0, 1.0])(np.zeros((4, 2)))
    >>> x[:, 0].tolist(), bool((x[:, 1] != 0).all())
    ([0.0, 0.0, 0.0, 0.0], True)
    """

    def __init__(self, sigma: float | Sequence[float] = 0.1, p: float = 1.0):
        several = isinstance(sigma, list | tuple | np.ndarray)
        self.sigma = [checks.number("sigma", s, 0) for s in sigma] if several else checks.number("sigma", sigma, 0)  # type: ignore[union-attr]
        self.p = checks.number("p", p, 0, 1)

    def _apply(self, batch: Batch) -> None:
        x = _features(batch)
        sigma = np.asarray(self.sigma) * batch.chosen(self.p).reshape(-1, *[1] * (x.ndim - 1))
        if np.ndim(self.sigma) and np.shape(self.sigma)[0] != x.shape[-1]:
            raise ValueError(f"`sigma` must have one number for each of {x.shape[-1]} features, got {len(self.sigma)}")  # type: ignore[arg-type]
        noise = batch.generator.normal(tuple(x.shape), dtypes.float32, batch.device)
        batch.inputs = x + batch.xp.astype(noise, x.dtype) * batch.put(sigma.astype(x.dtype))


class Interpolation(Augmentation):
    """Move each row towards another of its batch, of the same class: y = x + λ (x' − x), λ uniform.

    Parameters
    ----------
    amount : float, default 0.5
        The greatest λ, in [0, 1].

    Raises
    ------
    ValueError
        If `amount` is not in [0, 1]; when called, if the inputs are no floating-point numbers or labels no classes (N,).

    Notes
    -----
    Labels stay. Without labels all rows are of one class; a row that is alone in its class stays as it is.

    Examples
    --------
    >>> interpolate = weft.data.augment.Interpolation(1.0)
    >>> x, y = interpolate(np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1]))
    >>> bool((x[:2] <= 1).all() and (x[2:] >= 5).all())
    True
    """

    def __init__(self, amount: float = 0.5):
        self.amount = checks.number("amount", amount, 0, 1)

    def _apply(self, batch: Batch) -> None:
        x, xp, n, labels = _features(batch), batch.xp, len(batch), batch.labels
        if labels is not None and (labels.ndim != 1 or labels.dtype.kind not in "iu"):
            raise ValueError(f"`labels` must be classes (N,), got {labels.dtype} {tuple(labels.shape)}")
        shuffled = batch.put(batch.generator.permutation(n))
        share = batch.uniform(0, self.amount)
        if not n:
            return
        classes = batch.put(np.zeros(n, int)) if labels is None else labels
        order = xp.take(shuffled, xp.argsort(xp.take(classes, shuffled, axis=0), stable=True), axis=0)
        # In this order classes stand together: the next one, or else the one before, is of the same class.
        grouped = xp.take(classes, order, axis=0)
        same_next, same_last = grouped == xp.roll(grouped, -1), grouped == xp.roll(grouped, 1)
        other = xp.where(same_next, xp.roll(order, -1), xp.where(same_last, xp.roll(order, 1), order))
        partner = xp.take(other, xp.argsort(order), axis=0)
        weight = batch.put(share.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype))
        batch.inputs = x + weight * (xp.take(x, partner, axis=0) - x)


def smote(x: Any, y: Any, k_neighbors: int = 5, *, generator: Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Add rows to the small classes of a training set until all are as large as the largest: SMOTE.

    Each new row lies between one of its class and one of that's k nearest neighbours in the class: x + λ (x' − x),
    λ uniform on [0, 1).

    Parameters
    ----------
    x : array of shape (N, D)
        Floating-point features, on one scale: the neighbours are the nearest in Euclidean distance.
    y : array of shape (N,)
        The classes.
    k_neighbors : int, default 5
        How many neighbours; fewer where a class has no more.
    generator : Generator, optional
        What to draw from. By default weft's default one.

    Returns
    -------
    x, y : numpy.ndarray
        The rows given, then the new ones.

    Raises
    ------
    ValueError
        If shapes or dtypes are others, or a class has a single row.

    References
    ----------
    .. [1] Chawla et al., "SMOTE: synthetic minority over-sampling technique", JAIR 16 (2002).

    Examples
    --------
    >>> x, y = weft.data.augment.smote(np.array([[0.0], [1.0], [2.0], [8.0], [9.0]]), np.array([0, 0, 0, 1, 1]))
    >>> y.tolist(), 8 <= x[5, 0] <= 9
    ([0, 0, 0, 1, 1, 1], np.True_)
    """
    x, y = (to_numpy(np.asarray(a) if isinstance(a, list | tuple) else innermost(a)) for a in (x, y))
    if x.ndim != 2 or x.dtype.kind != "f" or y.shape != x.shape[:1]:
        raise ValueError(f"`x` must be floating-point (N, D) and `y` (N,), got {x.dtype} {x.shape} and {y.shape}")
    checks.whole("k_neighbors", k_neighbors, 1)
    generator = generator_of(generator)
    classes, counts = np.unique(y, return_counts=True)
    rows, labels = [x], [y]
    for label, count in zip(classes, counts):
        missing = int(counts.max() - count)
        if not missing:
            continue
        if count < 2:
            raise ValueError(f"`y` must have at least two rows of each class that is filled up, got one of {label!r}")
        own = x[y == label]
        lots = generator.uniform((3, missing), dtypes.float64)
        start = np.floor(lots[0] * count).astype(int)
        near = _nearest(own, min(k_neighbors, count - 1))
        end = near[start, np.floor(lots[1] * near.shape[1]).astype(int)]
        rows.append((own[start] + lots[2][:, None] * (own[end] - own[start])).astype(x.dtype))
        labels.append(np.full(missing, label))
    return np.concatenate(rows), np.concatenate(labels)


def _nearest(x: np.ndarray, k: int) -> np.ndarray:
    """(N, k): the nearest other rows of each."""
    near = np.empty((len(x), k), int)
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)  # far from 0, squares would lose the distances' digits
    squares = (centred**2).sum(1)
    step = max(1, (1 << 22) // len(x))
    for i in range(0, len(x), step):
        part = slice(i, i + step)
        distance = squares - 2 * centred[part] @ centred.T
        distance[np.arange(len(distance)), np.arange(i, i + len(distance))] = np.inf
        near[part] = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return near


def _features(batch: Batch) -> Any:
    x = batch.inputs
    if x.ndim < 2 or not dtypes.is_real_floating(dtypes.of(x)):
        raise ValueError(f"`inputs` must be floating-point numbers (N, …, D), got {x.dtype} {tuple(x.shape)}")
    return batch.numbers
