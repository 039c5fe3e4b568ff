"""Splits into training, development and test parts, and folds for cross-validation: thin covers of scikit-learn.

Everything that chooses samples is scikit-learn's; here it learns to speak of `ArrayDataset`s. All of it raises an
ImportError with the command to run if scikit-learn is not installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized

import numpy as np
from numpy.typing import ArrayLike

from ..backend.device.options import integer
from .arrays import ArrayDataset, DataSplits
from .extras import sklearn

__all__ = ["k_fold", "stratified_k_fold", "time_series_split", "train_dev_test_split"]

Fold = tuple[np.ndarray, np.ndarray]


def train_dev_test_split(
    data: ArrayDataset,
    *,
    dev: float = 0,
    test: float = 0.2,
    stratify: ArrayLike | None = None,
    seed: int = 0,
    class_names: tuple[str, ...] = (),
    name: str = "data",
) -> DataSplits:
    """Shuffle the samples and share them out (sklearn.model_selection.train_test_split).

    Parameters
    ----------
    data : ArrayDataset
        All samples.
    dev : float, default 0
        How many samples, as an integer, or what fraction of all, as a float below 1; 0 leaves it out.
    test : float, default 0.2
        As `dev`, but not 0.
    stratify : array of int, optional
        Class labels, usually `data.y`: every part then has the classes in the proportions of the whole.
    seed : int, default 0
        The same seed gives the same split.
    class_names : tuple of str, default ()
        Of the classes.
    name : str, default "data"
        Of the data set.

    Returns
    -------
    DataSplits
        The parts.

    Raises
    ------
    ValueError
        If the parts do not fit, or a class has too few samples to be in each.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> data = ArrayDataset(np.arange(100.0)[:, None], np.arange(100) % 4)
    >>> train_dev_test_split(data, dev=0.1, test=0.2, stratify=data.y)
    data: train 70, dev 10, test 20, samples (1,) float64
    """
    split = sklearn("model_selection", "train_dev_test_split").train_test_split
    if not isinstance(data, ArrayDataset):
        raise TypeError(f"`data` must be an ArrayDataset, got {data!r:.80}")
    integer("seed", seed, 0, 2**32 - 1)
    sizes = [_count(part, size, len(data)) for part, size in (("dev", dev), ("test", test))]
    if sizes[1] == 0 or sum(sizes) >= len(data):
        raise ValueError(
            f"`dev` and `test` must leave samples for `train`, and `test` some, "
            f"got dev={sizes[0]} and test={sizes[1]} of {len(data)}"
        )
    labels = None if stratify is None else np.asarray(stratify)
    if labels is not None and (labels.shape != (len(data),) or labels.dtype.kind == "f"):
        raise ValueError(
            f"`stratify` must hold a class for each of the {len(data)} samples, got shape {labels.shape}, dtype {labels.dtype}"
        )
    parts: dict[str, np.ndarray] = {}
    rest = np.arange(len(data))
    for part, size in (("test", sizes[1]), ("dev", sizes[0])):
        if size:
            classes = None if labels is None else labels[rest]
            if classes is not None:
                _check_classes(classes, (size, len(rest) - size))
            rest, parts[part] = split(rest, test_size=size, random_state=seed, stratify=classes)
    subsets = {part: data.subset(indices) for part, indices in {"train": rest, **parts}.items()}
    return DataSplits(subsets["train"], subsets["test"], subsets.get("dev"), class_names, name)


def hold_out(
    parts: dict[str, ArrayDataset],
    *,
    test: float | None,
    stratify: bool,
    class_names: tuple[str, ...] = (),
    feature_names: tuple[str, ...] = (),
    name: str = "data",
) -> DataSplits:
    """The data set of these parts; where there is none for the test, a share of the training set, always the same."""
    if "test" in parts and test is not None:
        raise ValueError(f"`test` must be left out where the data have a part for the test, got {test}")
    if "test" not in parts:
        labels = parts["train"].y if stratify and class_names else None
        shared = train_dev_test_split(parts["train"], test=0.2 if test is None else test, stratify=labels)
        parts = {**parts, "train": shared.train, "test": shared.test}
    return DataSplits(parts["train"], parts["test"], parts.get("dev"), class_names, name, feature_names)


def _check_classes(labels: np.ndarray, sizes: tuple[int, int]) -> None:
    """Raise ValueError unless scikit-learn can share each class out to two parts of these sizes."""
    classes, counts = np.unique(labels, return_counts=True)
    way_out = "or split without it: stratify=None (weft train --no-stratify)"
    if counts.min() < 2:
        raise ValueError(
            f"`stratify` needs two samples of each class, one for either part, got a single one of class "
            f"{classes[counts.argmin()]}; leave that class out, {way_out}"
        )
    if min(sizes) < len(classes):
        raise ValueError(
            f"`stratify` needs a sample of each of the {len(classes)} classes in each part, got a part of {min(sizes)}; "
            f"make it larger, {way_out}"
        )


def _count(part: str, size: float, total: int) -> int:
    is_number = isinstance(size, int | float | np.integer | np.floating) and not isinstance(size, bool)
    if not is_number or not (0 <= size < 1 or (1 <= size < total and size == int(size))):
        raise ValueError(f"`{part}` must be a fraction below 1 or a number of samples below {total}, got {size!r}")
    return round(size * total) if size < 1 else int(size)


def k_fold(data: Sized, n_splits: int = 5, *, shuffle: bool = True, seed: int = 0) -> Iterator[Fold]:
    """Split k times: each sample is in one of the k test parts (sklearn.model_selection.KFold).

    Parameters
    ----------
    data : sized
        Anything with a length.
    n_splits : int, default 5
        k, how many pairs.
    shuffle : bool, default True
        Whether the samples are shuffled first.
    seed : int, default 0
        The same seed gives the same split.

    Returns
    -------
    iterator of (numpy.ndarray, numpy.ndarray)
        Indices of the training part and of the test part, k times.

    Raises
    ------
    ValueError
        If there are fewer samples than pairs.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> [test.tolist() for train, test in k_fold(range(6), 3, shuffle=False)]
    [[0, 1], [2, 3], [4, 5]]
    """
    kind = sklearn("model_selection", "k_fold").KFold
    _check_folds(n_splits, _length(data))
    return kind(n_splits, shuffle=shuffle, random_state=seed if shuffle else None).split(np.empty(len(data)))


def _length(data: Sized) -> int:
    if not isinstance(data, Sized):
        raise TypeError(f"`data` must have a length, got {data!r:.80}")
    return len(data)


def _check_folds(n_splits: int, most: int, of: str = "") -> None:
    if not isinstance(n_splits, int) or not 2 <= n_splits <= most:
        raise ValueError(f"`n_splits` must be an integer from 2 to {most}, the samples{of}, got {n_splits!r}")


def stratified_k_fold(
    labels: Sequence[int] | np.ndarray, n_splits: int = 5, *, shuffle: bool = True, seed: int = 0
) -> Iterator[Fold]:
    """Split k times so that every part has the classes in the proportions of the whole (sklearn's StratifiedKFold).

    Parameters
    ----------
    labels : array of int
        The class of each sample.
    n_splits : int, default 5
        k, how many pairs.
    shuffle : bool, default True
        Whether the samples are shuffled first.
    seed : int, default 0
        The same seed gives the same split.

    Returns
    -------
    iterator of (numpy.ndarray, numpy.ndarray)
        Indices of the training part and of the test part, k times.

    Raises
    ------
    ValueError
        If a class has fewer samples than there are pairs.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> [np.bincount(labels[test]).tolist() for train, test in stratified_k_fold(labels, 2)]
    [[2, 1], [2, 1]]
    """
    kind = sklearn("model_selection", "stratified_k_fold").StratifiedKFold
    _check_folds(n_splits, int(np.unique(labels, return_counts=True)[1].max(initial=0)), " of a class")
    folds = kind(n_splits, shuffle=shuffle, random_state=seed if shuffle else None)
    return folds.split(np.empty(len(labels)), labels)


def time_series_split(
    data: Sized, n_splits: int = 5, *, gap: int = 0, test_size: int | None = None, max_train_size: int | None = None
) -> Iterator[Fold]:
    """Split so that all of train comes before all of test (sklearn's TimeSeriesSplit).

    Parameters
    ----------
    data : sized
        Anything with a length, in order of time.
    n_splits : int, default 5
        k, how many pairs.
    gap : int, default 0
        Samples left out between the two, so that no window of the test part overlaps the training part.
    test_size : int, optional
        Samples of each test part; None is len(data) // (n_splits + 1).
    max_train_size : int, optional
        Most samples of a training part; None is any number.

    Returns
    -------
    iterator of (numpy.ndarray, numpy.ndarray)
        Indices of the training part and of the test part, k times.

    Raises
    ------
    ValueError
        If the samples do not suffice.
    ImportError
        If scikit-learn is missing.

    Examples
    --------
    >>> [(train.tolist(), test.tolist()) for train, test in time_series_split(range(6), 2, test_size=1)]
    [([0, 1, 2, 3], [4]), ([0, 1, 2, 3, 4], [5])]
    """
    kind = sklearn("model_selection", "time_series_split").TimeSeriesSplit
    _check_folds(n_splits, _length(data) - 1)
    integer("gap", gap, 0)
    for name, size in (("test_size", test_size), ("max_train_size", max_train_size)):
        if size is not None:
            integer(name, size, 1)
    return kind(n_splits, gap=gap, test_size=test_size, max_train_size=max_train_size).split(np.empty(len(data)))
