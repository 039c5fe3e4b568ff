"""Metrics of classification.

Outputs may be scores (N, C, …) with the classes on axis 1, whose argmax is the prediction; predicted classes (N, …);
or, for two classes, floating-point scores (N,) or (N, 1), which are class 1 above `threshold` (0: logits; use 0.5 for
probabilities). Targets are classes (N, …), or floating-point one-hot vectors or probabilities (N, C, …). Both may be
Tensors, arrays of any library, or lists.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device.devices import namespace_of
from ...backend.device.dtypes import is_real_floating, of
from ...backend.device.options import integer, number
from .metric import Metric, raw

__all__ = ["F1", "Accuracy", "ConfusionMatrix", "Precision", "Recall", "TopKAccuracy"]


def classes(output: Any, target: Any, threshold: float = 0.0) -> tuple[Any, Any]:
    """Predicted and true classes, raw integer arrays of one shape."""
    output, target = raw(output), raw(target)
    xp = namespace_of(output)
    if output.ndim == target.ndim + 1 and output.shape[1] == 1 and output.shape[0] == target.shape[0]:
        output = output[:, 0, ...]
    if output.ndim == target.ndim and output.ndim > 1 and output.shape[1] > 1 and is_real_floating(of(target)):
        target = xp.argmax(target, axis=1)
    if output.ndim == target.ndim + 1:
        output = xp.argmax(output, axis=1)
    elif is_real_floating(of(output)):
        output = output > threshold
    if output.shape != target.shape:
        raise ValueError(
            f"`target` must have the shape of the predictions, {tuple(output.shape)}, got {tuple(target.shape)}"
        )
    return xp.astype(output, xp.int64), xp.astype(target, xp.int64)


def check_classes(target: Any, count: int, ignored: int | None = None) -> None:
    """Raise unless NumPy's int64 targets are in [0, count), or `ignored`; no other device is waited for."""
    if type(target) is not np.ndarray or not target.size or target.view(np.uint64).max() < count:
        return
    outside = target[(target < 0) | (target >= count)]
    if ignored is not None:
        outside = outside[outside != ignored]
    if outside.size:
        raise ValueError(
            f"`target` must hold classes in [0, {count}), got {outside[0]}; samples that do not count need `ignore_index`"
        )


class Accuracy(Metric):
    """The fraction of samples whose class is predicted: Σ [ŷᵢ = yᵢ] / N.

    Parameters
    ----------
    threshold : float, default 0.0
        Above which one score (N,) or (N, 1) is class 1: 0 for logits, 0.5 for probabilities.
    ignore_index : int, optional
        Samples of this class don't count.

    Examples
    --------
    >>> Accuracy()([[2.0, 1.0], [0.0, 3.0]], [0, 0])
    0.5
    """

    start = {"correct": 0, "count": 0}

    def __init__(self, *, threshold: float = 0.0, ignore_index: int | None = None):
        number("threshold", threshold)
        if ignore_index is not None:
            integer("ignore_index", ignore_index)
        self.threshold, self.ignore_index = threshold, ignore_index

    def update(self, output: Any, target: Any) -> None:
        scores = raw(output)
        output, target = classes(scores, target, self.threshold)
        if scores.ndim > target.ndim and scores.shape[1] > 1:
            check_classes(target, scores.shape[1], self.ignore_index)
        xp = namespace_of(output)
        hits = output == target
        count: Any = target.size
        if self.ignore_index is not None:
            kept = target != self.ignore_index
            hits, count = hits & kept, xp.count_nonzero(kept)
        self.sums["correct"] = self.sums["correct"] + xp.count_nonzero(hits)
        self.sums["count"] = self.sums["count"] + count

    def compute(self) -> float:
        sums = self.read()
        return float(sums["correct"] / sums["count"]) if sums["count"] else float("nan")


class TopKAccuracy(Metric):
    """The fraction of samples whose class is among the k highest scores: fewer than k other classes score higher.

    A tie counts for the sample. Scores (N, C, …), targets (N, …).

    Parameters
    ----------
    k : int, default 5
        How many scores count as the highest.

    Raises
    ------
    ValueError
        If `k` is less than 1; from `update`, if outputs are not scores.

    Examples
    --------
    >>> TopKAccuracy(k=2)([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], [1, 0])
    0.5
    """

    start = {"correct": 0, "count": 0}

    def __init__(self, k: int = 5):
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"`k` must be at least 1, got {k!r}")
        self.k = k

    def update(self, output: Any, target: Any) -> None:
        output, target = raw(output), raw(target)
        if output.ndim != target.ndim + 1:
            raise ValueError(
                f"`output` must be scores (N, C, …) for targets of shape {target.shape}, got shape {output.shape}"
            )
        xp = namespace_of(output)
        target = xp.astype(target, xp.int64)
        check_classes(target, output.shape[1])
        own = xp.take_along_axis(output, xp.expand_dims(target, axis=1), axis=1)
        higher = xp.count_nonzero(output > own, axis=1)
        self.sums["correct"] = self.sums["correct"] + xp.count_nonzero(higher < self.k)
        self.sums["count"] += target.size

    compute = Accuracy.compute


