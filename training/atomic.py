"""Writing a file so that its name never stands for anything but a complete file: the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

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

    It is written to `.<name>.tmp` in the same folder, forced to the disk, and renamed, which POSIX makes atomic; then
    the folder is forced to the disk too, for the name itself is in there. A process that is killed leaves at most that
    one temporary file, and the next call replaces it. The folder is made if it is missing.

    Parameters
    ----------
    path : str or path
        The file.
    content : bytes
        All of it.

    Raises
    ------
    WriteError
        In one line, after removing the temporary file.

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
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        _discard(temporary)
        if not isinstance(error, OSError):
            raise
        before = "the file that was there before is intact" if path.exists() else "nothing was left behind"
        raise WriteError(f"`{path}` could not be written: {error.strerror}; {before}") from error


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and NTFS journals its renames
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that don't do this for folders
            raise
    finally:
        os.close(descriptor)


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # the folder itself is gone or closed to us: the first error says so
        temporary.unlink(missing_ok=True)
