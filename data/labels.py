"""Class labels: checks and one-hot coding, on NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .files import fault

__all__ = ["check_labels", "one_hot"]


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
        raise fault(source, "integer class labels", f"dtype {labels.dtype}", "convert them with .astype(int)")
    outside = (labels < 0) | (labels >= num_classes)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        found = f"{labels.flat[first]} at position {first} ({int(outside.sum())} out of range)"
        raise fault(source, f"labels 0 … {num_classes - 1}", found, "check the number of classes")
    return labels.astype(np.int64, copy=False)


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
    coded = np.zeros((*labels.shape, num_classes), dtype)
    np.put_along_axis(coded, labels[..., None], 1, axis=-1)
    return coded