class ConfusionMatrix(Metric):
    """Counts (C, C): row i, column j holds how many samples of class i were predicted as j, as in scikit-learn.

    Parameters
    ----------
    num_classes : int, optional
        C. By default it is taken from scores (N, C); it must be given where outputs are classes.
    threshold : float, default 0.0
        Above which one score (N,) or (N, 1) is class 1.

    Raises
    ------
    ValueError
        From `update`, if C is not known; from `compute`, if a class was out of range.

    Examples
    --------
    >>> ConfusionMatrix(2)([0, 1, 1], [0, 0, 1])
    array([[1, 1],
           [0, 1]])
    """

    start = {"matrix": 0, "count": 0}

    def __init__(self, num_classes: int | None = None, *, threshold: float = 0.0):
        if num_classes is not None:
            integer("num_classes", num_classes, 1)
        number("threshold", threshold)
        self.num_classes, self.threshold = num_classes, threshold

    def update(self, output: Any, target: Any) -> None:
        scores = raw(output)
        if self.num_classes is None:
            many = scores.ndim > 1 and scores.shape[1] > 1 and is_real_floating(of(scores))
            self.num_classes = scores.shape[1] if many else 2 if is_real_floating(of(scores)) else None
            if self.num_classes is None:
                raise ValueError("`num_classes` must be given where outputs are classes, got None; pass num_classes=")
        if scores.ndim == raw(target).ndim + 1 and scores.shape[1] > max(self.num_classes, 2):
            raise ValueError(
                f"`num_classes` must be at least the {scores.shape[1]} that outputs of shape {tuple(scores.shape)} have "
                f"scores for, got {self.num_classes}"
            )
        output, target = classes(output, target, self.threshold)
        xp = namespace_of(output)
        labels = xp.arange(self.num_classes, dtype=xp.int64, **_device_of(xp, output))
        true, predicted = (xp.astype(xp.reshape(c, (-1, 1)) == labels, xp.float32) for c in (target, output))
        counts = xp.astype(xp.matmul(true.T, predicted), xp.int64)  # float32 counts exactly up to 2²⁴ in one batch
        self.sums["matrix"] = xp.asarray(self.sums["matrix"], **_device_of(xp, output)) + counts
        self.sums["count"] += target.size

    def compute(self) -> Any:
        sums = self.read()
        lost = int(sums["count"] - sums["matrix"].sum())
        if lost:
            raise ValueError(f"`target` and predictions must be in [0, {self.num_classes}), got {lost} outside")
        return sums["matrix"]


def _device_of(xp: Any, like: Any) -> dict[str, Any]:
    return {} if xp is np else {"device": like.device}


class _Ratio(ConfusionMatrix):
    """A ratio for each class, and how to make one number of them."""

    def __init__(self, num_classes: int | None = None, *, average: str | None = "macro", threshold: float = 0.0):
        super().__init__(num_classes, threshold=threshold)
        if average not in ("macro", "micro", "weighted", None):
            raise ValueError(f"`average` must be 'macro', 'micro', 'weighted' or None, got {average!r}")
        self.average = average

    def ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        """Numerators and denominators of the ratio, class by class.

        Parameters
        ----------
        hits, predicted, actual : ndarray
            (C,) for each class, how many of its samples are predicted as it, how many of all are, how many it has.

        Returns
        -------
        numerators, denominators : ndarray
            (C,) each.
        """
        raise NotImplementedError

    def compute(self) -> Any:
        matrix = np.atleast_2d(super().compute())
        counts = np.stack([np.diagonal(matrix), matrix.sum(0), matrix.sum(1)])
        counts = counts[:, counts[1] + counts[2] > 0]
        if not counts.size:
            return float("nan")
        if self.average == "micro":
            counts = counts.sum(1, keepdims=True)
        numerator, denominator = self.ratio(*counts)
        ratios = numerator / np.maximum(denominator, 1)
        if self.average is None:
            return ratios
        return float(np.average(ratios, weights=counts[2] if self.average == "weighted" else None))


class Precision(_Ratio):
    """Of the samples predicted as a class, the fraction that are of it: TP / (TP + FP).

    Classes that neither occur nor are predicted are left out, and 0/0 is 0, as in scikit-learn.

    Parameters
    ----------
    num_classes : int, optional
        As for `ConfusionMatrix`.
    average : {"macro", "micro", "weighted"}, optional
        How the classes are summed up: "macro", the default, is their mean; "micro" the ratio of the sums, which for
        precision, recall and F1 alike is the accuracy; "weighted" the mean weighted by how many samples a class has;
        None gives an array, one ratio for each class.
    threshold : float, default 0.0
        As for `ConfusionMatrix`.

    Examples
    --------
    >>> Precision(2)([0, 1, 1], [0, 0, 1])
    0.75
    """

    def ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return hits, predicted


class Recall(_Ratio):
    """Of the samples of a class, the fraction predicted as it: TP / (TP + FN).

    Parameters
    ----------
    num_classes : int, optional
        As for `ConfusionMatrix`.
    average : {"macro", "micro", "weighted"}, optional
        As for `Precision`; "macro" by default.
    threshold : float, default 0.0
        As for `ConfusionMatrix`.

    Examples
    --------
    >>> Recall(2, average=None)([0, 1, 1], [0, 0, 1])
    array([0.5, 1. ])
    """

    def ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return hits, actual


class F1(_Ratio):
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Parameters
    ----------
    num_classes : int, optional
        As for `ConfusionMatrix`.
    average : {"macro", "micro", "weighted"}, optional
        As for `Precision`; "macro" by default.
    threshold : float, default 0.0
        As for `ConfusionMatrix`.

    Examples
    --------
    >>> round(F1(2)([0, 1, 1], [0, 0, 1]), 4)
    0.6667
    """

    def ratio(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return 2 * hits, predicted + actual
