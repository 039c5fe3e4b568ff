"""Whether probabilities mean what they say: the reliability diagram and the expected calibration error."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend.device.options import integer
from .checkpoint import FilePath
from .pictures import picture
from .plots import _FAINT, _INK, _TRAINING, _VALIDATION, numbers
from .shown import Picture

__all__ = ["Calibration", "calibration", "plot_calibration"]


class Calibration(NamedTuple):
    """What `calibration` returns: one entry for each of M bins of equal width.

    Parameters
    ----------
    confidence : ndarray
        (M,) mean probability of the samples in a bin; NaN where there are none.
    accuracy : ndarray
        (M,) which part of these was right.
    samples : ndarray
        (M,) how many there are.
    error : float
        The expected calibration error, Σₘ samplesₘ / N · |accuracyₘ − confidenceₘ|.

    Examples
    --------
    >>> calibration([[0.75, 0.25]] * 4, [0, 0, 0, 1]).error
    0.0
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    samples: np.ndarray
    error: float


def calibration(probabilities: Any, target: Any, *, bins: int = 15) -> Calibration:
    """Compare probabilities with how often they were right.

        ECE = Σₘ samplesₘ / N · |accuracyₘ − confidenceₘ|

    The bins are (0, 1/M], (1/M, 2/M], …, the first with 0. Of several classes counts the most probable one and whether it
    is the target; of one probability (N,) or (N, 1), that of class 1 and how often the target is 1.

    Parameters
    ----------
    probabilities : array_like
        (N, C), each row adding up to 1, or (N,): what `softmax` or `sigmoid` give, not logits.
    target : array_like
        (N,) the true classes.
    bins : int, default 15
        M.

    Returns
    -------
    Calibration
        Confidence, accuracy and samples of each bin, and the ECE.

    Raises
    ------
    ValueError
        If these are no probabilities, or no classes for them.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.

    Examples
    --------
    >>> calibration([0.9, 0.9, 0.2, 0.2], [1, 0, 0, 0], bins=5).error  # (|0.5 − 0.9| + |0 − 0.2|) / 2
    0.3
    """
    integer("bins", bins, 1)
    p, y = numbers("probabilities", probabilities).astype(np.float64), numbers("target", target)
    p = p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p
    if p.ndim not in (1, 2) or not p.size or y.shape != p.shape[:1]:
        raise ValueError(f"`probabilities` must be (N, C) or (N,), `target` (N,), got shapes {p.shape} and {y.shape}")
    if not (p.min() >= 0 and p.max() <= 1) or (p.ndim == 2 and np.abs(p.sum(axis=1) - 1).max() > 1e-2):
        fix = "pass what softmax or sigmoid give"
        raise ValueError(
            f"`probabilities` must be in [0, 1], rows adding up to 1, got {p.min():g} … {p.max():g}; {fix}"
        )
    classes = 2 if p.ndim == 1 else p.shape[1]
    if ((y < 0) | (y >= classes) | (y != np.floor(y))).any():
        raise ValueError(f"`target` must hold classes in [0, {classes}), got {y.min()} … {y.max()}")
    confidence, hits = (p, y == 1) if p.ndim == 1 else (p.max(axis=1), p.argmax(axis=1) == y)
    where = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(where, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean, part = (np.bincount(where, weights=w, minlength=bins) / count for w in (confidence, hits))
    error = float(np.nansum(count * np.abs(part - mean)) / len(p))
    return Calibration(mean, part, count, round(error, 15))


def plot_calibration(probabilities: Any, target: Any, path: FilePath, *, bins: int = 15, title: str = "") -> Picture:
    """Write a reliability diagram to a PNG file: accuracy over confidence, and how many samples have which confidence.

    Bars below the diagonal are too sure of themselves, bars above it not enough.

    Parameters
    ----------
    probabilities : array_like
        (N, C) or (N,), as for `calibration`.
    target : array_like
        (N,) the true classes.
    path : str or path
        The file.
    bins : int, default 15
        How many bars.
    title : str, default ""
        Stands above the diagram.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If these are no probabilities, or no classes for them.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_calibration([[2.0, -1.0]], [0], "reliability.png")
    Traceback (most recent call last):
        ...
    ValueError: `probabilities` must be in [0, 1], rows adding up to 1, got -1 … 2; pass what softmax or sigmoid give
    >>> plot_calibration([[0.75, 0.25]] * 4, [0, 0, 0, 1], "reliability.png")  # doctest: +SKIP
    """
    found = calibration(probabilities, target, bins=bins)
    is_one = numbers("probabilities", probabilities).squeeze().ndim == 1
    middle, width = (np.arange(bins) + 0.5) / bins, 0.96 / bins
    with picture(path, 2, size=(8.2, 3.6), title=title) as (left, right):
        left.bar(middle, found.accuracy, width, color=_TRAINING, label="observed")
        gap, base = np.abs(found.accuracy - found.confidence), np.minimum(found.accuracy, found.confidence)
        left.bar(
            middle,
            gap,
            width,
            bottom=base,
            fill=False,
            hatch="////",
            edgecolor=_VALIDATION,
            label="gap to the confidence",
        )
        left.plot([0, 1], [0, 1], "--", color=_INK, linewidth=1, label="calibrated")
        left.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability" if is_one else "confidence")
        left.set_ylabel("part of class 1" if is_one else "accuracy")
        left.set_title(f"expected calibration error: {100 * found.error:.1f} %", loc="left", fontsize=9)
        left.legend(fontsize=7, loc="upper left", framealpha=0.9)
        right.bar(middle, 100 * found.samples / found.samples.sum(), width, color=_FAINT)
        right.set(xlim=(0, 1), xlabel=left.get_xlabel(), ylabel="samples (%)")
        right.set_title(f"{found.samples.sum():,} samples", loc="left", fontsize=9)
    return Picture(path)
