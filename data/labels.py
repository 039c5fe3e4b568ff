"""Class labels: checks and one-hot coding, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ..backend.device.options import integer
from .files import DataError, fault

__all__ = ["check_labels", "encode_labels", "one_hot"]

NAMES = "USb"  # kinds of dtypes whose values are names of classes: text, bytes, booleans
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
            "a classifier learns no quantities: give each sample its class, or learn them: weft train --task regression",
        )
    elif targets.dtype.kind in "OSUT":
        fix = "number the names: names, y = np.unique(y, return_inverse=True)"
    return fault(source, "integer class labels (N,)" if targets.ndim != 1 else "integer class labels", found, fix)


def quantities(targets: np.ndarray, source: str) -> np.ndarray:
    """Targets of a regression as float32 (N, K), or DataError."""
    if targets.dtype.kind not in "iuf" or targets.ndim > 2 or 0 in targets.shape[1:]:
        fix = "give each sample one number, or K; classes are learned without --task regression"
        found = f"dtype {targets.dtype}, shape {targets.shape}"
        raise fault(source, "real numbers (N,) or (N, K)", found, fix)
    with np.errstate(over="ignore"):
        narrow = targets.reshape(len(targets), -1).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(narrow).all(axis=1))
    if len(bad):
        found = f"{targets[bad[0]]} at position {bad[0]} ({len(bad)} such)"
        raise fault(source, "finite numbers that float32 can hold", found, "leave these samples out")
    return narrow


def encode_labels(
    parts: Mapping[str, ArrayLike], num_classes: int | None = None, *, source: str = "labels"
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Number the classes 0 … C − 1: they are the distinct labels of the part "train", in order.

    Parameters
    ----------
    parts : dict of str to array of int, str or bool
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
    >>> encode_labels({"train": np.array(["dog", "cat", "cat", "dog"])})
    ({'train': array([1, 0, 0, 1])}, ('cat', 'dog'))
    """
    if num_classes is not None:
        integer("num_classes", num_classes, 1)
    train = np.asarray(parts["train"])
    if train.dtype.kind in NAMES:
        return _encode_names({part: np.asarray(y) for part, y in parts.items()}, num_classes, source)
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
        fix = f"classes: load_npz(path, num_classes={len(distinct)}); quantities: --task regression, or save them as floats"
        raise fault(f"{source}: y_train", "class labels, which come again and again", found, fix)
    if np.array_equal(distinct, np.arange(len(distinct))):
        coded = {part: check_labels(y, len(distinct), source=f"{source}: y_{part}") for part, y in parts.items()}
    else:
        coded = {part: _ranks(np.asarray(y), distinct, f"{source}: y_{part}") for part, y in parts.items()}
    return coded, tuple(str(label) for label in distinct)


def _encode_names(
    parts: Mapping[str, np.ndarray], num_classes: int | None, source: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels that are words, or False and True."""
    words = {part: _words(y, f"{source}: y_{part}") for part, y in parts.items()}
    train = words["train"]
    distinct = np.unique(train)
    if num_classes not in (None, len(distinct)):
        found = f"{len(distinct)}: {', '.join(distinct[:5])}{' …' if len(distinct) > 5 else ''}"
        raise fault(f"{source}: y_train", f"{num_classes} classes", found, "check the number of classes")
    if num_classes is None and len(distinct) > max(2, len(train) // 2):
        found = f"{len(distinct)} distinct ones of {len(train)} samples, such as {str(distinct[0])!r}"
        fix = "name another target: these tell samples apart, not classes"
        raise fault(f"{source}: y_train", "class labels, which come again and again", found, fix)
    return {part: _ranks(y, distinct, f"{source}: y_{part}") for part, y in words.items()}, tuple(distinct.tolist())


def _words(labels: np.ndarray, source: str) -> np.ndarray:
    if labels.dtype.kind not in NAMES and labels.size:
        raise fault(source, "labels of the kind that y_train has", f"dtype {labels.dtype}", "save all in one dtype")
    if labels.dtype.kind != "S":
        return labels.astype(str)
    try:
        return np.char.decode(labels, "utf-8")
    except UnicodeDecodeError as error:
        raise fault(source, "labels in UTF-8", f"{error}", "save them as text: y.astype(str)") from None


def _ranks(labels: np.ndarray, distinct: np.ndarray, source: str) -> np.ndarray:
    """The position of each label among the `distinct` ones, or DataError for one that is not there."""
    if labels.dtype.kind not in ("U" if distinct.dtype.kind == "U" else "iu"):
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
