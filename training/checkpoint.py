"""Checkpoints: everything a run consists of, in one safetensors file that is written as a whole or not at all.

A checkpoint is a tree: dictionaries and lists of numbers, strings, None and arrays. Its arrays become the tensors of
the file, named by their path in the tree (`model.0.weight`, `optimizer.state.3.exp_avg`), so that every safetensors
reader can read them. The tree itself is JSON, in the file's header, with `{"$array": name}` where an array stood. One
file and not two, because two files cannot be replaced in one step: a crash between them would leave the halves of two
different checkpoints. There is no pickle: loading runs no code.

A CRC-32 over the JSON and over every tensor's name, dtype, shape and bytes tells a damaged file from a good one.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy, for safetensors to find)
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from ..backend.device.devices import is_array, to_numpy, waiting_is_meant
from ..backend.tape.tensor import innermost
from .atomic import write_atomically
from .tensor_file import MOST_NODES, RESTORE, CheckpointError, FilePath, TensorFile, check_size, fault, parse

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]

VERSION = 1
DEEPEST = 100  # levels of a tree


def _with_metadata(content: bytes, metadata: dict[str, str]) -> tuple[bytes, memoryview]:
    """Header and data of a safetensors file, with `metadata` in this order: safetensors' own differs from run to run."""
    end = 8 + int.from_bytes(content[:8], "little")
    entries = content[8:end].strip()[1:-1]
    head = b'{"__metadata__":' + json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()
    text = head + (b"," if entries else b"") + entries + b"}"
    text += b" " * (-len(text) % 8)  # so that the data are aligned
    return len(text).to_bytes(8, "little") + text, memoryview(content)[end:]


def _check_readable(header: bytes) -> None:
    """What `load_checkpoint` would refuse for its size is not written: it would take the place of one that it reads."""
    if len(header) > MOST_NODES:
        try:
            check_size(header[8:].decode())
        except ValueError as error:
            raise ValueError(f"`tree` must be smaller beside its arrays, got {error}; keep a shorter history") from None


class Tree(dict[str, Any]):
    """The tree of a checkpoint; an error about what is in it can say which file it came from."""

    def __init__(self, content: dict[str, Any], path: FilePath):
        super().__init__(content)
        self.path = path


def save_checkpoint(path: FilePath, tree: dict[str, Any], *, kind: str = "checkpoint") -> None:
    """Write `tree` to `path` atomically (see `write_atomically`): after a crash the file is the old or the new one.

    Parameters
    ----------
    path : str or path
        The file; its folder is made if it is missing.
    tree : dict
        Leaves may be numbers, strings, None, NumPy scalars, and arrays or Tensors of any device (all but complex128).
        At most 100 levels deep. Tuples come back as lists, keys as strings, arrays as NumPy arrays.
    kind : str, default "checkpoint"
        What the file says it is; `load_checkpoint` asks for it.

    Raises
    ------
    TypeError
        For a leaf of any other type.
    ValueError
        If numbers, strings and keys are too many to be read again: two million.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(folder + "/a.safetensors", {"epoch": 3, "model": {"weight": weft.ones(2)}})
    ...     load_checkpoint(folder + "/a.safetensors")
    {'epoch': 3, 'model': {'weight': array([1., 1.], dtype=float32)}}
    """
    arrays: dict[str, np.ndarray] = {}
    with waiting_is_meant():
        packed = _pack(tree, "", arrays)
    text = json.dumps(packed, allow_nan=False, ensure_ascii=False)
    metadata = {"format": "weft", "kind": kind, "version": str(VERSION), "json": text, "crc32": _checksum(text, arrays)}
    try:
        content = save(arrays)
    except SafetensorError as error:
        raise TypeError(f"`tree` must hold arrays of dtypes that safetensors has: {error}") from None
    header, data = _with_metadata(content, metadata)
    _check_readable(header)
    write_atomically(path, header, data)


def load_checkpoint(path: FilePath, *, kind: str | tuple[str, ...] = "checkpoint") -> dict[str, Any]:
    """The tree that `save_checkpoint` wrote, with NumPy arrays.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str or tuple of str, default "checkpoint"
        What it may be.

    Returns
    -------
    dict
        The tree.

    Raises
    ------
    CheckpointError
        If the file is missing, cut short, damaged, of another format or another `kind`, or if what is in it cannot have
        been saved: then the error names the place in the tree.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(folder + "/a.safetensors", {"losses": (0.5, 0.25)})
    ...     load_checkpoint(folder + "/a.safetensors")
    {'losses': [0.5, 0.25]}
    """
    kinds = (kind,) if isinstance(kind, str) else kind
    with TensorFile(path) as file:
        text, version, found = (file.metadata.get(name, "") for name in ("json", "version", "kind"))
        if file.metadata.get("format") != "weft":
            other = "a safetensors file of another program"
            raise fault(path, f"a weft {kinds[0]}", other, "load its tensors with safetensors")
        if version != str(VERSION):
            raise fault(path, f"format version {VERSION}", f"version {version:.99}", "use the weft that wrote it")
        arrays = file.arrays()
    if file.metadata.get("crc32") != _checksum(text, arrays):
        raise fault(path, "an intact file", "bytes that do not match its checksum", RESTORE)
    if found not in kinds:
        raise fault(path, f"a {' or a '.join(kinds)}", f"a {found:.99}", _WRONG_KIND[kinds[0]])
    try:
        tree = parse(text)
        if not isinstance(tree, dict):
            raise ValueError(f"a {type(tree).__name__} in its place")
        unpack = _Unpacking(arrays)
        unpacked = unpack(tree)
        if unpack.keys != text.count(":"):  # in its strings, or a key came twice
            parse(text, unique=True)
        return Tree(unpacked, path)
    except _Misplaced as error:
        raise fault(path, f"{error.expected} at `{error.place:.200}`", error.found, RESTORE) from None
    except ValueError as error:
        raise fault(path, "the tree of a checkpoint", f"{error}", RESTORE) from None


