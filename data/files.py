"""Reading data files: gzip or plain, and one kind of error that says what is wrong with which file.

A file may lie. Nothing here blocks, waits or allocates on its word: only regular files are opened, and gzip is inflated
piece by piece, as far as is asked for.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np

__all__ = ["DataError"]

FilePath = str | PathLike[str]

SPARE = 256 << 20  # bytes that may be filled on a file's word beyond its size
_GZIP_MAGIC = b"\x1f\x8b"
_INFLATION = 1032  # deflate's limit: a match of 258 bytes takes two bits
_PIECE = 1 << 18


class DataError(ValueError):
    """A data file is missing, damaged or of the wrong kind.

    The message names the file, what it should hold, what it does hold, and what to do about it.

    Examples
    --------
    >>> weft.data.load("nowhere")
    Traceback (most recent call last):
        ...
    weft.data.files.DataError: `nowhere`: expected 'digits', a folder, ... found nothing of that name; check the path
    """


def printable(text: object) -> str:
    """Text in one line: what is not printable is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def fault(path: FilePath, expected: str, found: str, fix: str) -> DataError:
    """The error to raise about `path`; every reader words its complaints through this one sentence."""
    return DataError(f"`{printable(path)}`: expected {expected}, found {printable(found)}; {fix}")


def status(path: FilePath) -> os.stat_result | None:
    """What lies at `path`, or None where there is nothing; a DataError where that cannot be told."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise fault(path, "a file or a folder", f"{error.strerror}", "check the path and its permissions") from None
    except ValueError as error:
        raise fault(path, "a path", f"one that no file can have ({error})", "check the path") from None


def expanded(path: FilePath) -> str:
    """A path whose ~ or ~name is the home folder; OSError if there is none."""
    place = os.path.expanduser(os.fspath(path))
    if place.startswith("~"):
        raise OSError(errno.EINVAL, "a home folder that is not known")
    return place


def named(path: FilePath) -> Path:
    """The file or folder that a user names; a DataError for none, as '' is, and for a home folder that is not known."""
    if not os.fspath(path):
        raise fault(path, "a path", "an empty one", "name a file or a folder; the current one is .")
    try:
        return Path(expanded(path))
    except OSError as error:
        raise fault(path, "a path", f"{error.strerror}", "write it out") from None


def writable(path: FilePath) -> Path:
    """The file that is to be replaced by who writes `path`: what links lead to. OSError if it can't be a regular file, ValueError
    if no file can have the name.

    Renamed over a FIFO, a device or a link, a new file would take its place without a word.
    """
    place = Path(expanded(path))
    if "\0" in str(place):  # Python's versions have different words for it
        raise ValueError("embedded null byte")
    if place.is_symlink():
        place = Path(os.path.realpath(place))
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return place
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a FIFO or a device, and must be a regular file or nothing")
    return place


def listed(folder: FilePath) -> list[str]:
    """What is in a folder, in order."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise fault(folder, "a folder that can be read", f"{error.strerror}", "check its permissions") from None
    except ValueError as error:
        raise fault(folder, "a path", f"one that no file can have ({error})", "check the path") from None


def is_file(path: FilePath) -> bool:
    """Whether a regular file lies at `path`."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_folder(path: FilePath) -> bool:
    """Whether a folder lies at `path`."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def locate(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of `names` that is a file in `folder`."""
    return next((folder / name for name in names if is_file(folder / name)), None)


def require(folder: Path, names: Iterable[str]) -> Path:
    """The first of `names` that is in `folder`, a file if there is one, or a DataError that lists them."""
    names = list(names)
    found = locate(folder, names) or next((folder / name for name in names if status(folder / name)), None)
    if found is None:
        raise fault(folder, " or ".join(names), "no such file", "download the missing file into that folder")
    return found


def open_file(
    path: FilePath, what: str = "a file", complain: Callable[[FilePath, str, str, str], Exception] = fault
) -> FileIO:
    """Open a regular file for reading; anything else, which might block or never end, is an error made by `complain`.

    Unbuffered: what is read whole is not copied once more.
    """
    try:
        file = FileIO(expanded(path), opener=_open)
    except FileNotFoundError:
        raise complain(path, what, "nothing of that name", "check the path") from None
    except IsADirectoryError:
        raise complain(path, what, "a folder", "name the file itself") from None
    except OSError as error:
        fix = "check the path and its permissions"
        raise complain(path, f"{what} that can be read", f"{error.strerror}", fix) from None
    except ValueError as error:
        raise complain(path, "a path", f"one that no file can have ({error})", "check the path") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        fix = "copy what it gives to a file, and name that"
        raise complain(path, what, "a FIFO or a device", fix)
    return file


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a FIFO without a writer opens at once


