"""Writing a file so that its name never stands for anything but a complete file: the old one or the new one."""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..data.files import writable
from .locking import open_locked

__all__ = ["WriteError", "write_atomically"]


class WriteError(OSError):
    """A file could not be written (a full disk, a read-only folder); what was there before is still there.

    Examples
    --------
    >>> write_atomically("/dev/null/a.txt", b"")
    Traceback (most recent call last):
        ...
    weft.training.atomic.WriteError: `/dev/null/a.txt` could not be written: ...; nothing was left behind
    """


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Put `content` under the name `path`, all of it or nothing, also if the power fails at any moment.

    It is written to a temporary file in the same folder, whose name no other process or thread has, forced to the disk,
    and renamed, which POSIX makes atomic; then the folder is forced to the disk too, for the name itself is in there. A
    process that is killed leaves at most that temporary file, which the next call in that folder removes. The folder is
    made if it is missing. Where `path` is a symbolic link, the file that it leads to is written, and the link stays.

    Parameters
    ----------
    path : str or path
        The file.
    content : bytes
        All of it.

    Raises
    ------
    WriteError
        In one line, after removing the temporary file; at once where anything but a regular file has the name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(folder + "/notes/a.txt", b"first")
    ...     Path(folder, "notes/a.txt").read_text()
    'first'
    """
    if not os.fspath(path):
        raise ValueError("`path` must name a file, got ''")
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"`content` must be bytes, got a {type(content).__name__}; encode it: text.encode()")
    path = Path(path)
    try:
        place = writable(path)
        make_folder(place.parent)
        _remove_leftovers(place.parent)
        temporary, file = _temporary(place)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":  # which renames no open file
                file.close()
            os.replace(temporary, place)
        except BaseException:
            with suppress(OSError):  # the folder itself is gone or closed to us: the first error says so
                temporary.unlink(missing_ok=True)
            raise
        finally:
            with suppress(OSError):  # it would write again what the disk had no room for
                file.close()
        _sync_folder(place.parent)
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error


def check_writable(path: Path) -> None:
    """Make the folder, and raise WriteError if `write_atomically` could not write the file, as far as can be known."""
    try:
        place = writable(path)
        make_folder(place.parent)
        temporary, file = _temporary(place)
        file.close()
        temporary.unlink()
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError | ValueError) -> WriteError:
    before = "the file that was there before is intact" if os.path.isfile(path) else "what was there before is intact"
    after = before if os.path.lexists(path) else "nothing was left behind"
    return WriteError(f"`{path}` could not be written: {reason(error)}; {after}")


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


def _temporary(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, locked, so that others see that it is being written."""
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
