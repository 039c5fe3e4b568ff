"""PyTorch's checkpoints, `.pt` and `.pth`, read and written without pickle: data come out, and nothing is run.

Such a file is a zip archive, not compressed, of one folder: `data.pkl` is the object, in which each tensor names its storage,
`data/NAME` the bytes of a storage, `byteorder` their order. https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from typing import Any, BinaryIO

import numpy as np

from ..data.files import open_file
from ..training.atomic import write_atomically
from ..training.checkpoint import CheckpointError
from ..training.tensor_file import RESTORE, FilePath, fault
from .pickled import Refused, read_pickle
from .pickling import Writer
from .torch_names import MEANS, NAMES, Storage, dtype_of_storage

__all__ = ["CheckpointError", "load", "save"]

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # how files began before version 1.6


def load(path: FilePath | BinaryIO) -> Any:
    """What `torch.save` wrote: tensors, containers, numbers and strings. Nothing in the file is run.

    Tensors that shared a storage share memory. Parameters come as `Parameter`, what PyTorch calls `torch.Size` as tuple,
    dtypes as NumPy's, devices as strings.

    Parameters
    ----------
    path : str, path or binary file
        A `.pt` or `.pth` file, of PyTorch 1.6 or newer.

    Returns
    -------
    object
        As it was saved, tensors on the CPU.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another format, or holds anything but data: then that is named.

    Examples
    --------
    >>> import tempfile
    >>> from weft.compat import checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint.save({"weight": weft.ones(2), "epoch": 3}, folder + "/a.pt")
    ...     checkpoint.load(folder + "/a.pt")
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    if hasattr(path, "read"):
        return _load(path, getattr(path, "name", "a file"))  # type: ignore[arg-type]
    with io.BufferedReader(open_file(path, "a PyTorch checkpoint", fault)) as file:
        return _load(file, path)


def save(obj: Any, path: FilePath | BinaryIO) -> None:
    """Write tensors, containers, numbers and strings as PyTorch reads them, with `weights_only=True` too.

    Tensors that are the same memory, such as tied weights, are written once, and so are containers that come twice. Subclasses
    come back as dict, list and tuple (but OrderedDict and Counter), a frozenset as a set.

    Parameters
    ----------
    obj : object
        Tensors, Parameters, arrays, dicts, lists, tuples, sets, numbers, strings, bytes, dtypes and None.
    path : str, path or binary file
        A path is written as a whole or not at all.

    Raises
    ------
    TypeError
        For anything else, whose place is named.
    WriteError
        If the file cannot be written.

    Examples
    --------
    >>> from weft.compat import checkpoint
    >>> checkpoint.save({"model": nn.Linear(2, 1)}, "a.pt")
    Traceback (most recent call last):
        ...
    TypeError: `obj` must hold tensors, containers, numbers and strings alone, got a Linear at ['model']; save its state_dict()
    """
    writer = Writer()
    content = writer.write(obj)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for key, storage in enumerate(writer.storages):
            archive.writestr(f"archive/data/{key}", storage.view(np.uint8).reshape(-1).data)
        archive.writestr("archive/version", "3\n")
    if hasattr(path, "write"):
        path.write(file.getbuffer())
    else:
        write_atomically(path, file.getbuffer())  # type: ignore[arg-type]


# --- the archive ------------------------------------------------------------------------------------------------------
def _load(file: BinaryIO, path: Any) -> Any:
    try:
        return _Archive(file).read()
    except Refused as error:
        raise fault(
            path, "a checkpoint of data alone", str(error), "save state dicts, and numbers and strings"
        ) from None
    except _Other as error:
        raise fault(path, "a PyTorch checkpoint", *error.args) from None
    except _DAMAGE as error:
        found = f"a damaged one ({type(error).__name__}: {str(error)[:150]})"
        raise fault(path, "an intact PyTorch checkpoint", found, RESTORE) from None


# What `zipfile` raises of a damaged archive
_DAMAGE = (
    zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, KeyError, IndexError,
    OverflowError, MemoryError,
)  # fmt: skip


class _Other(Exception):
    """What the file is instead, and what to do."""


class _Archive:
    """The zip archive of a checkpoint, and the storages that were read from it."""

    def __init__(self, file: BinaryIO):
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(len(_LEGACY))
        file.seek(0)
        if start == _LEGACY:
            raise _Other("the format of before PyTorch 1.6", "load and save it with a newer PyTorch")
        if start[:4] != b"PK\x03\x04":
            raise _Other(f"{self.size} bytes of something else", "name a file that `torch.save` wrote")
        self.zip = zipfile.ZipFile(file)
        infos = self.zip.infolist()
        names = [info.filename for info in infos]
        if any(name.endswith("/constants.pkl") for name in names):
            raise _Other("a TorchScript program", "save the state dict of the module")
        if any(info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in infos):
            raise _Other("a compressed archive", "name a file that `torch.save` wrote")
        if sum(info.file_size for info in infos) > self.size:
            raise ValueError("more bytes in the archive than in the file")
        if len(set(names)) != len(names):
            raise ValueError("a name twice")
        folders = [
            name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and name.endswith("/data.pkl")
        ]
        if len(folders) != 1:
            raise _Other("a zip archive without its data.pkl", "name a file that `torch.save` wrote")
        self.folder, self.names, self.storages = folders[0], set(names), dict[str, Storage]()
        order = f"{self.folder}byteorder"
        self.is_big = order in self.names and self.zip.read(order) == b"big"

    def read(self) -> Any:
        """The object."""
        return read_pickle(self.zip.read(f"{self.folder}data.pkl"), NAMES, self.storage, MEANS)

    def storage(self, identifier: Any) -> Storage:
        """The memory that a persistent identifier stands for: ("storage", type, key, location, elements)."""
        if not isinstance(identifier, tuple) or len(identifier) != 5 or identifier[0] != "storage":
            raise Refused("an identifier that is none of a storage")
        _, kind, key, _, count = identifier
        if not isinstance(key, str) or not isinstance(count, int):
            raise Refused("an identifier that is none of a storage")
        dtype, name = dtype_of_storage(kind), f"{self.folder}data/{key}"
        if key not in self.storages:
            if name not in self.names:
                raise ValueError(f"the storage {key!r} is missing")
            content = np.frombuffer(self.zip.read(name), np.uint8).copy()
            self.storages[key] = Storage(content, dtype, self.is_big)
        found = self.storages[key]
        if found.dtype != dtype or count * dtype.itemsize > found.content.nbytes or count < 0:
            raise ValueError(f"the storage {key!r} has {found.content.nbytes} bytes, not {count} of {dtype}")
        return found
