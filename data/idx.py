"""The idx format, in which MNIST and Fashion-MNIST are published: http://yann.lecun.com/exdb/mnist (end of the page).

A header of big-endian words: the magic (two zero bytes, a type code, the number of axes), then the length of each
axis; then the elements in C order. MNIST's files have magics 2051 (0x0803: bytes, three axes) for images and 2049
for labels.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .files import SPARE, DataError, FilePath, Source, content_size, fault, locate, named, require
from .labels import check_labels

__all__ = ["load_mnist", "read_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_KINDS = {2049: "labels (magic 2049)", 2051: "images (magic 2051)"}

_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_FASHION_BEGINS = (9, 0, 0, 3, 0, 2, 7, 2, 5, 5)  # the first training labels


def read_idx(path: FilePath, *, magic: int | None = None) -> np.ndarray:
    """Read the array in an idx file, gzip or plain.

    Parameters
    ----------
    path : str or Path
        The file.
    magic : int, optional
        What the file must be, 2051 for images, say; None takes any.

    Returns
    -------
    numpy.ndarray
        In native byte order; read-only where it is one of bytes.

    Raises
    ------
    DataError
        If the file is missing, is no idx file, is of another kind, or holds more or fewer elements than its header
        promises.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path, magic=2049)
    array([7, 2, 1], dtype=uint8)
    """
    with Source(path) as source:
        content = source.read(4).tobytes()
        code, axes = content[2:].ljust(2, b"\0")
        lengths = source.read(4 * axes)
        if content[:2] != b"\0\0" or code not in _DTYPES or len(lengths) < 4 * axes:
            raise fault(path, "an idx file (two zero bytes, a type, the axes)", f"{content!r}", "download it again")
        found = 256 * code + axes
        if magic not in (None, found):
            expected, other = (_KINDS.get(m, f"magic {m}") for m in (magic, found))
            raise fault(path, expected, other, "check that image and label files have their right names")
        shape = tuple(lengths.view(">u4").tolist())
        return _elements(source, shape, np.dtype(_DTYPES[code]), 4 + 4 * axes)


def _elements(source: Source, shape: tuple[int, ...], dtype: np.dtype, start: int) -> np.ndarray:
    """The array that follows the header, which ends at `start`: just what that promises, if it is there."""
    promised, most = math.prod(shape) * dtype.itemsize, source.most - start

    def lie(found: str) -> DataError:
        return fault(source.path, f"{promised} bytes of elements for shape {shape!s:.99}", found, "download it again")

    if promised > most or (promised < most and not source.is_gzip):
        raise lie(f"at most {most}" if source.is_gzip else f"{most}")
    if promised > source.size + SPARE and (held := content_size(source.path) - start) != promised:
        raise lie(f"{held}")
    content = source.read(promised)
    if len(content) < promised:
        raise lie(f"{len(content)}")
    if len(source.read(1)):  # which also has the checksum compared
        raise lie("more")
    try:
        array = content.view(dtype).reshape(shape)
    except ValueError as error:
        raise lie(f"that NumPy has no such array ({error})") from None
    if not dtype.isnative:
        array = array.byteswap(inplace=True).view(dtype.newbyteorder("="))
    array.flags.writeable = dtype.itemsize > 1
    return array


def load_mnist(folder: FilePath, *, num_classes: int = 10) -> DataSplits:
    """Read MNIST, Fashion-MNIST or any data set in the same four files.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, with `.gz` or without,
    `.idx` in place of `-idx` allowed. Fashion-MNIST is told by its first labels and gets its class names.

    Parameters
    ----------
    folder : str or Path
        Holds the four files.
    num_classes : int, default 10
        Labels are below it.

    Returns
    -------
    DataSplits
        Images (N, 1, H, W) uint8, labels (N,) int64.

    Raises
    ------
    DataError
        If a file is missing or damaged, images and labels differ in number, or a label is out of range.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> images = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 9, 9])
    >>> labels = bytes([0, 0, 8, 1, 0, 0, 0, 1, 5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("train", "t10k"):
    ...         _ = pathlib.Path(folder, f"{part}-images-idx3-ubyte").write_bytes(images)
    ...         _ = pathlib.Path(folder, f"{part}-labels-idx1-ubyte").write_bytes(labels)
    ...     load_mnist(folder)
    MNIST: train 1, test 1, samples (1, 1, 2) uint8, 10 classes
    """
    folder = named(folder)
    train, test = (_part(folder, part, num_classes) for part in ("train", "t10k"))
    fashion = num_classes == 10 and tuple(train.y[:10]) == _FASHION_BEGINS
    class_names = _FASHION if fashion else tuple(str(i) for i in range(num_classes))
    try:
        return DataSplits(train, test, class_names=class_names, name="Fashion-MNIST" if fashion else "MNIST")
    except ValueError as error:
        train_path, test_path = (require(folder, _names(part, "images")) for part in ("train", "t10k"))
        expected, fix = f"images like those in `{test_path}`", "take all files from the same data set"
        raise fault(train_path, expected, f"that {error}", fix) from None


def recognises(folder: Path) -> bool:
    """True if any of the four files is there: then it is for `load_mnist` to say which are missing."""
    return any(locate(folder, _names(part, kind)) for part in ("train", "t10k") for kind in ("images", "labels"))


def _names(part: str, kind: str) -> list[str]:
    axes = {"images": 3, "labels": 1}[kind]
    return [f"{part}-{kind}{dot}idx{axes}-ubyte{suffix}" for dot in "-." for suffix in ("", ".gz")]


def _part(folder: Path, part: str, num_classes: int) -> ArrayDataset:
    paths = [require(folder, _names(part, kind)) for kind in ("images", "labels")]
    images, labels = read_idx(paths[0], magic=2051), read_idx(paths[1], magic=2049)
    if len(images) != len(labels):
        found = f"{len(labels)} labels for {len(images)} images in `{paths[0]}`"
        raise fault(paths[1], "one label for every image", found, "take both files from the same data set")
    return ArrayDataset(images[:, None], check_labels(labels, num_classes, source=str(paths[1])))
