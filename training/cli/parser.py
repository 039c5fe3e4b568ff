"""What the commands share: a parser whose errors take one line, and what becomes of errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ...backend.device.devices import DeviceError
from ...backend.device.memory import OutOfMemoryError
from ...data.files import DataError
from ..atomic import WriteError
from ..checkpoint import CheckpointError
from ..nonfinite import NonFiniteError

__all__ = ["Parser", "UsageError", "number", "report"]


class UsageError(ValueError):
    """What was asked for on the command line cannot be done."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that complains in one line, and takes no abbreviations (they break when options are added)."""

    def __init__(self, **options: Any):
        super().__init__(
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def number(kind: type, low: float, high: float | None = None, *, above: bool = False) -> Callable[[str], Any]:
    """A type for argparse: an int or float that is at least `low` (or, with `above`, greater), and below `high`."""
    limits = f"{'above' if above else 'at least'} {low}" + (f" and below {high}" if high is not None else "")

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (value > low if above else value >= low) or (high is not None and not value < high):
            raise argparse.ArgumentTypeError(
                f"must be {'an integer' if kind is int else 'a number'} {limits}, got {text!r}"
            )
        return value

    return parse


def report(prog: str, run: Callable[[], int], *, debug: bool = False) -> int:
    """The exit status of `run`; the errors that are expected to happen become one line on standard error.

    2: what was asked for cannot be done (an option, the data, a checkpoint, a device, something not installed);
    1: it went wrong on the way (a full disk, a loss that is not finite); 130: Ctrl-C.
    """
    try:
        return run()
    except KeyboardInterrupt as error:
        print(f"{prog}: interrupted{f'; {error}' if str(error) else ''}", file=sys.stderr)
        return 130
    except (UsageError, DataError, CheckpointError, DeviceError, ImportError, WriteError, NonFiniteError) as error:
        if debug:
            raise
        print(f"{prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1 if isinstance(error, WriteError | NonFiniteError) else 2
    except MemoryError as error:
        if debug:
            raise
        explained = isinstance(error, OutOfMemoryError)
        text = error if explained else f"out of memory ({error}); try a smaller --batch-size"
        print(f"{prog}: {text}", file=sys.stderr)
        return 1
