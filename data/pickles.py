"""Reading pickled arrays without running anything: CIFAR's Python version is published as pickles.

A pickle can run any code, so none is opened by `pickle.load`. The restricted unpickler here builds the dictionaries,
lists and arrays that a data set is made of, and refuses every other name. Not even NumPy's own reconstructors run,
which trust what a file claims of itself: stand-ins keep the raw bytes, and `PickledArray.to_numpy` checks them.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from .files import FilePath, fault, read_bytes

__all__: list[str] = []


class PickledArray:
    """Stands in for numpy.ndarray while unpickling: keeps the state, interprets nothing."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def to_numpy(self, columns: int) -> np.ndarray | None:
        """The array, if it is one of bytes with this many columns in C order, (N, columns); else None."""
        match self.state:
            case (_, (int(rows), int(found)), _Dtype(name="u1"), False | 0, bytes(content)):
                if found == columns and rows >= 0 and len(content) == rows * columns:
                    return np.frombuffer(content, np.uint8).reshape(rows, columns)
        return None


class _Dtype:
    """Stands in for numpy.dtype while unpickling."""

    def __init__(self, name: Any, *_: Any):
        self.name = name if isinstance(name, str) else bytes(name).decode("latin-1")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, which say nothing about bytes."""


def _encode(text: str, encoding: str | bytes) -> bytes:
    # How Python 3 writes bytes in a pickle that Python 2 can read.
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin-1")


class _Unpickler(pickle.Unpickler):
    _admitted = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: PickledArray(),
        ("numpy._core.multiarray", "_reconstruct"): lambda *_: PickledArray(),
        ("numpy", "ndarray"): PickledArray,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._admitted:
            raise pickle.UnpicklingError(f"the name `{module}.{name}`, which is refused")
        return self._admitted[module, name]


def read_pickle(path: FilePath) -> Any:
    """What is pickled in the file: numbers, strings, lists, dictionaries, and a `PickledArray` for each array.

    Strings of Python 2 are bytes. Raises DataError if the file is damaged, or asks for anything else by name.
    """
    content = read_bytes(path)
    try:
        return _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        fix = "it is damaged or not what it claims to be: download it again"
        raise fault(path, "a pickle of arrays and lists", str(error), fix) from None
    except (EOFError, ValueError, TypeError, LookupError, AttributeError, MemoryError, OverflowError) as error:
        # What else a damaged pickle raises, "not necessarily limited to" these, as its documentation has it.
        found = f"a damaged one ({type(error).__name__}: {error})"
        raise fault(path, "a complete pickle", found, "download it again") from None