class Source:
    """A data file from its start, gzip inflated on the way (told by its first bytes: names are often wrong).

    `size` is the file's own, `most` the greatest that its content can have. The checksum of a gzip member is checked
    where its end is passed. Raises DataError where the file is missing, cut short or damaged.
    """

    def __init__(self, path: FilePath):
        self.path, self._file = path, open_file(path)
        self.size = self.most = os.fstat(self._file.fileno()).st_size
        if not self.size:
            self._file.close()
            raise fault(path, "data", "an empty file", "download it again")
        self.is_gzip = self._file.read(2) == _GZIP_MAGIC
        self._file.seek(0)
        if self.is_gzip:
            self.most = _INFLATION * self.size
            self._pieces, self._left = self._inflated(), memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, n: int) -> np.ndarray:
        """The next `n` bytes, or fewer at the end."""
        try:
            content = np.empty(n, np.uint8)
        except MemoryError:
            raise fault(self.path, "data that fit into memory", f"{n} bytes", "take a part of them") from None
        into, filled = content.data, 0
        while filled < n:
            taken = self._take(into[filled:])
            if not taken:
                break
            filled += taken
        return content[:filled]

    def rest(self) -> bytes:
        """All that is left; of gzip, whose size nothing announces, no more than `SPARE` beyond the file's own."""
        if not self.is_gzip:
            try:
                return self._file.read()
            except MemoryError:
                raise fault(self.path, "data that fit into memory", f"{self.size} bytes", "take a part") from None
        pieces, total = [self._left], len(self._left)
        for piece in self._pieces:
            pieces.append(piece)
            total += len(piece)
            if total > self.size + SPARE:
                raise fault(self.path, f"at most {self.size + SPARE} bytes of data", "more", "decompress it yourself")
        return b"".join(pieces)

    def _take(self, into: memoryview) -> int:
        if not self.is_gzip:
            return self._file.readinto(into) or 0
        if not self._left:
            self._left = next(self._pieces, memoryview(b""))
        n = min(len(into), len(self._left))
        into[:n], self._left = self._left[:n], self._left[n:]
        return n

    def _inflated(self) -> Iterator[memoryview]:
        """The content in pieces, of all gzip members in the file; zeros between them are padding."""
        waiting = self._file.read(_PIECE)
        try:
            while waiting:
                member = zlib.decompressobj(wbits=31)
                while not member.eof:
                    if not waiting and not (waiting := self._file.read(_PIECE)):
                        found = f"one cut short after {self.size} bytes"
                        raise fault(self.path, "a complete gzip file", found, "download it again")
                    if piece := member.decompress(waiting, _PIECE):
                        yield memoryview(piece)
                    waiting = member.unconsumed_tail
                waiting = member.unused_data.lstrip(b"\0")
                while not waiting and (more := self._file.read(_PIECE)):
                    waiting = more.lstrip(b"\0")
        except zlib.error as error:
            raise fault(self.path, "an intact gzip file", f"corruption ({error})", "download it again") from None


def read_bytes(path: FilePath) -> bytes:
    """The whole content of a file, decompressed if it is gzip; a DataError if it cannot be read to its end."""
    with Source(path) as source:
        return source.rest()


def content_size(path: FilePath) -> int:
    """How many bytes a file holds, inflated and thrown away piece by piece; a DataError if it is damaged."""
    with Source(path) as source:
        return sum(map(len, source._pieces)) if source.is_gzip else source.size


def utf8(path: FilePath, content: bytes) -> str:
    """The text in a file, without the mark of its byte order, or a DataError for other bytes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith(b"PK\x03\x04"):
            raise fault(path, "text in UTF-8", "a .zip archive", "unpack it, and name the file in it") from None
        raise fault(path, "text in UTF-8", f"other bytes ({error.reason})", "convert it to UTF-8") from None
