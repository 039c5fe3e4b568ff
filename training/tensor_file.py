"""Reading safetensors files that may lie: https://github.com/huggingface/safetensors, "Format".

The length of the header in 8 bytes, the header in JSON (strings under `__metadata__`; dtype, shape and place of each
tensor), the tensors' bytes, end to end. All that is said is compared with the bytes that are there before anything is
made of it; a tensor is read when it is asked for.
"""

from __future__ import annotations

import json
import math
import os
from io import BufferedReader
from typing import Any, NamedTuple, NoReturn, Self

import ml_dtypes
import numpy as np

from ..data.files import open_file, printable

__all__ = ["CheckpointError"]

FilePath = str | os.PathLike[str]

MOST_HEADER = 100_000_000  # bytes, the format's own limit
MOST_NODES = 2_000_000  # of JSON: 240 bytes each at worst
RESTORE = "use another checkpoint or a backup"

_DTYPES: dict[str, np.dtype] = {
    name: np.dtype(dtype)
    for name, dtype in {
        "BOOL": bool, "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
        "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8", "BF16": ml_dtypes.bfloat16,
        "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2, "F8_E8M0": ml_dtypes.float8_e8m0fnu,
        "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    }.items()
}  # fmt: skip


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of the wrong kind. The message says what was expected and what was found.

    Examples
    --------
    >>> weft.training.load_checkpoint("nowhere.safetensors")
    Traceback (most recent call last):
        ...
    weft.training.tensor_file.CheckpointError: `nowhere.safetensors`: expected a checkpoint, found nothing of that name; ...
    """


def fault(path: FilePath, expected: str, found: str, fix: str) -> CheckpointError:
    """The error to raise about `path`."""
    return CheckpointError(f"`{printable(path)}`: expected {expected}, found {printable(found)}; {fix}")


def check_size(text: str) -> None:
    """Raise ValueError if JSON is beyond the limits of `parse`."""
    nodes = 0 if len(text) <= MOST_NODES else sum(text.count(mark) for mark in ",{[")  # each is a character at least
    if nodes > MOST_NODES or len(text) * (1 if text.isascii() else 4) > MOST_HEADER:
        raise ValueError(f"JSON of {len(text)} characters and up to {nodes} values, where {MOST_NODES} are the limit")


def parse(text: str, *, unique: bool = False) -> Any:
    """What is written in JSON, within limits, without NaN and, if `unique`, without a key twice; or a ValueError."""
    check_size(text)
    try:
        found = json.loads(text, object_pairs_hook=_unique if unique else None, parse_constant=_no_constant)
        if "\\ud" in text or "\\uD" in text:  # half a character, maybe, which can be neither printed nor saved
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"JSON with the key {next(n for n in names if names.count(n) > 1)!r:.99} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"the constant {name}, which JSON has not")


class _Entry(NamedTuple):
    """One tensor's place: its bytes are `start` … `end` of those after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class TensorFile:
    """A safetensors file: its `metadata` at once, its arrays when they are asked for."""

    def __init__(self, path: FilePath):
        self.path = path
        self._file = BufferedReader(open_file(path, "a checkpoint", fault))
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.metadata, self._entries = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        return {entry.name: self._read(entry) for entry in self._entries}

    def _read(self, entry: _Entry) -> np.ndarray:
        dtype = _DTYPES.get(entry.dtype)
        if dtype is None:
            known = f"a tensor `{entry.name}` of a dtype that NumPy has"
            raise fault(self.path, known, entry.dtype, "convert it with the program that wrote it")
        size = entry.end - entry.start
        if math.prod(entry.shape) * dtype.itemsize != size or any(n < 0 for n in entry.shape):
            raise self._damaged(f"`{entry.name}` of shape {entry.shape} in {size} bytes")
        try:
            content = np.empty(size, np.uint8)
            if self._file.readinto(content.data) < size:
                raise ValueError("the file ends before")
            if entry.dtype == "BOOL" and content.size and content.max() > 1:
                raise ValueError("bytes that are neither true nor false")
            return content.view(dtype).reshape(entry.shape)
        except (ValueError, MemoryError) as error:
            raise self._damaged(f"`{entry.name}`: {error}") from None

    def _read_header(self) -> tuple[dict[str, str], list[_Entry]]:
        start = self._file.read(9)
        length = int.from_bytes(start[:8], "little")
        if len(start) < 9 or start[8:] != b"{" or length > MOST_HEADER:
            what = f"{self.size} bytes of something else" if self.size else "an empty file"
            raise fault(self.path, "a safetensors file", what, "name a .safetensors file that weft wrote")
        if self.size < 8 + length:
            raise self._cut_short(8 + length)
        try:
            header = parse((start[8:] + self._file.read(length - 1)).decode(), unique=True)
            metadata = header.pop("__metadata__", {})
            if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
                raise ValueError("metadata that are not strings")
            entries = sorted((_entry(name, value) for name, value in header.items()), key=lambda e: (e.start, e.end))
        except (ValueError, AttributeError) as error:  # header is no dict
            raise self._damaged(str(error)) from None
        at = 0
        for entry in entries:
            if entry.start != at or entry.end < at:
                raise self._damaged(f"`{entry.name}` at {entry.start} … {entry.end}, where {at} is the next byte")
            at = entry.end
        if self.size < 8 + length + at:
            raise self._cut_short(8 + length + at)
        if self.size > 8 + length + at:
            raise self._damaged(f"{self.size - 8 - length - at} bytes too many")
        return metadata, entries

    def _cut_short(self, declared: int) -> CheckpointError:
        what = f"the first {self.size} of {declared} bytes"
        return fault(self.path, "a complete safetensors file", what, RESTORE)

    def _damaged(self, how: str) -> CheckpointError:
        return fault(self.path, "an intact safetensors file", f"a damaged one ({how:.300})", RESTORE)


def _entry(name: str, value: Any) -> _Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        if len(value) == 3 and type(dtype) is str and {int}.issuperset(map(type, (*shape, start, end))) and start >= 0:
            return _Entry(name, dtype, shape, start, end)
    except (TypeError, KeyError, ValueError):
        pass
    raise ValueError(f"no dtype, shape and data_offsets for `{name}`")
