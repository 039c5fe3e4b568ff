"""What a regression predicts beside what is true, as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from .checkpoint import FilePath
from .plots import _FAINT, _INK, _TRAINING, _figure, _write, numbers
from .shown import Picture

__all__ = ["plot_parity"]

MOST = 5000  # points that are drawn, evenly chosen


def plot_parity(true: Any, predicted: Any, path: FilePath, *, title: str = "", unit: str = "") -> Picture:
    """Write a parity plot to a PNG file: predicted over true values, which perfect predictions put on the diagonal.

    Of several targets each has a panel. Above stand the coefficient of determination and the root mean squared error.

    Parameters
    ----------
    true, predicted : array_like
        (N,) or (N, K), K at most 6.
    path : str or path
        The file.
    title : str, default ""
        Stands above.
    unit : str, default ""
        What the values are, for the axes.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If there are no values, or they differ in shape.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_parity([1.0, 2.0], [1.0], "parity.png")
    Traceback (most recent call last):
        ...
    ValueError: `predicted` must have the shape of `true`, (N,) or (N, K) with K at most 6, got (1,) and (2,)
    >>> plot_parity([1.0, 2.0], [1.1, 1.9], "parity.png", unit="price")  # doctest: +SKIP
    """
    true, predicted = numbers("true", true).astype(np.float64), numbers("predicted", predicted).astype(np.float64)
    if true.shape != predicted.shape or true.ndim not in (1, 2) or not true.size or true.shape[1:] > (6,):
        raise ValueError(
            f"`predicted` must have the shape of `true`, (N,) or (N, K) with K at most 6, got {predicted.shape} and {true.shape}"
        )
    true, predicted = (a.reshape(len(a), -1) for a in (true, predicted))
    count = true.shape[1]
    shown = np.unique(np.linspace(0, len(true) - 1, MOST).astype(int))
    with _figure(count, size=(3.6 * count, 3.8)) as (figure, axes):
        for k, axis in enumerate(axes):
            y, found = true[:, k], predicted[:, k]
            ends = min(y.min(), found.min()), max(y.max(), found.max())
            margin = 0.04 * (ends[1] - ends[0]) or 1.0
            limits = ends[0] - margin, ends[1] + margin
            axis.plot(limits, limits, color=_FAINT, linewidth=1, linestyle="--", label="perfect")
            axis.scatter(y[shown], found[shown], s=9, alpha=0.5, color=_TRAINING, linewidths=0, label="samples")
            which = f" {k + 1}" if count > 1 else ""
            of = f" {unit}{which}" if unit else which
            axis.set(xlabel=f"true{of}", ylabel=f"predicted{of}", xlim=limits, ylim=limits, aspect="equal")
            axis.locator_params(nbins=5)
            axis.set_title(_quality(y, found), fontsize=8, color=_INK)
            axis.legend(frameon=False, fontsize=8, loc="upper left")
        figure.suptitle(title, x=0.012, ha="left", fontsize=10, fontweight="bold")
        figure.tight_layout()
        _write(figure, path)
    return Picture(path)


def _quality(true: np.ndarray, predicted: np.ndarray) -> str:
    error, spread = ((true - predicted) ** 2).sum(), ((true - true.mean()) ** 2).sum()
    rmse = f"RMSE {np.sqrt(error / len(true)):.5g}"
    return f"R² {1 - error / spread:.4f}, {rmse}" if spread > 0 else rmse
