"""Trainings cut short: a few batches to see whether anything breaks, the same few again and again, or for so long."""

from __future__ import annotations

import datetime
import time
from itertools import islice
from typing import Any

from ..backend.device.options import integer, number
from .processes import any_of

__all__ = ["Limits"]


class Limits:
    """What a `Trainer` is told of how much it shall do; see there.

    Parameters
    ----------
    fast_dev_run : bool or int, default False
        How many batches of training and of validation there are to be at all.
    overfit_batches : int or float, default 0
        How many batches are trained on, or which share of them: the same ones in each epoch, validation included.
    max_time : float, str or timedelta, optional
        After how long a `fit` stops.

    Raises
    ------
    ValueError
        If one of them is out of range, or both of the first two are given.

    Examples
    --------
    >>> Limits(max_time="01:30:00").seconds
    5400.0
    >>> Limits(overfit_batches=2).of([1, 2, 3], [4])
    ([1, 2], [1, 2])
    """

    def __init__(
        self,
        fast_dev_run: bool | int = False,
        overfit_batches: float = 0,
        max_time: float | str | datetime.timedelta | None = None,
    ):
        if not isinstance(fast_dev_run, bool):
            integer("fast_dev_run", fast_dev_run, 0)
        if isinstance(overfit_batches, int):
            integer("overfit_batches", overfit_batches, 0)
        else:
            number("overfit_batches", overfit_batches, 0, 1)
        if fast_dev_run and overfit_batches:
            raise ValueError(
                f"`fast_dev_run` is one epoch, `overfit_batches` many, got both: {fast_dev_run}, {overfit_batches}"
            )
        self.batches, self.overfit = int(fast_dev_run), overfit_batches
        self.seconds = None if max_time is None else _seconds(max_time)
        self._deadline: float | None = None

    def begin(self) -> None:
        """Start the clock."""
        self._deadline = None if self.seconds is None else time.monotonic() + self.seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is up, in any process: all stop behind the same step."""
        return self._deadline is not None and any_of(time.monotonic() >= self._deadline)

    def epochs(self, done: int, asked: int) -> int:
        """How many epochs there are to be.

        Parameters
        ----------
        done, asked : int
            How many there were, and how many were asked for.

        Returns
        -------
        int
            One more at most, for a trial.
        """
        return min(asked, done + 1) if self.batches else asked

    def of(self, train: Any, validation: Any) -> tuple[Any, Any]:
        """The batches to train on and to validate with.

        Parameters
        ----------
        train, validation : iterable of batches
            All of them; `validation` may be None.

        Returns
        -------
        tuple
            Lists of the first ones where there is a limit.

        Raises
        ------
        ValueError
            If a share is asked for of what has no length.
        """
        if self.batches:
            return list(islice(train, self.batches)), None if validation is None else list(
                islice(validation, self.batches)
            )
        if not self.overfit:
            return train, validation
        count = self.overfit
        if isinstance(count, float):
            if not hasattr(train, "__len__"):
                raise ValueError(
                    f"`overfit_batches` must be a number of batches for a loader without length, got {count}"
                )
            count = max(1, round(count * len(train)))
        first = list(islice(train, count))
        return first, None if validation is None else first


def _seconds(max_time: Any) -> float:
    if isinstance(max_time, datetime.timedelta):
        max_time = max_time.total_seconds()
    if isinstance(max_time, str):
        parts = max_time.split(":")
        if len(parts) not in (3, 4) or not all(part.isdecimal() for part in parts):
            raise ValueError(f"`max_time` must be seconds, a timedelta or text as '01:30:00', got {max_time!r}")
        max_time = sum(int(part) * unit for part, unit in zip(reversed(parts), (1, 60, 3600, 86400)))
    number("max_time", max_time, 0)
    return float(max_time)
