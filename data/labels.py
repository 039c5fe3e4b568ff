"""Class labels: checks and one-hot coding, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..backend.device.options import integer
from .files import DataError, fault

__all__ = ["check_labels", "encode_labels", "one_hot"]

MOST_CLASSES = 1 << 24  # whoever has more has identifiers or quantities; each class has a name, in memory


def check_labels(labels: ArrayLike, num_classes: int, *, source: str = "labels") -> np.ndarray:
    """Make sure that every label is an integer in [0, num_classes).

    Parameters
    ----------
    labels : array of int
        Of any shape.
    num_classes : int
        How many classes there are.
    source : str, default "labels"
        The name under which an error speaks of them.

    Returns
    -------
    numpy.ndarray
        The labels, int64.

    Raises
    ------
    DataError
        Names the first label out of range and where it stands.

    Examples
    --------
    >>> check_labels(np.array([2, 0, 1], np.uint8), 3)
    array([2, 0, 1])
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise no_labels(labels, source)
    integer("num_classes", num_classes, 1)
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        found = f"{labels.flat[first]} at position {first} ({int(outside.sum())} out of range)"
        raise fault(source, f"labels 0 … {num_classes - 1}", found, "check the number of classes")
    return labels.astype(np.int64, copy=False)


def no_labels(targets: np.ndarray, source: str) -> DataError:
    """The error about targets that are no integers (N,): what they look like, and what makes labels of them."""
    fix = "convert them with .astype(int)"
    found = f"dtype {targets.dtype}"
    rows = targets.ndim == 2 and targets.shape[1] > 1 and targets.dtype.kind in "biuf"
    if rows and targets.size and ((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all():
        found, fix = f"one-hot rows of shape {targets.shape}", "give the index of the 1: y.argmax(axis=1)"
    elif targets.ndim != 1 and targets.dtype.kind in "iu":
        found, fix = f"shape {targets.shape}", "one label per sample is wanted"
        fix += ": y[:, 0]" if targets.ndim == 2 and targets.shape[1] == 1 else ""
    elif targets.dtype.kind == "f" and not np.array_equal(targets, np.floor(targets)):
        found, fix = (
            f"fractions, of dtype {targets.dtype}",
            "a classifier learns no quantities: give each sample its class",
        )
    elif targets.dtype.kind in "OSUT":
        fix = "number the names: names, y = np.unique(y, return_inverse=True)"
    return fault(source, "integer class labels (N,)" if targets.ndim != 1 else "integer class labels", found, fix)


def encode_labels(
    parts: Mapping[str, ArrayLike], num_classes: int | None = None, *, source: str = "labels"
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Number the classes 0 … C − 1: they are the distinct labels of the part "train", in order.

    Parameters
    ----------
    parts : dict of str to array of int
        The labels (N,) of "train", and maybe of "dev" and "test".
    num_classes : int, optional
        C. By default it is found in "train", which must then look like classes: those that are no 0 … N − 1 must come
        twice on average (or they are numbers that stand for something else: identifiers, times, quantities).
    source : str, default "labels"
        The name under which an error speaks of them.

    Returns
    -------
    labels : dict of str to numpy.ndarray
        The same parts in 0 … C − 1, int64.
    class_names : tuple of str
        What each class was called: its label.

    Raises
    ------
    DataError
        If there are too many classes, other than `num_classes` says, or a label that "train" has not.
    ValueError
        If `num_classes` is more than four million.

    Examples
    --------
    >>> encode_labels({"train": np.array([7, 0, 14, 0, 7, 14]), "test": np.array([14])})
    ({'train': array([1, 0, 2, 0, 1, 2]), 'test': array([2])}, ('0', '7', '14'))
    """
    if num_classes is not None:
        integer("num_classes", num_classes, 1)
    train = np.asarray(parts["train"])
    distinct = np.unique(train)
    if num_classes is not None and num_classes > MOST_CLASSES:
        fix = "count the classes, or save quantities and identifiers as floats"
        raise fault(f"{source}: y_train", f"at most {MOST_CLASSES} classes", f"`num_classes` {num_classes}", fix)
    if num_classes is not None and (not len(distinct) or (distinct[0] >= 0 and distinct[-1] < num_classes)):
        distinct = np.arange(num_classes)
    if num_classes is not None and len(distinct) != num_classes:
        found = f"{len(distinct)} distinct labels, {distinct[0]} … {distinct[-1]}"
        raise fault(f"{source}: y_train", f"{num_classes} classes", found, "check the number of classes")
    if len(distinct) and distinct[0] < 0 and distinct.tolist() != [-1, 1]:
        found = f"{distinct[0]} at position {int(np.argmin(train))}"
        raise fault(
            f"{source}: y_train",
            f"labels 0 … {distinct[-1]}",
            found,
            "leave out samples without a class, or renumber the classes",
        )
    if num_classes is None and len(distinct) > len(train) // 2 and distinct[-1] >= len(train):
        found = f"{len(distinct)} distinct labels of {len(train)} samples, up to {distinct[-1]}"
        fix = f"classes: load_npz(path, num_classes={len(distinct)}); quantities or identifiers: save them as floats"
        raise fault(f"{source}: y_train", "class labels, which come again and again", found, fix)
    if np.array_equal(distinct, np.arange(len(distinct))):
        coded = {part: check_labels(y, len(distinct), source=f"{source}: y_{part}") for part, y in parts.items()}
    else:
        coded = {part: _ranks(np.asarray(y), distinct, f"{source}: y_{part}") for part, y in parts.items()}
    return coded, tuple(str(label) for label in distinct)


def _ranks(labels: np.ndarray, distinct: np.ndarray, source: str) -> np.ndarray:
    """The position of each label among the `distinct` ones, or DataError for one that is not there."""
    if labels.dtype.kind not in "iu":
        raise no_labels(labels, source)
    ranks = np.searchsorted(distinct, labels).clip(max=len(distinct) - 1)
    unknown = np.flatnonzero(distinct[ranks] != labels)
    if len(unknown):
        found = f"{labels.flat[unknown[0]]} at position {unknown[0]} ({len(unknown)} such)"
        expected = f"one of the {len(distinct)} labels of y_train, {distinct[0]} … {distinct[-1]}"
        raise fault(source, expected, found, "check the labels, or have samples of each class in y_train")
    return ranks


def one_hot(labels: ArrayLike, num_classes: int, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Rows of the identity matrix: 1 at the label and 0 elsewhere.

    Parameters
    ----------
    labels : array of int
        Of any shape (…).
    num_classes : int
        How many classes there are.
    dtype : dtype, default np.float32
        Of the result.

    Returns
    -------
    numpy.ndarray
        Of shape (…, num_classes).

    Raises
    ------
    DataError
        If a label is out of range.
    ValueError
        If the rows do not fit into memory.

    Notes
    -----
    `weft.layers.functional.one_hot` is PyTorch's, on tensors; this one prepares targets on the host.

    Examples
    --------
    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    labels = check_labels(labels, num_classes)
    try:
        coded = np.zeros((*labels.shape, num_classes), dtype)
    except (MemoryError, OverflowError, ValueError) as error:
        raise ValueError(
            f"`num_classes` must be small enough for {labels.size} rows of it in memory, got {num_classes} ({error}); losses "
            "take the labels as they are"
        ) from None
    np.put_along_axis(coded, labels[..., None], 1, axis=-1)
    return coded
