"""`load`: finds out what kind of data set lies in a folder, and reads it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from . import cifar, idx
from .arrays import DataSplits
from .cifar import load_cifar
from .digits import load_digits
from .files import FilePath, fault, named, open_file, status
from .idx import load_mnist
from .npz import load_npz

__all__ = ["load"]

_LOOKED_FOR = (
    "idx files of MNIST (train-images-idx3-ubyte[.gz], …), batches of CIFAR (data_batch_1[.bin], train[.bin], …) "
    "or one .npz file"
)


def load(source: FilePath = "digits") -> DataSplits:
    """The data set of a name, or in a file or folder.

    "digits" comes with scikit-learn. A folder may hold the idx files of MNIST or Fashion-MNIST, an unpacked archive of
    CIFAR-10 or CIFAR-100, or one .npz file, which may also be named itself: see `load_mnist`, `load_cifar`, `load_npz`.

    Parameters
    ----------
    source : str or Path, default "digits"
        The name, the file or the folder.

    Returns
    -------
    DataSplits
        Its parts.

    Raises
    ------
    DataError
        If nothing of that name exists or it is none of these: the message lists what was looked for.

    Examples
    --------
    >>> load("digits").num_classes
    10
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"`source` must be 'digits' or a path, got {source!r:.80}")
    path = named(source)
    found = status(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        return _load_folder(path)
    if found is not None:
        with open_file(path, "a folder or an .npz file") as file:
            is_zip = file.read(2) == b"PK"
        if not is_zip and path.suffix != ".npz":
            fix = "if it is an archive, unpack it and name the folder"
            raise fault(path, "a folder or an .npz file", "another kind of file", fix)
        return load_npz(path)
    if str(source) == "digits":
        return load_digits()
    raise fault(source, "'digits', a folder or an .npz file", "nothing of that name", "check the path")


def _load_folder(folder: Path) -> DataSplits:
    if idx.recognises(folder):
        return load_mnist(folder)
    if cifar.recognises(folder):
        return load_cifar(folder)
    try:
        held = sorted(os.listdir(folder))
    except OSError as error:
        raise fault(folder, "a folder that can be read", f"{error.strerror}", "check its permissions") from None
    archives = [name for name in held if name.endswith(".npz")]
    if len(archives) == 1:
        return load_npz(folder / archives[0])
    found = (", ".join(held[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")) or "an empty folder"
    raise fault(folder, _LOOKED_FOR, found, "name the folder that holds the files themselves")
