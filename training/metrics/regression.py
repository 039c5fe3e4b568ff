"""Metrics of regression, and perplexity. Outputs and targets are real (N, …), of one shape; sums are in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...backend.device.devices import namespace_of
from .classification import check_classes
from .metric import Metric, raw

__all__ = ["MAE", "MSE", "R2", "RMSE", "Perplexity"]


def _as_float64(output: Any, target: Any) -> tuple[Any, Any, Any]:
    """The namespace, and both as float64 of one shape."""
    output, target = raw(output), raw(target)
    if output.shape != target.shape:  # (N, 1) against (N,) would broadcast to (N, N) and look like a result
        raise ValueError(f"`target` must have the output's shape {tuple(output.shape)}, got {tuple(target.shape)}")
    xp = namespace_of(output)
    return xp, xp.astype(output, xp.float64), xp.astype(target, xp.float64)


class MSE(Metric):
    """Mean squared error: Σ (ŷ − y)² / N over all elements.

    Examples
    --------
    >>> MSE()([1.0, 2.0], [1.0, 4.0])
    2.0
    """

    start = {"sum": 0.0, "count": 0}

    def update(self, output: Any, target: Any) -> None:
        xp, output, target = _as_float64(output, target)
        self.sums["sum"] = self.sums["sum"] + xp.sum(self.error(xp, output - target))
        self.sums["count"] += target.size

    def error(self, xp: Any, difference: Any) -> Any:
        """The error of each element.

        Parameters
        ----------
        xp : namespace
            Of the array.
        difference : array
            ŷ − y.

        Returns
        -------
        array
            Of the same shape.
        """
        return difference * difference

    def compute(self) -> float:
        sums = self.read()
        return float(sums["sum"] / sums["count"]) if sums["count"] else float("nan")


class RMSE(MSE):
    """Root mean squared error: √MSE, over all elements together.

    Examples
    --------
    >>> RMSE()([1.0, 2.0, 3.0, 0.0], [1.0, 4.0, 3.0, 0.0])
    1.0
    """

    def compute(self) -> float:
        return math.sqrt(super().compute())


class MAE(MSE):
    """Mean absolute error: Σ |ŷ − y| / N over all elements.

    Examples
    --------
    >>> MAE()([1.0, 2.0], [1.0, 4.0])
    1.0
    """

    def error(self, xp: Any, difference: Any) -> Any:
        return xp.abs(difference)


class R2(Metric):
    """Coefficient of determination: 1 − Σ (ŷ − y)² / Σ (y − ȳ)², the mean over outputs (all axes but the first).

    1 is perfect, 0 is no better than predicting the mean. Where y is constant it is 1 if predicted exactly and 0
    otherwise, as in scikit-learn. The spread of y is accumulated by the pairwise rule of Chan, Golub and LeVeque
    (1979), which does not cancel.

    Examples
    --------
    >>> R2()([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.7857142857142857
    """

    start = {"count": 0, "mean": 0.0, "spread": 0.0, "error": 0.0}

    def update(self, output: Any, target: Any) -> None:
        xp, output, target = _as_float64(output, target)
        output, target = (xp.reshape(a, (a.shape[0], -1)) for a in (output, target))
        n, before = target.shape[0], self.sums["count"]
        count = before + n
        mean, spread, error = (xp.asarray(self.sums[k], dtype=xp.float64) for k in ("mean", "spread", "error"))
        mean_here = xp.mean(target, axis=0)
        spread_here = xp.sum((target - mean_here) ** 2, axis=0)
        shift = mean_here - mean
        self.sums = {
            "count": count,
            "mean": mean + shift * (n / count),
            "spread": spread + spread_here + shift * shift * (before * n / count),
            "error": error + xp.sum((output - target) ** 2, axis=0),
        }

    def merge(self, parts: Sequence[dict[str, Any]]) -> None:
        self.sums = dict(self.start)
        for part in parts:
            n, before = part["count"], self.sums["count"]
            if not n:
                continue
            shift = part["mean"] - self.sums["mean"]
            self.sums = {
                "count": before + n,
                "mean": self.sums["mean"] + shift * (n / (before + n)),
                "spread": self.sums["spread"] + part["spread"] + shift * shift * (before * n / (before + n)),
                "error": self.sums["error"] + part["error"],
            }

    def compute(self) -> float:
        sums = self.read()
        if not sums["count"]:
            return float("nan")
        error, spread = np.atleast_1d(sums["error"]), np.atleast_1d(sums["spread"])
        constant = np.where(error == 0, 1.0, 0.0)
        scores = np.where(spread > 0, 1 - error / np.where(spread > 0, spread, 1.0), constant)
        return float(scores.mean())


class Perplexity(Metric):
    """Perplexity, exp of the mean cross-entropy per token: exp(−Σ log softmax(scores)[target] / N).

    Scores (N, C, …), targets (N, …) as for `CrossEntropyLoss`.

    Parameters
    ----------
    ignore_index : int, default -100
        Targets equal to it don't count.

    Raises
    ------
    ValueError
        From `update`, if outputs are not scores.

    Examples
    --------
    >>> round(Perplexity()([[0.0, 0.0, 0.0, 0.0]], [2]), 6)
    4.0
    """

    start = {"sum": 0.0, "count": 0}

    def __init__(self, *, ignore_index: int = -100):
        self.ignore_index = ignore_index

    def update(self, output: Any, target: Any) -> None:
        output, target = raw(output), raw(target)
        if output.ndim != target.ndim + 1:
            raise ValueError(
                f"`output` must be scores (N, C, …) for targets of shape {target.shape}, got shape {output.shape}"
            )
        xp = namespace_of(output)
        kept = target != self.ignore_index
        target = xp.where(kept, xp.astype(target, xp.int64), 0)
        check_classes(target, output.shape[1])
        index = xp.expand_dims(target, axis=1)
        shifted = xp.astype(output, xp.float64)
        shifted = shifted - xp.max(shifted, axis=1, keepdims=True)
        lse = xp.log(xp.sum(xp.exp(shifted), axis=1))
        nll = lse - xp.take_along_axis(shifted, index, axis=1)[:, 0, ...]
        self.sums["sum"] = self.sums["sum"] + xp.sum(xp.where(kept, nll, 0.0))
        self.sums["count"] = self.sums["count"] + xp.count_nonzero(kept)

    def compute(self) -> float:
        sums = self.read()
        return math.exp(sums["sum"] / sums["count"]) if sums["count"] else float("nan")
