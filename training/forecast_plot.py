"""A picture of forecasts: the truth, what was forecast of it, and what the baseline would have said."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import TimeSeries
from .checkpoint import FilePath
from .plots import _FAINT, _INK, _TRAINING, _VALIDATION, _figure, _write
from .shown import Picture

__all__ = ["plot_forecast"]

SHOWN = 100  # steps, more or less


def plot_forecast(
    series: TimeSeries,
    forecasts: dict[int, np.ndarray],
    path: FilePath,
    *,
    baselines: dict[int, np.ndarray] | None = None,
    baseline: str = "",
    title: str = "",
) -> Picture:
    """Write a picture of forecasts to a PNG file, beside the series where that is known.

    Where they are many, the last ones are shown.

    Parameters
    ----------
    series : TimeSeries
        What is known.
    forecasts : dict of int to array of shape (H,)
        By the place of their first value.
    path : str or path
        The file.
    baselines : dict, optional
        As `forecasts`.
    baseline : str, default ""
        What they are called.
    title : str, default ""
        Stands above.

    Returns
    -------
    Picture
        The file.

    Raises
    ------
    ValueError
        If there is no forecast.
    ImportError
        If matplotlib is missing.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> plot_forecast(TimeSeries("x", np.zeros(3)), {}, "forecast.png")
    Traceback (most recent call last):
        ...
    ValueError: `forecasts` must hold at least one, got none
    """
    if not forecasts:
        raise ValueError("`forecasts` must hold at least one, got none")
    horizon = max(map(len, forecasts.values()))
    chosen = sorted(forecasts)[-max(1, round(SHOWN / 2 / horizon)) :]
    stop = max(i + len(forecasts[i]) for i in chosen)
    first = max(0, min(chosen[0] - 2 * horizon, stop - SHOWN))
    with _figure(1, size=(8, 3.4)) as (figure, (axis,)):
        known = np.arange(first, min(stop, len(series)))
        axis.plot(known, series.values[known], color=_INK, label=series.name, linewidth=1.4)
        _draw(axis, {i: (baselines or {})[i] for i in chosen if i in (baselines or {})}, baseline, _FAINT, "--")
        _draw(axis, {i: forecasts[i] for i in chosen}, "forecast", _VALIDATION, "-")
        for i in chosen:
            axis.axvline(i - 0.5, color=_TRAINING, linewidth=0.6, alpha=0.5)
        axis.set(xlabel="time (a line where each forecast begins)", ylabel=series.name)
        places = np.unique(np.linspace(first, stop - 1, 7).astype(int))
        axis.set_xticks(places, [series.times(i, i + 1)[0] for i in places.tolist()])
        axis.set_xlim(first - 1, stop)
        axis.legend(frameon=False, fontsize=8, loc="upper left", ncols=3, bbox_to_anchor=(0, 1.12))
        figure.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold")
        figure.tight_layout()
        _write(figure, path)
    return Picture(path)


def _draw(axis: Any, curves: dict[int, np.ndarray], label: str, colour: str, style: str) -> None:
    for n, (first, values) in enumerate(sorted(curves.items())):
        shown = label if n == 0 else None
        marker = "o" if len(values) == 1 else None
        at = np.arange(first, first + len(values))
        axis.plot(at, values, color=colour, label=shown, linestyle=style, marker=marker, markersize=4, linewidth=1.5)
