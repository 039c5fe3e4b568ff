"""Whether what a checkpoint holds is of the kind that a run goes on from. Every error names the place in its tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data.files import printable
from .tensor_file import RESTORE, CheckpointError, FilePath, fault

__all__: list[str] = []

_COLUMNS = ("epoch", "step", "lr", "loss", "seconds", "samples_per_second")
_ONE_PER_GROUP = ("base_lrs", "_last_lr", "min_lrs")  # lists of the optimizer's length
_EXPECTED = "the state of this run"


@contextmanager
def part(place: str, source: FilePath | None) -> Iterator[None]:
    """Errors inside become one that names the file, `source`, and the place; of a state that is in no file, some do.

    There, what a part of the trainer says about a state that is not its own is left as it is.
    """
    try:
        yield
    except CheckpointError:
        raise
    except KeyError as error:
        raise fault(source or "state", f"{_EXPECTED}, with an entry {error} in `{place}`", "none", RESTORE) from error
    except (ArithmeticError, AttributeError, IndexError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        if source is None and isinstance(error, RuntimeError | ValueError):
            raise
        found = f"that `{place}` does not fit: {printable(' '.join(str(error).split())):.500}"
        raise CheckpointError(f"`{printable(source or 'state')}`: expected {_EXPECTED}, found {found}") from error


def misfit(place: str, wanted: str, value: Any) -> TypeError:
    """What stands at `place` is not `wanted`."""
    return TypeError(f"`{place}` must be {wanted}, got {value!r:.60}")


def count(value: Any, place: str, limit: int = 2**53) -> None:
    """An integer in [0, limit)."""
    if type(value) is not int or not 0 <= value < limit:
        raise misfit(place, f"an integer in [0, 2**{limit.bit_length() - 1})", value)


def number(value: Any, place: str) -> None:
    """A number, maybe NaN or infinite, that a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise misfit(place, "a number", value)
    if isinstance(value, int) and value.bit_length() > 1000:
        raise misfit(place, "a number that a float holds", value)


def dictionary(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise misfit(place, "a dictionary", value)
    return value


def arrays(value: Any, place: str) -> None:
    """A dictionary of arrays: a model's weights."""
    for key, entry in dictionary(value, place).items():
        if not hasattr(entry, "shape"):
            raise misfit(f"{place}.{key}", "an array", entry)


def row(value: Any, place: str) -> None:
    """A row of the history: our own columns are numbers; callbacks may have logged words."""
    for key, entry in dictionary(value, place).items():
        if key in _COLUMNS or not (entry is None or isinstance(entry, str | bool)):
            number(entry, f"{place}.{key}")


def clocks(value: Any, place: str) -> None:
    """What an optimizer holds for its parameters: arrays, and what it counts, which is not negative."""
    for key, entry in dictionary(value, place).items():
        for name, held in dictionary(entry, f"{place}.{key}").items():
            if held is not None and not hasattr(held, "shape"):
                number(held, f"{place}.{key}.{name}")
                if not held >= 0:
                    raise misfit(f"{place}.{key}.{name}", "at least 0", held)


def numbers_of_any_shape(value: Any, place: str) -> None:
    """A dictionary of numbers and arrays, which are nested lists here: a metric's sums."""
    for key, entry in dictionary(value, place).items():
        try:
            is_numeric = np.asarray(entry).dtype.kind in "iuf"
        except (ValueError, OverflowError):  # ragged
            is_numeric = False
        if not is_numeric:
            raise misfit(f"{place}.{key}", "a number or an array", entry)


def like(value: Any, own: Any, place: str, *, whole: bool = True) -> None:
    """Of the kind of `own`, what the trainer has in that place: a number for a number, the same entries (if `whole`).

    Whatever stands for None, and None for a dictionary, may be.
    """
    if own is None or (value is None and isinstance(own, dict)):
        return
    if isinstance(own, dict):
        dictionary(value, place)
        for key, entry in own.items():
            if key in value:
                like(value[key], entry, f"{place}.{key}", whole=whole)
            elif whole and isinstance(key, str):
                raise TypeError(f"`{place}` must have an entry `{key}`, got none")
    elif isinstance(own, list | tuple):
        if not isinstance(value, list | tuple):
            raise misfit(place, "a list", value)
        if len(value) != len(own) and (isinstance(own, tuple) or place.rpartition(".")[2] in _ONE_PER_GROUP):
            raise TypeError(f"`{place}` must have {len(own)} entries, got {len(value)}")
        for i, (theirs, entry) in enumerate(zip(value, own)):
            like(theirs, entry, f"{place}.{i}", whole=whole)
    elif isinstance(own, bool | str):
        if type(value) is not type(own):
            raise misfit(place, f"a {type(own).__name__}", value)
    elif isinstance(own, int | float):
        number(value, place)
        if whole and type(own) is int and own > 0 and place.count(".") == 1 and not value > 0:  # a number of steps
            raise misfit(place, "positive", value)
    elif hasattr(own, "shape") and tuple(getattr(value, "shape", ())) != tuple(own.shape):
        raise misfit(place, f"an array of shape {tuple(own.shape)}", value)
