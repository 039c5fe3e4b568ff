"""`python -m weft.compat.torch [--device D] SCRIPT ARGS`: a PyTorch program, as it is, on weft."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from ...backend.device import devices
from .importing import compiled, install

USAGE = "usage: python -m weft.compat.torch [--device D] SCRIPT [ARGS …]"


def main(args: list[str]) -> int:
    """Run a program.

    Parameters
    ----------
    args : list of str
        What follows `python -m weft.compat.torch`.

    Returns
    -------
    int
        2 for wrong use, else 0.
    """
    if args[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if args[:1] == ["--device"] and len(args) > 1:
        devices.set_default_device(args[1])
        args = args[2:]
    if not args or args[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    path = Path(args[0])
    if not path.is_file():
        print(f"`SCRIPT` must be a Python file, got {args[0]!r}, which is none", file=sys.stderr)
        return 2
    install()
    sys.argv = args
    sys.path[0] = str(path.resolve().parent)
    program = ModuleType("__main__")
    program.__file__ = str(path)
    sys.modules["__main__"] = program
    exec(compiled(path.read_bytes(), str(path)), program.__dict__)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
