"""Files that are locked while they are open: the system lets go of them when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__: list[str] = []

if os.name == "nt":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # what others may read lies in front of it
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_locked(path: Path, *, make: bool = True) -> BinaryIO | None:
    """Open a regular file for reading and writing, and lock it until it is closed; None if another one has locked it.

    On a file system that has no locks it is just opened.

    Parameters
    ----------
    path : path
        The file.
    make : bool, default True
        Make it if it is missing.

    Returns
    -------
    binary file or None
        At its beginning.

    Raises
    ------
    OSError
        If it cannot be opened, or is a link, a FIFO or a device.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open_locked(Path(folder, "a")):
    ...         open_locked(Path(folder, "a")) is None
    True
    """
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    while True:
        descriptor = os.open(path, flags | (os.O_CREAT if make else 0), 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, f"`{path.name}` is a FIFO or a device")
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                os.close(descriptor)
                return None
        if _is_there(path, descriptor):
            return os.fdopen(descriptor, "r+b")
        os.close(descriptor)  # its holder has removed it in between


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
