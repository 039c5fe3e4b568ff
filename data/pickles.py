"""Reading pickled arrays without running anything: CIFAR's Python version is published as pickles.

A pickle is a program, and can run any code; even an unpickler that admits no names can be made to take gigabytes (lengths
and indices of the memo that lie) or to overflow its stack (deep tuples that are hashed). So it runs on a machine of our
own, which calls the functions here for five names and refuses every other. They make stand-ins that keep the raw bytes,
and `PickledArray.to_numpy` checks them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from .files import FilePath, fault, read_bytes
from .pickle_machine import Instance, Machine, Refused

__all__: list[str] = []


class PickledArray(Instance):
    """Stands for a numpy.ndarray: keeps the state, interprets nothing."""

    def to_numpy(self, columns: int) -> np.ndarray | None:
        """The array, if it is one of bytes with this many columns in C order, (N, columns); else None."""
        match self.state:
            case (_, (int(rows), int(found)), _Dtype(name="u1"), False | 0, bytes() | memoryview() as content):
                if found == columns and rows >= 0 and len(content) == rows * columns:
                    return np.frombuffer(content, np.uint8).reshape(rows, columns)
        return None


class _Dtype(Instance):
    """Stands for a numpy.dtype. Its state, byte order and the like, says nothing about bytes."""

    def __init__(self, name: str):
        self.name = name


# --- what may be asked for by name --------------------------------------------------------------------------------------
def _make_array(machine: Machine, *_: Any) -> PickledArray:
    return PickledArray()


def _make_dtype(machine: Machine, name: Any = None, *_: Any) -> _Dtype:
    if not isinstance(name, str | bytes):
        raise Refused(f"a dtype named by {type(name).__name__}")
    return _Dtype(name if isinstance(name, str) else name.decode("latin-1"))


def _encode(machine: Machine, text: Any = None, encoding: Any = None, *_: Any) -> bytes:
    # How Python 3 writes bytes in a pickle that Python 2 can read.
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise Refused(f"text in the encoding {encoding!r:.40}")
    machine.made += len(text)
    if machine.made > len(machine.content):
        raise Refused("text that is encoded again and again")
    return text.encode("latin-1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _make_array,
    ("numpy._core.multiarray", "_reconstruct"): _make_array,
    ("numpy", "ndarray"): _make_array,
    ("numpy", "dtype"): _make_dtype,
    ("_codecs", "encode"): _encode,
}


def read_pickle(path: FilePath) -> Any:
    """What is pickled in the file: numbers, strings, lists, dictionaries, and a `PickledArray` for each array.

    Strings of Python 2 are bytes; long ones, memoryviews. Raises DataError if the file is damaged, or asks for anything
    else.
    """
    machine = Machine(read_bytes(path), _ADMITTED)
    try:
        return machine.run()
    except Refused as error:
        fix = "it is damaged or not what it claims to be: download it again"
        raise fault(path, "a pickle of arrays and lists", str(error), fix) from None
    except (EOFError, ValueError, TypeError, LookupError, MemoryError, OverflowError, struct.error) as error:
        found = f"a damaged one ({type(error).__name__}: {error})"
        raise fault(path, "a complete pickle", found, "download it again") from None
