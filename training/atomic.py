"""What a run leaves behind: files that are written as a whole, and the error that says that nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

from ..data.files import writable
from ..data.writing import Replacement, begin, make_folder, reason

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


def write_atomically(path: str | os.PathLike[str], *content: bytes | bytearray | memoryview) -> None:
    """Put `content` under the name `path`, all of it or nothing, also if the power fails at any moment.

    It is written to a temporary file in the same folder, whose name no other process or thread has, forced to the disk,
    and renamed, which POSIX makes atomic; then the folder is forced to the disk too, for the name itself is in there. A
    process that is killed leaves at most that temporary file, which the next call in that folder removes. The folder is
    made if it is missing. Where `path` is a symbolic link, the file that it leads to is written, and the link stays.

    Parameters
    ----------
    path : str or path
        The file.
    *content : bytes
        All of it, in one piece or several, one after the other.

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
    for piece in content:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise TypeError(f"`content` must be bytes, got a {type(piece).__name__}; encode it: text.encode()")
    path = Path(path)
    try:
        with Replacement(path) as new:
            new.file.writelines(content)
            new.commit()
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error


def check_writable(path: Path) -> None:
    """Make the folder, and raise WriteError if `write_atomically` could not write the file, as far as can be known."""
    try:
        place = writable(path)
        make_folder(place.parent)
        temporary, file = begin(place)
        file.close()
        temporary.unlink()
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError | ValueError) -> WriteError:
    before = "the file that was there before is intact" if os.path.isfile(path) else "what was there before is intact"
    after = before if os.path.lexists(path) else "nothing was left behind"
    return WriteError(f"`{path}` could not be written: {reason(error)}; {after}")