_WRONG_KIND = {
    "checkpoint": "a finished model has no optimizer to go on with: resume from last.safetensors",
    "model": "load it with load_checkpoint",
}


def array_crc(array: np.ndarray, start: int = 0) -> int:
    """CRC-32 of the bytes of an array, in C order."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, start)


def _checksum(text: str, arrays: dict[str, np.ndarray]) -> str:
    """CRC-32 over everything that is loaded (7 times as fast as SHA-256; against accidents, not attackers)."""
    crc = zlib.crc32(text.encode())
    dtypes = {dtype: str(dtype) for dtype in {a.dtype for a in arrays.values()}}  # NumPy takes its time over the name
    for name in sorted(arrays):
        a = arrays[name]
        crc = zlib.crc32(f"{name} {dtypes[a.dtype]} {a.shape}".encode(), crc)
        crc = array_crc(a, crc)
    return f"{crc:08x}"


# --- trees ----------------------------------------------------------------------------------------------------------
def _pack(value: Any, path: str, arrays: dict[str, np.ndarray], depth: int = 0) -> Any:
    """`value` as JSON, its arrays moved to `arrays`."""
    if depth > DEEPEST:
        raise TypeError(f"`{path:.99}` must be nested at most {DEEPEST} levels deep; does it hold itself?")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if isinstance(value, int | float):
        return value if math.isfinite(value) else {"$float": str(float(value))}  # JSON has no NaN
    if isinstance(value, dict):
        if reserved := {"$array", "$float"} & set(value):
            raise TypeError(f"`{path}` must not have the key {reserved.pop()!r}, which marks arrays in the file")
        return {str(k): _pack(v, f"{path}.{k}" if path else str(k), arrays, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(v, f"{path}.{i}" if path else str(i), arrays, depth + 1) for i, v in enumerate(value)]
    if is_array(value) and not isinstance(value, np.generic):
        return {"$array": _add(to_numpy(innermost(value)), path, arrays)}
    raise TypeError(
        f"`{path}` must be a number, a string, None, an array, or a dict or list of these, got {type(value).__name__}"
    )


def _add(array: np.ndarray, name: str, arrays: dict[str, np.ndarray]) -> str:
    while name in arrays:  # {"a.b": …} beside {"a": {"b": …}}
        name += "'"
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    arrays[name] = np.ascontiguousarray(little).reshape(array.shape)  # it makes arrays of 0 axes have one
    return name


class _Misplaced(Exception):
    """What stands at `place` of a tree is not what must stand there."""

    def __init__(self, place: tuple[Any, ...], expected: str, found: object):
        names = []
        while place:
            place, name = place
            names.append(str(name))
        self.place = ".".join(reversed(names))
        self.expected, self.found = expected, found if isinstance(found, str) else f"{found!r:.99}"


class _Unpacking:
    """The inverse of `_pack`, in place; `keys` counts those of all dictionaries."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays, self.keys = arrays, 0

    def __call__(self, value: Any, place: tuple[Any, ...] = (), depth: int = 1) -> Any:
        """`value`, a dict or a list; `place` is (place of what holds it, key)."""
        if depth > DEEPEST:
            raise _Misplaced(place, f"at most {DEEPEST} levels", "more")
        if isinstance(value, dict):
            self.keys += len(value)
            if "$array" in value or "$float" in value:
                return self._leaf(value, place)
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, (dict, list)):  # faster than a union
                value[key] = self(inner, (place, key), depth + 1)
        return value

    def _leaf(self, value: dict[str, Any], place: tuple[Any, ...]) -> Any:
        (kind, name), *others = value.items()
        if others or not isinstance(name, str):
            raise _Misplaced(place, "a tensor's name or a number's", value)
        if kind == "$array":
            if name not in self.arrays:
                raise _Misplaced(place, "the name of a tensor in the file", name)
            return self.arrays[name]
        if name not in ("nan", "inf", "-inf"):
            raise _Misplaced(place, "nan or inf", name)
        return float(name)
