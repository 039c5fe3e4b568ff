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
import os
import zlib
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with NumPy, for safetensors to find)
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..backend.device.devices import is_array, to_numpy, waiting_is_meant
from ..backend.tape.tensor import innermost
from .atomic import write_atomically

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]

VERSION = 1
FilePath = str | os.PathLike[str]


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of the wrong kind. The message says what was expected and what was found.

    Examples
    --------
    >>> load_checkpoint("nowhere.safetensors")
    Traceback (most recent call last):
        ...
    weft.training.checkpoint.CheckpointError: `nowhere.safetensors`: expected a checkpoint, found nothing of that name; ...
    """


def save_checkpoint(path: FilePath, tree: dict[str, Any], *, kind: str = "checkpoint") -> None:
    """Write `tree` to `path` atomically (see `write_atomically`): after a crash the file is the old or the new one.

    Parameters
    ----------
    path : str or path
        The file; its folder is made if it is missing.
    tree : dict
        Leaves may be numbers, strings, None, NumPy scalars, and arrays or Tensors of any device (all but complex128).
        Tuples come back as lists, keys as strings, arrays as NumPy arrays.
    kind : str, default "checkpoint"
        What the file says it is; `load_checkpoint` asks for it.

    Raises
    ------
    TypeError
        For a leaf of any other type.
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
        content = save(arrays, metadata)
    except SafetensorError as error:
        raise TypeError(f"`tree` must hold arrays of dtypes that safetensors has: {error}") from None
    write_atomically(path, content)


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
        If the file is missing, cut short, damaged, of another format or another `kind`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(folder + "/a.safetensors", {"losses": (0.5, 0.25)})
    ...     load_checkpoint(folder + "/a.safetensors")
    {'losses': [0.5, 0.25]}
    """
    metadata, arrays = _read(Path(path))
    kinds = (kind,) if isinstance(kind, str) else kind
    text, version, found = (metadata.get(name, "") for name in ("json", "version", "kind"))
    if metadata.get("format") != "weft":
        other = "a safetensors file of another program"
        raise _error(path, f"a weft {kinds[0]}", other, "load its tensors with safetensors")
    if version != str(VERSION):
        raise _error(path, f"format version {VERSION}", f"version {version}", "use the weft that wrote it")
    if metadata.get("crc32") != _checksum(text, arrays):
        raise _error(path, "an intact file", "bytes that do not match its checksum", _RESTORE)
    if found not in kinds:
        raise _error(path, f"a {' or a '.join(kinds)}", f"a {found}", _WRONG_KIND[kinds[0]])
    return _unpack(json.loads(text), arrays)


_RESTORE = "use another checkpoint or a backup"
_WRONG_KIND = {
    "checkpoint": "a finished model has no optimizer to go on with: resume from last.safetensors",
    "model": "load it with load_checkpoint",
}


def _error(path: FilePath, expected: str, found: str, fix: str) -> CheckpointError:
    return CheckpointError(f"`{path}`: expected {expected}, found {found}; {fix}")


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict)
    except FileNotFoundError:
        raise _error(path, "a checkpoint", "nothing of that name", "check the path") from None
    except OSError as error:
        what = "a folder" if path.is_dir() else (error.strerror or str(error))
        raise _error(path, "a checkpoint", what, "name the .safetensors file itself") from None
    except (SafetensorError, ValueError) as error:
        size, declared = path.stat().st_size, _declared_size(path)
        if declared is None:
            what = f"{size} bytes of something else" if size else "an empty file"
            raise _error(path, "a safetensors file", what, "name a .safetensors file that weft wrote") from None
        if size < declared:
            what = f"the first {size} of {declared} bytes"
            raise _error(path, "a complete safetensors file", what, _RESTORE) from None
        raise _error(path, "an intact safetensors file", f"a damaged one ({error})", _RESTORE) from None


def _declared_size(path: Path) -> int | None:
    """How long a safetensors file says it is; None if it is none. It begins with its header's length in 8 bytes."""
    with open(path, "rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if len(start) < 9 or start[8:] != b"{" or length > 100_000_000:
            return None
        header = file.read(length - 1)
    if len(header) < length - 1:
        return 8 + length
    try:
        tensors = json.loads(b"{" + header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):  # damaged, but it was one
        return 8 + length


def array_crc(array: np.ndarray, start: int = 0) -> int:
    """CRC-32 of the bytes of an array, in C order."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, start)


def _checksum(text: str, arrays: dict[str, np.ndarray]) -> str:
    """CRC-32 over everything that is loaded (7 times as fast as SHA-256; against accidents, not attackers)."""
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        a = arrays[name]
        crc = zlib.crc32(f"{name} {a.dtype} {a.shape}".encode(), crc)
        crc = array_crc(a, crc)
    return f"{crc:08x}"


# --- trees ----------------------------------------------------------------------------------------------------------
def _pack(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON, its arrays moved to `arrays`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        value = value.item()
    if isinstance(value, int | float):
        return value if math.isfinite(value) else {"$float": str(float(value))}  # JSON has no NaN
    if isinstance(value, dict):
        if reserved := {"$array", "$float"} & set(value):
            raise TypeError(f"`{path}` must not have the key {reserved.pop()!r}, which marks arrays in the file")
        return {str(k): _pack(v, f"{path}.{k}" if path else str(k), arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(v, f"{path}.{i}" if path else str(i), arrays) for i, v in enumerate(value)]
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


def _unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return arrays[value["$array"]]
    if "$float" in value:
        return float(value["$float"])
    return {k: _unpack(v, arrays) for k, v in value.items()}
