"""Windows of a series: what was, and what came next."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.device.options import integer

__all__ = ["SlidingWindows"]


class SlidingWindows:
    """Sample i is x = s[i : i + W], (W, C), and y = s[i + W : i + W + H, 0], (H,), counted from the first that fits.

    Targets lie in [start, stop) alone, inputs before them anywhere: windows of a test part look back into the training part,
    and never the other way. Nothing is copied but what a batch gathers.

    Parameters
    ----------
    series : array of shape (T,) or (T, C)
        s, whose first column is forecast.
    window : int
        W, steps to look back.
    horizon : int
        H, steps to forecast.
    start : int, default 0
        The first target.
    stop : int, optional
        The end of targets. By default T.

    Attributes
    ----------
    origins : range
        Of each sample, the place of its first target.

    Raises
    ------
    ValueError
        If not a single window fits.

    Examples
    --------
    >>> data = SlidingWindows(np.arange(6), window=2, horizon=1, start=4)
    >>> len(data), data[0][0].ravel(), data[0][1]
    (2, array([2, 3]), array([4]))
    """

    def __init__(self, series: Any, window: int, horizon: int, start: int = 0, stop: int | None = None):
        integer("window", window, 1)
        integer("horizon", horizon, 1)
        series = np.asarray(series)
        if series.ndim not in (1, 2):
            raise ValueError(f"`series` must have shape (T,) or (T, C), got {series.shape}")
        self.series = series.reshape(len(series), -1)
        stop = len(series) if stop is None else stop
        integer("stop", stop, 0, len(series))
        integer("start", start, 0, stop)
        self.window, self.horizon = window, horizon
        self.origins = range(max(start, window), stop - horizon + 1)
        if not self.origins:
            raise ValueError(
                f"`series` must have {window} steps to look back and {horizon} to forecast, the last in [{start}, {stop}), got "
                f"{len(series)}; take a smaller window or horizon, or a longer series"
            )

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = self.__getitems__([index])
        return x[0], y[0]

    def __getitems__(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """The batch (n, W, C), (n, H) of these samples."""
        index = np.asarray(indices, np.int64)
        if len(index) and not -len(self) <= index.min() <= index.max() < len(self):
            raise IndexError(f"`indices` must be in [0, {len(self)}), the windows, got {indices}")
        first = (index % len(self) + self.origins[0])[:, None]
        return self.series[first + np.arange(-self.window, 0)], self.series[first + np.arange(self.horizon), 0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} windows of {self.window} + {self.horizon})"
