"""CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html), in the binary and in the Python version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .files import FilePath, fault, is_file, named, read_bytes, require
from .labels import check_labels
from .pickles import PickledArray, read_pickle

__all__ = ["load_cifar"]

_PIXELS = 3 * 32 * 32
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class _Version:
    """One of the four published archives: its files and how a record is laid out."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    num_classes: int
    key: bytes = b""  # Python version: where a batch has its labels
    label_bytes: int = 1  # binary version: bytes before the pixels, of which the last is the (fine) label

    def read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of one file."""
        pixels, labels = _read_python(path, self.key) if self.key else _read_binary(path, self.label_bytes)
        return pixels.reshape(-1, 3, 32, 32), check_labels(labels, self.num_classes, source=str(path))

    def class_names(self, folder: Path) -> tuple[str, ...]:
        if self.num_classes == 10:
            return _CIFAR10
        path = require(folder, [self.meta])
        if self.key:
            stored = _entry(path, read_pickle(path), b"fine_label_names", list)
            names = [name.decode(errors="replace") for name in stored if isinstance(name, bytes)]
        else:
            names = read_bytes(path).decode(errors="replace").split()
        if len(names) != self.num_classes:
            raise fault(path, f"{self.num_classes} class names", f"{len(names)}", "download it again")
        return tuple(names)


_FIVE = tuple(f"data_batch_{i}" for i in range(1, 6))
_FIVE_BIN = tuple(f"{name}.bin" for name in _FIVE)
_VERSIONS = (
    _Version("CIFAR-10", "cifar-10-batches-bin", _FIVE_BIN, "test_batch.bin", "batches.meta.txt", 10),
    _Version("CIFAR-10", "cifar-10-batches-py", _FIVE, "test_batch", "batches.meta", 10, key=b"labels"),
    _Version("CIFAR-100", "cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 100, label_bytes=2),
    _Version("CIFAR-100", "cifar-100-python", ("train",), "test", "meta", 100, key=b"fine_labels"),
)


def load_cifar(folder: FilePath) -> DataSplits:
    """Read CIFAR-10 or CIFAR-100 from its unpacked archive.

    CIFAR-100 comes with its 100 fine labels.

    Parameters
    ----------
    folder : str or Path
        Holds the files themselves or the folder of the archive (`cifar-10-batches-py`, `cifar-100-binary`, …).

    Returns
    -------
    DataSplits
        Images (N, 3, 32, 32) uint8, labels (N,) int64, class names.

    Raises
    ------
    DataError
        If a file is missing or damaged, if a label is out of range, or if a pickle asks for anything but arrays.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> record = bytes([3]) + bytes(3 * 32 * 32)  # a black cat
    >>> names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in names:
    ...         _ = pathlib.Path(folder, name).write_bytes(record)
    ...     load_cifar(folder)
    CIFAR-10: train 5, test 1, samples (3, 32, 32) uint8, 10 classes
    """
    found = _find(named(folder))
    if found is None:
        looked = ", ".join(f"{v.train[0]} ({v.folder})" for v in _VERSIONS)
        raise fault(folder, f"one of {looked}", "none of them", "unpack an archive of CIFAR there")
    version, folder = found
    paths = [require(folder, [name]) for name in (*version.train, version.test)]
    *train, test = (version.read(path) for path in paths)
    images, labels = (np.concatenate(parts) for parts in zip(*train))
    names = version.class_names(folder)
    return DataSplits(ArrayDataset(images, labels), ArrayDataset(*test), class_names=names, name=version.name)


def recognises(folder: Path) -> bool:
    return _find(folder) is not None


def _find(folder: Path) -> tuple[_Version, Path] | None:
    for version in _VERSIONS:
        for place in (folder, folder / version.folder):
            # "train" alone is too common a name: CIFAR-100's Python version must show its "meta" too.
            marks = ("train", "meta") if version.train == ("train",) else version.train[:1]
            if all(is_file(place / mark) for mark in marks):
                return version, place
    return None


def _read_binary(path: Path, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    content, record = read_bytes(path), label_bytes + _PIXELS
    if len(content) % record:
        found = f"{len(content)} bytes, {len(content) % record} more than {len(content) // record} records"
        raise fault(path, f"records of {record} bytes", found, "download it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, label_bytes:], records[:, label_bytes - 1]


def _read_python(path: Path, key: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = read_pickle(path)
    pixels = _entry(path, batch, b"data", PickledArray).to_numpy(_PIXELS)
    if pixels is None:
        raise fault(path, f"images as an (N, {_PIXELS}) array of bytes", "another array", "download it again")
    labels = _entry(path, batch, key, list)
    try:
        if len(labels) == len(pixels) and all(isinstance(label, int) for label in labels):
            return pixels, np.array(labels, np.int64)
        found = f"{len(labels)} labels for {len(pixels)} images"
    except OverflowError:
        found = "one beyond 64 bits"
    raise fault(path, "one integer label for every image", found, "download it again")


_KINDS = {PickledArray: "an array", list: "a list"}


def _entry(path: Path, batch: Any, key: bytes, kind: type) -> Any:
    value = batch.get(key) if isinstance(batch, dict) else None
    if not isinstance(value, kind):
        what = f"a {type(batch).__name__}" if not isinstance(batch, dict) else f"{type(value).__name__} in its place"
        raise fault(path, f"a dictionary with {_KINDS[kind]} {key!r}", what, "download it again")
    return value
