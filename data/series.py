"""A series of numbers in order of time, from a CSV file: its values, when they are, and how the time goes on."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

from .files import FilePath, fault, read_bytes, utf8

__all__ = ["TimeSeries", "read_series"]

# Tried in turn on the whole column: the first that reads all of it, in an order that rises, is the one.
FORMATS = (
    *("%Y-%m", "%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d"),
    *("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"),
)
TIME, DIGIT = re.compile(r"(date|time|timestamp|year|month|day)\b", re.IGNORECASE), re.compile(r"\d")
MISSING = ("", "na", "n/a", "nan", "null", "none")


@dataclass(frozen=True)
class TimeSeries:
    """Values (T,) at regular times.

    Parameters
    ----------
    name : str
        Of the column.
    values : array of float64, shape (T,)
        Finite.
    start : int
        The first time, in units of `unit`: since 1970 for dates.
    step : int, default 1
        Units between two values.
    unit : {"", "M", "D", "s"}, default ""
        Numbers, months, days, seconds.
    format : str, default ""
        How dates are written.
    filled : int, default 0
        Values that were missing and repeat the one before.

    Examples
    --------
    >>> series = TimeSeries("passengers", np.array([112.0, 118.0]), start=-252, unit="M", format="%Y-%m")
    >>> series.times(0, 4)
    ['1949-01', '1949-02', '1949-03', '1949-04']
    """

    name: str
    values: np.ndarray
    start: int = 0
    step: int = 1
    unit: str = ""
    format: str = ""
    filled: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def times(self, first: int, stop: int) -> list[str]:
        """When values are, also beyond the last one.

        Parameters
        ----------
        first, stop : int
            Their places.

        Returns
        -------
        list of str
            In the format of the file.

        Raises
        ------
        ValueError
            If one is a date beyond the year 9999.
        """
        at = [self.start + self.step * i for i in range(first, stop)]
        if not self.unit:
            return [str(i) for i in at]
        dates = np.array(at, np.int64).astype(f"datetime64[{self.unit}]").astype("datetime64[s]").tolist()
        if not all(isinstance(date, datetime) for date in dates):
            most = next(i for i, date in enumerate(dates) if not isinstance(date, datetime)) + first
            raise ValueError(f"`stop` must be at most {most}, since dates end with the year 9999, got {stop}")
        return [date.strftime(self.format) for date in dates]


def read_series(path: FilePath, column: str | int | None = None, *, fill: bool = False) -> TimeSeries:
    """The series in a CSV file: one column of numbers, and one of dates or of numbers that rise evenly, if there is one.

    The first line may have names; columns end at commas, semicolons or tabs. Dates are ISO's, with or without day and time,
    or 12/31/1990, 31/12/1990, 31.12.1990: the first of these in which all of them rise.

    Parameters
    ----------
    path : str or path
        The file.
    column : str or int, optional
        Name of the column of values, or its number from 1. By default the only one with numbers.
    fill : bool, default False
        Whether a value that is missing (an empty field, NaN, a date that is left out) repeats the one before.

    Returns
    -------
    TimeSeries
        All of it.

    Raises
    ------
    DataError
        With the line, for what is no number or missing; if there is no such column, or more than one that it could be; if
        times do not rise evenly.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = pathlib.Path(folder, "a.csv").write_text("Date,Price\\n2024-12-30,5\\n2024-12-31,6.5\\n")
    ...     series = read_series(folder + "/a.csv")
    >>> series.name, series.values.tolist(), series.times(2, 4)
    ('Price', [5.0, 6.5], ['2025-01-01', '2025-01-02'])
    """
    names, rows, lines = _table(path)
    column = None if column is None else str(column)
    times = _times_column(path, names, rows, lines, column)
    place = _values_column(path, names, rows, column, times)
    values = np.array([_value(path, row[place], line, names[place]) for row, line in zip(rows, lines)])
    if not fill and np.isnan(values).any():
        line = lines[int(np.isnan(values).argmax())]
        raise fault(
            path,
            f"a number in column {names[place]!r} of line {line}",
            "none",
            "fill it in, or give --fill (fill=True)",
        )
    if times is None:
        start, step, unit, form, at = 0, 1, "", "", np.arange(len(values))
    else:
        start, step, unit, form, at = _when(path, [row[times] for row in rows], lines, fill)
    full = np.full(at[-1] + 1, np.nan)
    full[at] = values
    known = ~np.isnan(full)
    if not known[0]:
        raise fault(path, f"a number to begin with in line {lines[0]}", "none", "begin at the first number")
    full = full[np.maximum.accumulate(np.where(known, np.arange(len(full)), 0))]
    return TimeSeries(names[place], full, start, step, unit, form, int((~known).sum()))


def _table(path: FilePath) -> tuple[list[str], list[list[str]], list[int]]:
    """Names, rows and the numbers of their lines."""
    text = utf8(path, read_bytes(path))
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    rows, lines = [], []
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append([field.strip() for field in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise fault(path, "a CSV file", f"{error} in line {reader.line_num}", "name a table of text") from None
    if rows and any(_number(field) is None and not _is_date(field) for field in rows[0]):
        names, rows, lines = rows[0], rows[1:], lines[1:]
    else:
        names = [str(i + 1) for i in range(len(rows[0]) if rows else 0)]
    for row, line in zip(rows, lines):
        if len(row) != len(names):
            raise fault(path, f"{len(names)} fields in line {line}", str(len(row)), "mend that line")
    if len(rows) < 2:
        raise fault(path, "at least two lines with numbers", str(len(rows)), "name a file with a series")
    return names, rows, lines


def _number(field: str) -> float | None:
    if "_" in field:  # which Python, but nobody's table, has in numbers
        return None
    with suppress(ValueError):
        return float(field)
    return math.nan if field.lower() in MISSING else None


def _is_date(field: str) -> bool:
    return any(_parsed([field], form) for form in FORMATS)


def _parsed(fields: Sequence[str], form: str) -> list[datetime]:
    """Dates; none if one of them is not in this format."""
    try:
        return [datetime.strptime(field, form) for field in fields]
    except ValueError:
        return []


def _times_column(
    path: FilePath, names: list[str], rows: list[list[str]], lines: list[int], column: str | None
) -> int | None:
    """The first column of dates, else the first one if it is named like times, or its numbers are whole and rise.

    Times that are not understood must not be passed over: what is not in order would be taken as if it were.
    """
    for i in range(len(names)):
        if _is_date(rows[0][i]):
            return i
    if len(names) < 2 or column in (names[0], "1"):
        return None
    numbers = [_number(row[0]) for row in rows]
    if TIME.match(names[0]) and all(n is not None and n.is_integer() for n in numbers):
        return 0
    if all(n is None for n in numbers) and (TIME.match(names[0]) or all(DIGIT.search(row[0]) for row in rows)):
        known = f"dates such as 1990-12, 1990-12-31 or 12/31/1990 in column {names[0]!r}"
        raise fault(path, known, f"{rows[0][0][:40]!r} in line {lines[0]}", "write them so, or leave the column out")
    whole = all(n is not None and n.is_integer() for n in numbers)
    return 0 if whole and all(a < b for a, b in pairwise(n for n in numbers if n is not None)) else None


def _values_column(
    path: FilePath, names: list[str], rows: list[list[str]], column: str | None, times: int | None
) -> int:
    if column is not None:
        if column in names:
            return names.index(column)
        if column.isdecimal() and 1 <= int(column) <= len(names):
            return int(column) - 1
        raise fault(path, f"a column {column!r}", ", ".join(names), "name one of these with --column")
    found = [i for i in range(len(names)) if i != times and any(_is_finite(row[i]) for row in rows)]
    if len(found) != 1:
        what = ", ".join(names[i] for i in found) or "none"
        raise fault(path, "one column of numbers", what, "name it with --column" if found else "name another file")
    return found[0]


def _is_finite(field: str) -> bool:
    number = _number(field)
    return number is not None and math.isfinite(number)


def _value(path: FilePath, field: str, line: int, name: str) -> float:
    found = _number(field)
    if found is None or math.isinf(found):
        raise fault(path, f"a number in column {name!r} of line {line}", repr(field[:40]), "mend that line")
    return found


def _when(path: FilePath, fields: list[str], lines: list[int], fill: bool) -> tuple[int, int, str, str, np.ndarray]:
    """Start, step, unit and format, and at which step each value is."""
    at, unit, form = _counted(path, fields, lines)
    apart = np.diff(at)
    if (apart <= 0).any():
        i = int((apart <= 0).argmax())
        raise fault(
            path, f"a later time in line {lines[i + 1]} than {fields[i]!r}", repr(fields[i + 1]), "sort the lines"
        )
    step = int(np.bincount(apart).argmax()) if apart.max() < 10**7 else int(np.median(apart))
    wrong = apart % step != 0 if fill else apart != step
    if wrong.any():
        i = int(wrong.argmax())
        is_monthly = unit == "D" and 28 <= apart.min() <= apart.max() <= 31
        fix = (
            "write months as 1990-01"
            if is_monthly
            else "make the times regular"
            if fill
            else "fill in what is missing, or give --fill (fill=True)"
        )
        what = f"{int(apart[i])} from {fields[i]!r} to {fields[i + 1]!r}"
        units = {"": "", "M": " months", "D": " days", "s": " seconds"}[unit]
        raise fault(path, f"a step of {step}{units} to line {lines[i + 1]}", what, fix)
    if (at[-1] - at[0]) // step > 100 * len(at):
        raise fault(path, "times without long gaps", f"{fields[0]!r} to {fields[-1]!r}", "leave out what is far away")
    return int(at[0]), step, unit, form, (at - at[0]) // step


def _counted(path: FilePath, fields: list[str], lines: list[int]) -> tuple[np.ndarray, str, str]:
    """Times as whole numbers of a unit, the unit, and the format."""
    tried = [(form, dates) for form in FORMATS if (dates := _parsed(fields, form))]
    for form, dates in [t for t in tried if all(a < b for a, b in pairwise(t[1]))] or tried[:1]:
        exact = np.array(dates, "datetime64[s]")
        is_daily, first = form.endswith(("%d", "%Y")), {date.day for date in dates} == {1}
        unit = "M" if form == "%Y-%m" or (is_daily and first and len(dates) > 1) else "D" if is_daily else "s"
        return exact.astype(f"datetime64[{unit}]").astype(np.int64), unit, form
    valid = max(([bool(_parsed([field], form)) for field in fields] for form in FORMATS), key=sum)
    if any(valid):
        i, like = valid.index(False), fields[valid.index(True)]
        raise fault(path, f"a date, such as {like!r}, in line {lines[i]}", repr(fields[i][:40]), "mend that line")
    for field, line in zip(fields, lines):
        number = _number(field)
        if number is None or not number.is_integer():
            known = "a date such as 1990-12-31, or a whole number,"
            raise fault(path, f"{known} in line {line}", repr(field[:40]), "mend that line")
    return np.array([int(float(field)) for field in fields], np.int64), "", ""
