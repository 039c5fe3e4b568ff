"""What numbers among the options of a layer, an optimizer, a schedule or a callback must be."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["UnknownName", "did_you_mean", "integer", "number"]


def number(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    infinite: bool = False,
) -> None:
    """Raise unless it is a real number in low ≤ value ≤ high, above < value < below, and finite (or not `infinite` alone)."""
    try:
        given = (
            math.nan
            if isinstance(value, str | bytes | bool | np.bool_ | np.timedelta64 | np.datetime64)
            else float(value)
        )
    except (TypeError, ValueError, OverflowError):
        given = math.nan
    fits = (low is None or given >= low) and (high is None or given <= high)
    fits = fits and (above is None or given > above) and (below is None or given < below)
    if fits and not math.isnan(given) and (infinite or not math.isinf(given)):
        return
    limits = _limits(low, high, above, below)
    if math.isnan(given) and not isinstance(value, float | np.floating):
        raise TypeError(f"`{name}` must be {limits or 'a number'}, got {_shown(value)}")
    if math.isnan(given) or not fits:
        raise ValueError(f"`{name}` must be {limits or 'a number'}, got {value}")
    raise ValueError(f"`{name}` must be {f'{limits} and ' if limits else ''}finite, got {value}")


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> None:
    """Raise unless it is an integer in low ≤ value ≤ high."""
    try:
        given = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        given = None
    if given is None or (low is not None and given < low) or (high is not None and given > high):
        limits = _limits(low, high, None, None)
        kind = ValueError if isinstance(value, int | float | np.number) else TypeError
        raise kind(f"`{name}` must be an integer{f' {limits}' if limits else ''}, got {_shown(value)}")


class UnknownName(AttributeError):
    """A module or an object has no such name; the nearest it has are looked for when somebody reads this: `hasattr` does not."""

    def __init__(self, place: str, name: str, known: Iterable[str] | type):
        owner = f"{place!r} object" if isinstance(known, type) else f"module {place!r}"
        super().__init__(f"{owner} has no attribute {name!r}", name=name)
        self.known = known

    def __reduce__(self) -> Any:
        return AttributeError, (str(self),)

    def __str__(self) -> str:
        import difflib

        known = dir(self.known) if isinstance(self.known, type) else self.known
        by_letters = {
            each.lower().replace("_", ""): each for each in sorted(known, reverse=True) if not each.startswith("_")
        }
        near = difflib.get_close_matches(str(self.name).lower().replace("_", ""), by_letters, cutoff=0.6)
        hint = f"; did you mean {' or '.join(f'`{by_letters[each]}`' for each in near)}?" if near else ""
        return f"{self.args[0]}{hint}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The end of a message about an unknown name.

    Parameters
    ----------
    name : str
        What was given.
    names : iterable of str
        Those there are.

    Returns
    -------
    str
        "; did you mean …?", or nothing where none is near.

    Examples
    --------
    >>> did_you_mean("trian", ["train", "info"]), did_you_mean("x", ["train", "info"])
    ('; did you mean train?', '')
    """
    import difflib  # for errors alone

    plain = {each.lstrip("-"): each for each in names}  # dashes, which all options have, make nothing alike
    near = difflib.get_close_matches(name.lower().lstrip("-"), plain, 1)
    return f"; did you mean {plain[near[0]]}?" if near else ""


def _limits(low: float | None, high: float | None, above: float | None, below: float | None) -> str:
    least = f"[{low:g}" if low is not None else f"({above:g}" if above is not None else ""
    most = f"{high:g}]" if high is not None else f"{below:g})" if below is not None else ""
    if least and most:
        return f"in {least}, {most}"
    if above == 0:
        return "positive"
    words = {"≥": low, ">": above, "≤": high, "<": below}
    return next((f"{sign} {limit:g}" for sign, limit in words.items() if limit is not None), "")


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", ())
    return f"a {type(value).__name__} of shape {tuple(shape)}" if shape else repr(value)[:80]
