"""Reading data files: gzip or plain, and one kind of error that says what is wrong with which file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

__all__ = ["DataError"]

FilePath = str | PathLike[str]

_GZIP_MAGIC = b"\x1f\x8b"


class DataError(ValueError):
    """A data file is missing, damaged or of the wrong kind.

    The message names the file, what it should hold, what it does hold, and what to do about it.

    Examples
    --------
    >>> weft.data.load("nowhere")
    Traceback (most recent call last):
        ...
    weft.data.files.DataError: `nowhere`: expected 'digits', a folder or an .npz file, found nothing of that name; check the path
    """


def fault(path: FilePath, expected: str, found: str, fix: str) -> DataError:
    """The error to raise about `path`; every reader words its complaints through this one sentence."""
    return DataError(f"`{path}`: expected {expected}, found {found}; {fix}")


def locate(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of `names` that is a file in `folder`."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def require(folder: Path, names: Iterable[str]) -> Path:
    """The first of `names` that is a file in `folder`, or a DataError that lists them."""
    names = list(names)
    found = locate(folder, names)
    if found is None:
        raise fault(folder, " or ".join(names), "no such file", "download the missing file into that folder")
    return found


def read_bytes(path: FilePath) -> bytes:
    """The whole content of a file, decompressed if it is gzip (told by its first bytes: names are often wrong).

    The checksum at the end of a gzip stream is checked. Raises DataError if the file cannot be read to its end.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise fault(path, "a file", "nothing of that name", "check the path") from None
    except OSError as error:
        raise fault(path, "a readable file", f"{error.strerror}", "check the path and its permissions") from None
    if not content:
        raise fault(path, "data", "an empty file", "download it again")
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except EOFError:
        found = f"one cut short after {len(content)} bytes"
        raise fault(path, "a complete gzip file", found, "download it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise fault(path, "an intact gzip file", f"corruption ({error})", "download it again") from None
