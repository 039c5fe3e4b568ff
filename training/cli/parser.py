"""What the commands share: a parser whose errors take one line, and what becomes of errors."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ... import _signals
from ...backend.device.devices import DeviceError
from ...backend.device.memory import OutOfMemoryError
from ...data.files import DataError
from ..atomic import WriteError
from ..checkpoint import CheckpointError
from ..nonfinite import NonFiniteError
from ..output import Output
from ..signals import Terminated
from ..usage import UsageError

__all__ = ["Parser", "UsageError", "number", "report"]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that complains in one line, and takes no abbreviations (they break when options are added).

    Options that are not given are not in what `parse_args` returns.

    Parameters
    ----------
    **options : Any
        As for `argparse.ArgumentParser`.

    Examples
    --------
    >>> parser = Parser(prog="weft train")
    >>> action = parser.add_argument("--epochs", type=number(int, 1))
    >>> vars(parser.parse_args(["--epochs", "3"])), vars(parser.parse_args([]))
    ({'epochs': 3}, {})
    """

    def __init__(self, **options: Any):
        super().__init__(
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """End the program with status 2 and one line.

        Parameters
        ----------
        message : str
            What is wrong.
        """
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def number(
    kind: type[int] | type[float], low: float, high: float | None = None, *, above: bool = False
) -> Callable[[str], float]:
    """A type for argparse: a number within limits.

    Parameters
    ----------
    kind : {int, float}
        What it is to be.
    low : float
        What it must not be less than.
    high : float, optional
        What it must be below.
    above : bool, default False
        Whether it must be greater than `low`.

    Returns
    -------
    function of a str
        Gives the number, or raises ArgumentTypeError with the limits.

    Examples
    --------
    >>> number(float, 0, 1)("0.5")
    0.5
    >>> number(int, 1)("0")
    Traceback (most recent call last):
        ...
    argparse.ArgumentTypeError: must be an integer at least 1, got '0'
    """
    limits = f"{'above' if above else 'at least'} {low}" + (f" and below {high}" if high is not None else "")

    def parse(text: str) -> float:
        try:
            value: float | None = kind(text)
        except ValueError:
            value = None
        if value is None or not (value > low if above else value >= low) or (high is not None and not value < high):
            raise argparse.ArgumentTypeError(
                f"must be {'an integer' if kind is int else 'a number'} {limits}, got {text!r}"
            )
        return value

    return parse


def report(prog: str, run: Callable[[], int], *, debug: bool = False) -> int:
    """Run a command; the errors that are expected to happen become one line on standard error.

    Parameters
    ----------
    prog : str
        The command, which the line begins with.
    run : function
        Returns an exit status.
    debug : bool, default False
        Raise errors.

    Returns
    -------
    int
        The exit status: that of `run`; 2: what was asked for cannot be done (an option, the data, a checkpoint, a
        device, something not installed); 1: it went wrong on the way (a full disk, a loss that is not finite); 130,
        143, 129: SIGINT (Ctrl-C), SIGTERM, SIGHUP.

    Examples
    --------
    >>> report("weft train", lambda: 0)
    0
    """
    try:
        return run()
    except (KeyboardInterrupt, Terminated) as ended:
        number = ended.number if isinstance(ended, Terminated) else signal.SIGINT
        complain(_signals.line(prog, number))
        return 128 + number
    except (UsageError, DataError, CheckpointError, DeviceError, ImportError, WriteError, NonFiniteError) as error:
        if debug:
            raise
        complain(f"{prog}: {' '.join(str(error).split())}")
        return 1 if isinstance(error, WriteError | NonFiniteError) else 2
    except MemoryError as error:
        if debug:
            raise
        explained = isinstance(error, OutOfMemoryError)
        text = error if explained else f"out of memory ({error}); try a smaller --batch-size"
        complain(f"{prog}: {text}")
        return 1
    finally:
        _signals.explain = str


def complain(line: str) -> None:
    """Say what is wrong on standard error, if there is one.

    Parameters
    ----------
    line : str
        Without its end.

    Examples
    --------
    >>> complain("weft: it is wrong")
    """
    print(line, file=Output(sys.stderr), flush=True)
