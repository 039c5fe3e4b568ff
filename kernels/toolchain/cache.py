"""The folder on disk where compiled kernels are kept: content-addressed, checked when read, written atomically."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

__all__ = ["folder", "key", "read", "write"]


def folder() -> Path:
    """WEFT_CACHE_DIR, or `weft` in the user's cache folder of this platform (`~/.cache`, `~/Library/Caches`, …)."""
    if chosen := os.environ.get("WEFT_CACHE_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local", "weft", "Cache")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/weft"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "weft")


def key(*parts: Any) -> str:
    """A hash of everything that an entry depends on (values that JSON can hold), as 32 hexadecimal digits.

    >>> from weft.kernels import cache
    >>> cache.key("source", ["-option"]) == cache.key("source", ["-option"]) != cache.key("source", ["-other"])
    True
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read(name: str) -> tuple[Path, dict[str, Any]] | None:
    """The path of the entry `name` and what was recorded with it; None if there is none, or not exactly as written.

    An entry is two files: `name`, the content, and `name.json`, whose first line is a checksum of the second line (the
    record) and the content. So whatever happens to either of them (a full disk, a crash, another program) is noticed.
    """
    path = folder() / name
    try:
        checksum, _, record = (folder() / f"{name}.json").read_bytes().partition(b"\n")
        content = path.read_bytes()
    except OSError:
        return None
    return (path, json.loads(record)) if checksum == _checksum(record, content) else None


def write(name: str, content: bytes, record: dict[str, Any]) -> Path:
    """Keep an entry; returns the path of its content.

    A folder that cannot be written costs time, not the result: a warning, and the entry lives as long as the process.
    """
    try:
        return _write(folder(), name, content, record)
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in `{folder()}` ({error.strerror}), each process compiles them again; "
            "set WEFT_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
        return _write(Path(_temporary().name), name, content, record)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="weft-")


def _write(where: Path, name: str, content: bytes, record: dict[str, Any]) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    line = json.dumps(record).encode()
    _replace(where / name, content)
    _replace(where / f"{name}.json", _checksum(line, content) + b"\n" + line)
    return where / name


def _checksum(record: bytes, content: bytes) -> bytes:
    return hashlib.sha256(record + b"\n" + content).hexdigest().encode()


def _replace(path: Path, content: bytes) -> None:
    """Other processes see the file that was there or this one, never a part; no fsync: the checksum tells after a crash."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
