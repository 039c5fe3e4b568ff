"""The CUDA sources as one text each, the same for NVRTC and for the emulator's C++ compiler."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FOLDER", "Place", "SourceError", "expand", "own_line", "shown"]

FOLDER = Path(__file__).parents[1]  # where the .cu and .cuh files are

_INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')
_ONCE = re.compile(r"\s*#\s*pragma\s+once\b")


Place = tuple[str, int]  # a source's name and a line of it
_SHARED_BY_ALL = (
    "common.cuh",
    "neighbours.cuh",
    "ptx.cuh",
    "hopper.cuh",
    "wgmma.cuh",
)  # their lines say less than those that call them


class SourceError(FileNotFoundError):
    """A CUDA source, or a file that it includes, is not there."""


def expand(name: str, folder: Path | None = None) -> str:
    """The text of the source `name` in `folder` (that of the kernels), its local includes written out in their places.

    A file is taken in where it is first included (`#pragma once`, which every header here has, says the same to a
    compiler); `#include <…>` stays for the compiler. `#line` directives name the file (`shown`) and the line that each part
    came from, so messages, debug information and `__LINE__` are those of the files. Of what is in this package the text
    holds no absolute path: it is the same on every machine, and a hash of it identifies the program.

    A source may lie anywhere (`name` is then an absolute path) and include the headers of the kernels here.

    Raises SourceError naming the file that is missing and the line that wanted it.
    """
    lines: list[str] = []
    _append(lines, name, folder or FOLDER, seen=set(), wanted_by="")
    return "\n".join(lines) + "\n"


def _append(lines: list[str], name: str, folder: Path, seen: set[str], wanted_by: str) -> None:
    seen.add(name)
    try:
        path = folder / name if (folder / name).exists() else FOLDER / name
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        where = "" if Path(name).is_absolute() else f" in {folder}"
        raise SourceError(f"`{name}` must be a CUDA source{where}{wanted_by}, but there is no such file") from None
    label = shown(name)
    lines.append(f'#line 1 "{label}"')
    for number, line in enumerate(text.splitlines(), start=1):
        include = _INCLUDE.match(line)
        if include is None:
            lines.append("" if _ONCE.match(line) else line)
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), include[1]))
        if not (folder / target).exists() and (FOLDER / include[1]).exists():
            target = include[1]  # a kernel from elsewhere that uses the headers here
        if target not in seen:
            _append(lines, target, folder, seen, f" (included by {label}:{number})")
        lines.append(f'#line {number + 1} "{label}"')


def shown(name: str) -> str:
    """A source's name as the text has it: relative to the kernels, or, if it lies in this package beside them, to that.

    >>> from weft.kernels.toolchain.sources import FOLDER, shown
    >>> shown("pooling.cu"), shown(str(FOLDER.parent / "bench" / "attention_hopper.cu")), shown("/home/me/mine.cu")
    ('pooling.cu', 'bench/attention_hopper.cu', '/home/me/mine.cu')
    """
    path, package = Path(name), FOLDER.parent.resolve()  # which may be seen through a link
    inside = path.is_absolute() and path.resolve().is_relative_to(package)
    return path.resolve().relative_to(package).as_posix() if inside else name


def own_line(lines: Sequence[Place]) -> Place:
    """Of a line and the calls that it is inlined by, innermost first: the first outside what all kernels share.

    >>> from weft.kernels.toolchain.sources import own_line
    >>> own_line([("common.cuh", 49), ("pooling.cu", 65), ("pooling.cu", 103)])
    ('pooling.cu', 65)
    """
    return next((p for p in lines if p[0] not in _SHARED_BY_ALL), lines[0] if lines else ("?", 0))
