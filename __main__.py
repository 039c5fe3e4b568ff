"""The command line: `weft new`, `weft data`, `weft train`, `weft generate`, `weft translate`, …, `weft info`."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

COMMANDS = ("new", "data", "train", "generate", "translate", "forecast", "export", "bench", "info")
USAGE = """usage: weft {new,data,train,generate,translate,forecast,export,bench,info} [options]

  weft new        write a small training project to start from
  weft data       fetch a data set by its name
  weft train      train a model on a data set, a language model on a text, a translator, or a forecaster on a series
  weft generate   go on from a prompt with a language model
  weft translate  translate sentences
  weft forecast   forecast how a series goes on, with a model that was trained on it
  weft export     write a trained model as an ONNX file
  weft bench      measure models, operations and kernels, beside PyTorch where that is installed
  weft info       show versions, devices, threads and memory

Each has a --help of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The command and its arguments. By default those of the process.

    Returns
    -------
    int
        The exit status: 0, 1 if something failed, 2 if what was asked for cannot be done.

    Examples
    --------
    >>> main(["--version"])
    weft ...
    0
    """
    if argv is not None:
        return _run(argv)
    _open_standard_streams()
    _take_any_text()
    arguments = sys.argv[1:]
    try:
        status = _run(arguments)
    except SystemExit as ended:  # argparse's, which prints its help to standard error where there is no output
        if sys.stdout is not None and not _is_written() and not ended.code:
            return 1
        raise
    if _is_written() or arguments[:1] == ["train"]:  # which has files besides
        return status
    if sys.stdout is None and status == 0:
        command = " ".join(["weft", *arguments[:1]])
        print(f"{command}: output could not be written: standard output is closed", file=sys.stderr)
    return max(status, 1)


def _run(argv: Sequence[str]) -> int:
    command, *rest = list(argv) or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    if command == "--version":
        from . import __version__

        print(f"weft {__version__}")
        return 0
    if command == "new":
        from .training.cli.new import main as run
    elif command == "data":
        from .training.cli.data import main as run
    elif command == "train":
        from .training.cli.tasks import main as run
    elif command == "generate":
        from .training.cli.generate import main as run
    elif command == "translate":
        from .training.cli.translate import main as run
    elif command == "forecast":
        from .training.cli.forecast import main as run
    elif command == "export":
        from .training.cli.export import main as run
    elif command == "info":
        from .training.cli.info import main as run
    elif command == "bench":
        from .bench.command import main as run
    else:
        from .training.cli.parser import complain, did_you_mean

        hint = did_you_mean(command, COMMANDS)
        complain(f"weft: unknown command {command!r}; choose from {', '.join(COMMANDS)}{hint}")
        return 2
    try:
        return run(rest)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            raise
        _drop_output()
        if error.errno != errno.EPIPE:  # there, whoever read the output has seen enough of it, as `head` does
            print(f"weft {command}: output could not be written: {error.strerror}", file=sys.stderr)
        return 1


def _open_standard_streams() -> None:
    """Else a checkpoint would become the standard output of a process that was started without one."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _take_any_text() -> None:
    """What an encoding lacks (µ, or a line of a table, in ASCII) is shown as "?": else nothing at all would be."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    is_narrow = codecs.lookup(out.encoding).name != "utf-8"
    if out.errors == "strict" or (out.errors == "surrogateescape" and is_narrow):
        out.reconfigure(errors="replace")


def _is_written() -> bool:
    """Whether all of the output is where it should be. What the disk has no room for is no reason to fail once more."""
    try:
        if sys.stdout is None:
            return False
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop_output()
        return False
    return True


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
