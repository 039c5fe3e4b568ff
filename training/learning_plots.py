"""Curves that say what to change: the learning rate's range, and what more data would bring."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..optimizers.lr_finder import LRFinderResult
from .checkpoint import FilePath
from .pictures import picture
from .plots import _FAINT, _TRAINING, _VALIDATION, numbers, of_type
from .shown import Picture

__all__ = ["learning_curve_reading", "plot_learning_curve", "plot_lr_find"]


def plot_lr_find(found: LRFinderResult, path: FilePath, *, title: str = "") -> Picture:
    """Write the curve of `weft.optimizers.lr_find` to a PNG file, with the learning rate that it suggests.

    Parameters
    ----------
    found : LRFinderResult
        What `lr_find` returned.
    path : str or path
        The file.
    title : str, default ""
        Stands above the curve.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If there is no step in it.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_lr_find(optim.LRFinderResult([], [], 0.1), "lr.png")
    Traceback (most recent call last):
        ...
    ValueError: `found` must have at least one step, got none
    >>> plot_lr_find(optim.LRFinderResult([0.01, 0.1, 1.0], [2.0, 1.0, 4.0], 0.01), "lr.png")  # doctest: +SKIP
    """
    of_type("found", found, LRFinderResult)
    if not found.lrs:
        raise ValueError("`found` must have at least one step, got none")
    with picture(path, 1, size=(5.2, 3.4), title=title) as (axis,):
        axis.set(xscale="log", xlim=(found.lrs[0] / 1.5, found.lrs[-1] * 1.5))
        axis.plot(found.lrs, found.losses, color=_TRAINING, label="loss before each step")
        axis.axvline(found.suggestion, color=_VALIDATION, linestyle="--", linewidth=1.2)
        at = float(np.interp(np.log(found.suggestion), np.log(found.lrs), found.losses))
        label = f"suggestion, the steepest fall: {found.suggestion:.2g}"
        axis.plot(found.suggestion, at, "o", color=_VALIDATION, markersize=6, markeredgecolor="white", label=label)
        axis.set(xlabel="learning rate", ylabel="loss")
        axis.legend(frameon=False, fontsize=8)
    return Picture(path)


def learning_curve_reading(training: Any, validation: Any, *, target: float | None = None) -> str:
    """One line on errors at growing numbers of samples: whether more data or a better model would help.

    A rule of thumb on the last and the middle column: variance is high where validation is worse than training by more
    than half of its own error, and more data help if validation still falls by more than 5 % from the middle to the end;
    bias is high where training alone misses `target`, or the two have met. Where both hold, both are named.

    Parameters
    ----------
    training : array_like
        (S,) errors on what was trained on, or (S, folds).
    validation : array_like
        (S,) errors on other samples, or (S, folds).
    target : float, optional
        An error that would do.

    Returns
    -------
    str
        Without a line break.

    Examples
    --------
    >>> learning_curve_reading([0.0, 0.01, 0.01], [0.3, 0.2, 0.1])
    'high variance: 0.01 training but 0.1 validation error, which still falls: more data would help'
    """
    train, other = _mean("training", training), _mean("validation", validation)
    errors = f"{train[-1]:.3g} training but {other[-1]:.3g} validation error"
    biased = target is not None and train[-1] > target
    spread = other[-1] - train[-1] > 0.5 * other[-1]
    falls = other[-1] < 0.95 * other[len(other) // 2 - (len(other) < 3)]
    help_ = "more data" if falls else "regularisation"
    if biased and spread:
        return f"high bias and high variance: {errors}, {target:.3g} wanted: a larger model and {help_} would help"
    if biased:
        missed = f"{train[-1]:.3g} training error misses {target:.3g}"
        return f"high bias: {missed}: a larger model would help, more data not"
    if spread:
        return f"high variance: {errors}{', which still falls' if falls else ''}: {help_} would help"
    return f"training and validation have met ({train[-1]:.3g}, {other[-1]:.3g}): only another model gets lower"


def plot_learning_curve(
    sizes: Any,
    training: Any,
    validation: Any,
    path: FilePath,
    *,
    label: str = "error",
    target: float | None = None,
    title: str = "",
) -> Picture:
    """Write errors over the number of training samples to a PNG file; below stands `learning_curve_reading`.

    Parameters
    ----------
    sizes : array_like
        (S,) numbers of training samples, growing.
    training : array_like
        (S,) errors on these, or (S, folds): then the mean and, shaded, the standard deviation.
    validation : array_like
        (S,) errors on other samples, or (S, folds).
    path : str or path
        The file.
    label : str, default "error"
        What is measured; less is better. Of scikit-learn's `learning_curve` with accuracies, pass 1 − scores.
    target : float, optional
        An error that would do, drawn as a line.
    title : str, default ""
        Stands above the curves.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If the lengths differ or are less than 2.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_learning_curve([10, 20], [0.0, 0.1], [0.5], "curve.png")
    Traceback (most recent call last):
        ...
    ValueError: `sizes`, `training` and `validation` must have one length S ≥ 2, got 2, 2 and 1
    >>> plot_learning_curve([10, 20], [0.0, 0.1], [0.5, 0.4], "curve.png")  # doctest: +SKIP
    """
    given = {"sizes": sizes, "training": training, "validation": validation}
    lengths = [len(np.atleast_1d(numbers(name, values))) for name, values in given.items()]
    if len(set(lengths)) > 1 or lengths[0] < 2:
        got = "{}, {} and {}".format(*lengths)
        raise ValueError(f"`sizes`, `training` and `validation` must have one length S ≥ 2, got {got}")
    reading = learning_curve_reading(training, validation, target=target)
    with picture(path, 1, size=(6.6, 3.8), title=title) as (axis,):
        for values, name, colour in ((training, "training", _TRAINING), (validation, "validation", _VALIDATION)):
            mean, folds = _mean(name, values), np.asarray(values, dtype=float).reshape(len(sizes), -1)
            axis.plot(sizes, mean, "o-", color=colour, markersize=4, label=name)
            spread = folds.std(axis=1)
            if spread.any():
                axis.fill_between(sizes, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
        if target is not None:
            axis.axhline(target, color=_FAINT, linestyle="--", linewidth=1, label="target")
        if sizes[0] > 0 and sizes[-1] >= 10 * sizes[0]:
            axis.set_xscale("log")
            axis.set_xticks(sizes, [f"{n:g}" for n in sizes])
            axis.set_xticks([], minor=True)
        axis.set(xlabel="training samples", ylabel=label)
        axis.set_ylim(bottom=0)
        axis.figure.supxlabel(reading, x=0.012, ha="left", fontsize=8)
        axis.legend(frameon=False, fontsize=8)
    return Picture(path)


def _mean(name: str, values: Any) -> np.ndarray:
    errors = numbers(name, values).astype(float)
    if errors.ndim not in (1, 2) or not errors.size or not np.isfinite(errors).all():
        raise ValueError(f"`{name}` must hold finite errors (S,) or (S, folds), got {values!r:.60}")
    return errors.reshape(len(errors), -1).mean(axis=1)
