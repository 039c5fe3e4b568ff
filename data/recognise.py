"""`load`: finds out what kind of data set lies in a folder, and reads it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

from . import array_pairs, cifar, idx, image_folder, table
from .array_pairs import load_array_pairs
from .arrays import DataSplits
from .cifar import load_cifar
from .digits import load_digits
from .files import FilePath, fault, listed, named, open_file, status
from .idx import load_mnist
from .image_folder import load_images
from .npz import load_npz
from .sources import SOURCES
from .table import load_table

__all__ = ["load"]

_LOOKED_FOR = (
    "idx files of MNIST (train-images-idx3-ubyte[.gz], …), batches of CIFAR (data_batch_1[.bin], train[.bin], …), "
    "one .npz file, or …train-imgs.npz and …train-labels.npz, a table (.csv, .parquet), or a folder of images for each class"
)
_KINDS = "a folder, an .npz file or a table (.csv, .parquet)"
# What each reader is told, of the options
_ARRAYS, _TABLE, _IMAGES = (
    ("layout", "regression"),
    ("target", "ignore", "regression", "test", "stratify"),
    ("image_size", "test", "stratify"),
)


def load(
    source: FilePath = "digits",
    *,
    layout: str | None = None,
    target: str | None = None,
    ignore: Sequence[str] = (),
    image_size: int | None = None,
    regression: bool = False,
    test: float | None = None,
    stratify: bool = True,
) -> DataSplits:
    """The data set of a name, or in a file or folder.

    "digits" comes with scikit-learn. A folder may hold the idx files of MNIST or Fashion-MNIST, an unpacked archive of
    CIFAR-10 or CIFAR-100, one .npz file or one each for inputs and labels (`kmnist-train-imgs.npz`,
    `kmnist-train-labels.npz` …), a table or one each for training and test (`train.csv`, `test.csv`), or images in a folder
    for each class. An .npz file or a table may also be named itself. See `load_mnist`, `load_cifar`, `load_npz`,
    `load_table`, `load_images`.

    Parameters
    ----------
    source : str or Path, default "digits"
        The name, the file or the folder.
    layout : {"NCHW", "NHWC", "NHW"}, optional
        The axes of images in .npz files, where their number of channels does not tell.
    target : str, optional
        The column of a table that is to be learned.
    ignore : sequence of str, default ()
        Columns of a table to leave aside.
    image_size : int, optional
        Height and width that images in folders are brought to.
    regression : bool, default False
        Whether the targets of a table or an .npz file are quantities, not classes.
    test : float, optional
        What share of a table or of images to hold out, where there is no part for the test; by default a fifth.
    stratify : bool, default True
        Whether that share has the classes in the proportions of the whole.

    Returns
    -------
    DataSplits
        Its parts.

    Raises
    ------
    DataError
        If nothing of that name exists or it is none of these: the message lists what was looked for.
    ValueError
        If an option is given that is for another kind of data.

    Examples
    --------
    >>> load("digits").num_classes
    10
    """
    options: dict[str, object] = {
        "layout": layout,
        "target": target,
        "ignore": tuple(ignore),
        "image_size": image_size,
        "regression": regression,
        "test": test,
    }
    read, takes = _reader(source)
    for name, value in options.items():
        if value and name not in takes:
            raise ValueError(f"`{name}` is for {_FOR[name]}, got {value!r} for `{source}`; leave it out")
    options["stratify"] = stratify
    return read(**{name: options[name] for name in takes})


_FOR = {
    "layout": "images in .npz files",
    "target": "tables (.csv, .parquet)",
    "ignore": "tables (.csv, .parquet)",
    "image_size": "folders of images",
    "regression": "tables and .npz files",
    "test": "tables and images that have no part for the test",
}
_Reader = tuple[Callable[..., DataSplits], Sequence[str]]


def _reader(source: FilePath) -> _Reader:
    """What reads it, and the options that this takes."""
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"`source` must be 'digits' or a path, got {source!r:.80}")
    path = named(source)
    found = status(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        return _reader_of_folder(path)
    if found is not None:
        with open_file(path, _KINDS) as file:
            start = file.read(4)
        if start[:2] != b"PK" and (table.recognises(path) or start == b"PAR1"):
            return _of(load_table, path, _TABLE)
        if start[:2] != b"PK" and path.suffix != ".npz":
            fix = "if it is an archive, unpack it and name the folder"
            raise fault(path, _KINDS, "another kind of file", fix)
        return _of(load_npz, path, _ARRAYS)
    if str(source) == "digits":
        return load_digits, ()
    raise fault(source, f"'digits', {_KINDS}", "nothing of that name", _advice(str(source)))


def _advice(source: str) -> str:
    """What may have been meant by the name of nothing."""
    if source in SOURCES:
        return f"bring it by: weft data get {source}"
    near = get_close_matches(source.lower(), SOURCES, 1)
    return f"check the path; did you mean {near[0]}, a name of `weft data get`?" if near else "check the path"


def _reader_of_folder(folder: Path) -> _Reader:
    if idx.recognises(folder):
        return _of(load_mnist, folder)
    if cifar.recognises(folder):
        return _of(load_cifar, folder)
    held = listed(folder)
    archives = [name for name in held if name.endswith(".npz")]
    if pairs := array_pairs.found_in(archives):
        return (lambda **options: load_array_pairs(folder, pairs, **options)), _ARRAYS
    if len(archives) == 1:
        return _of(load_npz, folder / archives[0], _ARRAYS)
    if table.found_in(held):
        return _of(load_table, folder, _TABLE)
    if image_folder.recognises(folder):
        return _of(load_images, folder, _IMAGES)
    found = (", ".join(held[:5]) + (f" and {len(held) - 5} more" if len(held) > 5 else "")) or "an empty folder"
    fix = "name the folder that holds the files themselves"
    if any(name.lower().endswith(image_folder.SUFFIXES) for name in held):
        fix = "move the images of each class into a folder of its name"
    raise fault(folder, _LOOKED_FOR, found, fix)


def _of(read: Callable[..., DataSplits], path: Path, takes: Sequence[str] = ()) -> _Reader:
    return (lambda **options: read(path, **options)), takes
