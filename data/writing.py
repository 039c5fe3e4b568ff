"""Writing a file so that its name never stands for anything but a complete file: the old one or the new one."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

from .files import FilePath, writable
from .locking import open_locked

__all__: list[str] = []


class Replacement:
    """What is to be the content of `path`: written to a file of its own in that folder, and renamed by `commit`.

    Its name no other process or thread has, and it is locked: the next one that is begun in the folder removes what is
    not, for a process that was killed left it. Without `commit`, nothing is left of it. Where `path` is a symbolic link, the
    file that it leads to is replaced, and the link stays. The folder is made if it is missing. OSError or ValueError where
    that cannot be, at once where anything but a regular file has the name.

    Attributes
    ----------
    file : binary file
        To be written to.
    """

    def __init__(self, path: FilePath):
        self._place = writable(path)
        make_folder(self._place.parent)
        _remove_leftovers(self._place.parent)
        self._temporary, self.file = begin(self._place)
        self._is_there = False

    def __enter__(self) -> Self:
        return self

    def commit(self) -> None:
        """Put it in place: the content on the disk, then the name, which POSIX makes atomic, then the folder, where it stands."""
        self.file.flush()
        os.fsync(self.file.fileno())
        if os.name == "nt":  # which renames no open file
            self.file.close()
        os.replace(self._temporary, self._place)
        self._is_there = True
        _sync_folder(self._place.parent)

    def __exit__(self, *_: object) -> None:
        if not self._is_there:
            with suppress(OSError):  # the folder itself is gone or closed to us: the first error says so
                self._temporary.unlink(missing_ok=True)
        with suppress(OSError):  # it would write again what the disk had no room for
            self.file.close()


def reason(error: OSError | ValueError) -> str:
    """What the system says, without the name of the file."""
    return getattr(error, "strerror", None) or str(error)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it, for good; returns the ones that were missing, the innermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        missing.append(path)
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        _sync_folder(path.parent)
    return missing


_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")


def begin(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, locked, so that others see that it is being written; and its name, which comes first."""
    while True:
        temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.tmp")
        file = open_locked(temporary)
        if file is not None:
            return temporary, file


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed, which hold no lock any more."""
    names: list[str] = []
    with suppress(PermissionError):  # a folder may be written and not read
        names = [name for name in os.listdir(folder) if _LEFTOVER.fullmatch(name)]
    for name in names:
        with suppress(OSError):
            file = open_locked(folder / name, make=False)
            if file is not None:
                with file:
                    os.unlink(folder / name)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and NTFS journals its renames
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # it may be written and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that don't do this for folders
            raise
    finally:
        os.close(descriptor)
