"""Plots, as PNG files: learning curves with a reading of bias and variance, and the confusion matrix."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend.device.devices import to_numpy
from ..backend.tape.tensor import Tensor, innermost
from .atomic import write_atomically
from .checkpoint import FilePath
from .shown import Picture

__all__ = ["bias_variance", "plot_confusion", "plot_history"]

_TRAINING, _VALIDATION, _INK, _FAINT = "#2a78d6", "#d95926", "#333333", "#888888"  # apart also for the colour-blind
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.edgecolor": "#bbbbbb", "axes.labelcolor": _INK, "text.color": _INK, "xtick.color": _FAINT,
    "ytick.color": _FAINT, "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.6, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "savefig.dpi": 150, "lines.linewidth": 1.8, "lines.solid_capstyle": "round",
}  # fmt: skip


def bias_variance(history: Sequence[dict[str, float]], target_accuracy: float | None = None) -> str:
    """One line on what a history says: high bias, high variance, overfitting, or neither; and what to try.

    The error of training is what bias leaves (measured, as everywhere, while the weights still move, and with
    dropout); the gap to validation is variance. In accuracy, where there is one, else in loss. The thresholds are
    rules of thumb: bias is high where more than 5 % of the training set is wrong (or more than 1 − `target_accuracy`),
    variance where validation is worse by more than 2 % and by more than the training error; overfitting is a
    validation loss 10 % above its best, in an earlier epoch.

    Parameters
    ----------
    history : sequence of dict
        `Trainer.history`.
    target_accuracy : float, optional
        What the training should reach. By default 0.95.

    Returns
    -------
    str
        Without a line break.

    Examples
    --------
    >>> bias_variance([{"loss": 0.01, "accuracy": 0.999, "val_loss": 0.02, "val_accuracy": 0.995}])
    'a good fit: 99.9 % training and 99.5 % validation accuracy'
    """
    if not history or "val_loss" not in history[-1]:
        return "no validation data: bias and variance cannot be told apart"
    last = history[-1]
    losses = [row.get("val_loss", math.nan) for row in history]
    if not math.isfinite(last["loss"]) or not math.isfinite(last["val_loss"]):
        return "diverged: the loss is not finite. Lower the learning rate or clip the gradients"
    best = int(np.nanargmin(losses))
    overfits = losses[-1] > 1.1 * losses[best]
    if "val_accuracy" not in last:
        if overfits:
            rose = f"from {losses[best]:.3g} to {losses[-1]:.3g}"
            return f"overfitting since epoch {best + 1}: the validation loss rose {rose}"
        if last["val_loss"] > 1.5 * last["loss"]:
            return f"high variance: the loss is {last['loss']:.3g} in training but {last['val_loss']:.3g} in validation"
        both = f"{last['loss']:.3g} in training, {last['val_loss']:.3g} in validation"
        return f"losses agree ({both}): variance is low"
    bias, gap = 1 - last["accuracy"], last["accuracy"] - last["val_accuracy"]
    training, validation = _percent(last["accuracy"]), _percent(last["val_accuracy"])
    if bias > (0.05 if target_accuracy is None else 1 - target_accuracy) and gap <= bias:
        advice = "A larger model, longer training or less regularisation would help"
        return f"high bias: only {training} training accuracy. {advice}"
    if gap > max(0.02, bias):
        advice = "More data, augmentation, dropout or weight decay would help"
        return f"high variance: {training} training but {validation} validation accuracy. {advice}"
    if overfits:
        return f"{validation} validation accuracy; the validation loss was lowest at epoch {best + 1}: stop there"
    return f"a good fit: {training} training and {validation} validation accuracy"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def plot_history(
    history: Sequence[dict[str, float]], path: FilePath, *, title: str = "", test: dict[str, float] | None = None
) -> Picture:
    """Write the learning curves of a `Trainer.history` to a PNG file: loss, and accuracy (as error) if there is one.

    Both on logarithmic scales where values span more than a factor of 4, so that late progress shows. Below stands the
    reading of `bias_variance`. One epoch is marked in all panels: that of the lowest validation loss, which `Checkpoint`
    keeps.

    Parameters
    ----------
    history : sequence of dict
        `Trainer.history`.
    path : str or path
        The file.
    title : str, default ""
        Stands above the curves.
    test : dict, optional
        Results on the test set ("loss", "accuracy"), drawn as a point.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        For an empty history.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_history([], "curves.png")
    Traceback (most recent call last):
        ...
    ValueError: `history` must have at least one epoch, got none
    >>> plot_history([{"epoch": 1, "loss": 0.5}], "curves.png")  # doctest: +SKIP
    """
    if not isinstance(history, Sequence) or not all(isinstance(row, dict) and "epoch" in row for row in history):
        raise TypeError(
            f"`history` must be a sequence of dicts with an epoch each, as `Trainer.history`, got {history!r:.60}"
        )
    if not history:
        raise ValueError("`history` must have at least one epoch, got none")
    panels = [("loss", "loss", lambda v: v)]
    if "accuracy" in history[-1]:
        panels.append(("accuracy", "error (%)", lambda v: 100 * (1 - v)))
    with _figure(len(panels)) as (figure, axes):
        best = _best_row(history)
        for i, (axis, (column, label, scale)) in enumerate(zip(axes, panels)):
            _draw_curves(axis, history, column, scale, test or {}, best, named=i == 0)
            axis.set_title(label, loc="left", fontsize=9, color=_INK)
            axis.set_xlabel("epoch")
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
        figure.text(0.012, 0.012, bias_variance(history), fontsize=8)
        figure.tight_layout(rect=(0, 0.035, 1, 1))
        _write(figure, path)
    return Picture(path)


def _best_row(history: Sequence[dict[str, float]]) -> int | None:
    """Which of several rows has the lowest validation loss; None if none has one."""
    losses = [row.get("val_loss", math.nan) for row in history]
    return None if len(losses) < 2 or np.isnan(losses).all() else int(np.nanargmin(losses))


def _draw_curves(
    axis: Any,
    history: Sequence[dict[str, Any]],
    column: str,
    scale: Any,
    test: dict[str, float],
    best: int | None,
    named: bool,
) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    epochs = [row["epoch"] for row in history]
    curves = {
        name: (colour, [scale(row.get(key, math.nan)) for row in history])
        for name, key, colour in (("training", column, _TRAINING), ("validation", f"val_{column}", _VALIDATION))
    }
    seen = [v for _, values in curves.values() for v in values] + ([scale(test[column])] if column in test else [])
    floor = _set_scale(axis, [v for v in seen if math.isfinite(v)])
    for name, (colour, values) in curves.items():
        shown = np.maximum(np.asarray(values), floor)
        if np.isnan(shown).all():
            continue
        axis.plot(epochs, shown, color=colour, label=name, marker="o" if len(epochs) < 3 else None, markersize=4)
        if name == "validation" and best is not None:
            marker = {"markersize": 5, "markeredgecolor": "white", "clip_on": False}
            axis.plot(epochs[best], shown[best], "o", color=colour, label="lowest validation loss", **marker)
    if column in test:
        value = max(scale(test[column]), floor)
        axis.plot(
            epochs[-1], value, "D", color=_INK, markersize=5, markeredgecolor="white", label="test", clip_on=False
        )
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(epochs) > 1:
        axis.set_xlim(epochs[0] - 0.02 * len(epochs), epochs[-1] + 0.03 * len(epochs))
    if named:
        axis.legend(frameon=False, fontsize=8)


def _set_scale(axis: Any, values: list[float]) -> float:
    """Make the y axis logarithmic for a wide range. Returns the least value that it shows: what is 0 stands there."""
    from matplotlib.ticker import LogLocator, NullFormatter

    positive = [v for v in values if v > 0]
    if not positive or max(positive) <= 4 * min(positive):
        return -math.inf
    floor = min(positive) / (2 if min(values) <= 0 else 1)
    axis.set_yscale("log")
    axis.set_ylim(floor / 1.15, max(positive) * 1.15)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(positive) < 1000 * floor else (1,)))
    axis.yaxis.set_minor_formatter(NullFormatter())
    return floor


def of_type(name: str, value: Any, kind: type) -> None:
    """TypeError with its name if what is to be drawn is of another type."""
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` must be a {kind.__name__}, got {value!r:.60}")


def numbers(name: str, values: Any) -> np.ndarray:
    """What is to be drawn, as real numbers in memory of the host; TypeError with its name if it is anything else."""
    found = to_numpy(innermost(values)) if isinstance(values, Tensor) else np.asarray(values)
    if found.dtype.kind in "biu" or found.dtype == np.float64:
        return found
    try:
        return found.astype(np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be an array of numbers, got {values!r:.60}") from None


def plot_confusion(matrix: Any, path: FilePath, *, class_names: Sequence[str] = (), title: str = "") -> Picture:
    """Write a confusion matrix (C, C), rows the true classes, to a PNG file.

    Colour is the share of the row, on a square-root scale, so that rare confusions show; numbers stand in the cells of
    up to 20 classes.

    Parameters
    ----------
    matrix : array_like
        (C, C) counts, as `ConfusionMatrix` gives them.
    path : str or path
        The file.
    class_names : sequence of str, default ()
        C names. By default the numbers of the classes.
    title : str, default ""
        Stands above the matrix.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If the matrix is not square or holds no counts, or there are not as many names.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_confusion([[1, 0], [0, 1]], "confusion.png", class_names=["cat"])
    Traceback (most recent call last):
        ...
    ValueError: `matrix` must be (C, C) with a name for each class, got shape (2, 2) and 1 names
    >>> plot_confusion([[1, 0], [0, 1]], "confusion.png")  # doctest: +SKIP
    """
    matrix = numbers("matrix", matrix)
    count = len(matrix) if matrix.ndim else 0
    names = list(class_names) or [str(i) for i in range(count)]
    if matrix.shape != (count, count) or len(names) != count:
        raise ValueError(
            f"`matrix` must be (C, C) with a name for each class, got shape {matrix.shape} and {len(names)} names"
        )
    if not (matrix >= 0).all() or not np.isfinite(matrix).all():
        raise ValueError(f"`matrix` must hold counts ≥ 0, got {matrix.min()} … {matrix.max()}")
    side = max(3.2, min(0.42 * count + 1.4, 9))
    with _figure(1, size=(side + 0.8, side)) as (figure, (axis,)):
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        drawn = axis.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
        shown = (0, 1, 5, 20, 50, 100)
        bar = figure.colorbar(drawn, ax=axis, label="of the true class (%)", fraction=0.045, ticks=np.sqrt(shown) / 10)
        bar.ax.set_yticklabels(map(str, shown))
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
        axis.set(xlabel="predicted", ylabel="true")
        if count <= 50:
            axis.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 3 else 0)
            axis.set_yticks(range(count), names)
        if count <= 20:
            for i, j in zip(*np.nonzero(matrix)):
                colour = "white" if share[i, j] > 0.4 else _INK
                axis.text(j, i, f"{matrix[i, j]}", ha="center", va="center", fontsize=7, color=colour)
        axis.set_title(title, fontsize=10, fontweight="bold", loc="left")
        figure.tight_layout()
        _write(figure, path)
    return Picture(path)


@contextmanager
def _figure(panels: int, size: tuple[float, float] | None = None) -> Iterator[tuple[Any, Any]]:
    """A figure in our style, which no window system and no global state of matplotlib has a part in."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f'`plots` needs matplotlib ({error}): pip install "weft[train]"') from None
    with rc_context(_STYLE):
        figure = Figure(figsize=size or (1.2 + 3.6 * panels, 3.4))
        FigureCanvasAgg(figure)
        yield figure, [figure.add_subplot(1, panels, i + 1) for i in range(panels)]


def _write(figure: Any, path: FilePath) -> None:
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})  # the same picture, the same bytes
    write_atomically(path, image.getvalue())
