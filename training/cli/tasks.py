"""`weft train`: which task it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..checkpoint import CheckpointError, load_checkpoint
from ..output import say
from ..usage import UsageError
from . import train, train_forecast, train_text, train_translate
from .parser import report
from .run import source_of

__all__ = ["main"]

TASKS: dict[str, Callable[[Sequence[str]], int]] = {
    "images": train.main,
    "regression": train.main,
    "text": train_text.main,
    "translate": train_translate.main,
    "forecast": train_forecast.main,
}


def main(argv: Sequence[str]) -> int:
    """Train what `--task` names or, with `--resume`, what the run has begun; images unless given.

    Parameters
    ----------
    argv : sequence of str
        Arguments of `weft train`.

    Returns
    -------
    int
        The exit status, see `report`.

    Examples
    --------
    >>> main(["--task", "text"])
    2
    """
    if "--list" in argv:
        return report("weft train", _list)
    task = _value(argv, "--task") or _begun(argv)
    return TASKS.get(task, train.main)(argv)  # whose parser refuses what is no task


def _list() -> int:
    from .listing import listing

    say(listing())
    return 0


def _value(argv: Sequence[str], option: str) -> str:
    """What stands behind an option, the last time."""
    found = ""
    for i, word in enumerate(argv):
        if word == option and i + 1 < len(argv) and not argv[i + 1].startswith("--"):
            found = argv[i + 1]
        elif word.startswith(f"{option}="):
            found = word.partition("=")[2]
    return found


def _begun(argv: Sequence[str]) -> str:
    """The task of the run that is to go on; "" where there is none, or it cannot be read, which its command reports."""
    if not any(word.partition("=")[0] == "--resume" for word in argv):
        return ""
    try:
        source = source_of(_value(argv, "--resume"), _value(argv, "--out") or None)
        info: Any = {} if source is None else load_checkpoint(source).get("info")
    except (UsageError, CheckpointError, OSError):
        return ""
    return str(info.get("task", "")) if isinstance(info, dict) else ""
