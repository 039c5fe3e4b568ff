"""What the commands share: a parser whose errors take one line, and what becomes of errors."""

from __future__ import annotations

import argparse
import math
import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from ... import _signals
from ...backend.device import ranks
from ...backend.device.devices import DeviceError
from ...backend.device.memory import OutOfMemoryError
from ...backend.device.options import did_you_mean
from ...data.files import DataError
from ..atomic import WriteError
from ..checkpoint import CheckpointError
from ..nonfinite import NonFiniteError
from ..output import Output
from ..processes import is_first
from ..signals import Terminated
from ..usage import UsageError

__all__ = ["Parser", "UsageError", "complain", "number", "report"]


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

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What the arguments say; options and what is no option may come in any order.

        Parameters
        ----------
        args : sequence of str, optional
            The arguments; those of the process unless given.
        namespace : object, optional
            What they become attributes of.

        Returns
        -------
        Namespace
            Without options that were not given.
        """
        return self.parse_intermixed_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End the program with status 2 and one line.

        Parameters
        ----------
        message : str
            What is wrong.
        """
        line = f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help{self._hint(message)}"
        self.exit(2, f"{line}\n")

    def _hint(self, message: str) -> str:
        """What may have been meant by an unknown option or choice."""
        if found := re.match(r"unrecognized arguments: .*?(--[^\s=]+)", message):
            return did_you_mean(found[1], self._option_string_actions)
        if found := re.match(r"argument (\S+): invalid choice: '(.*?)'", message):
            named = (each for each in self._actions if found[1] in (each.dest, *each.option_strings))
            return did_you_mean(found[2], next(named).choices or ())
        return ""


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
        What it must be below; no number may be infinite, and no integer 2³¹ or more.
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
    noun, least = "an integer" if kind is int else "a number", f"{'above' if above else 'at least'} {low}"
    end = (2**31 if kind is int else math.inf) if high is None else high

    def parse(text: str) -> float:
        is_too_much = False
        with suppress(ValueError):
            value = kind(text)
            if (value > low if above else value >= low) and value < end:
                return value
            is_too_much = value >= end
        most = f" and below {end}" if high is not None or is_too_much else ""
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise argparse.ArgumentTypeError(f"must be {noun} {least}{most}, got {shown!r}")

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
        if is_first():
            complain(_signals.line(prog, number))
        return 128 + number
    except (UsageError, DataError, CheckpointError, DeviceError, ImportError, WriteError, NonFiniteError) as error:
        if debug:
            raise
        return _end(
            f"{prog}: {' '.join(str(error).split())}", 1 if isinstance(error, WriteError | NonFiniteError) else 2
        )
    except MemoryError as error:
        if debug:
            raise
        explained = isinstance(error, OutOfMemoryError)
        text = error if explained else f"out of memory ({error}); try a smaller --batch-size"
        return _end(f"{prog}: {text}", 1)
    finally:
        _signals.explain = str


def _end(line: str, status: int) -> int:
    """Say what went wrong; of several processes, end all."""
    if ranks.group is not None:
        ranks.group.watch.end(line, status)
    complain(line)
    return status


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
