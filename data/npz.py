"""Data sets in NumPy archives, under the names that Keras and MedMNIST made common, or an array to a file."""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections.abc import Collection
from io import FileIO
from pathlib import Path
from typing import IO

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .files import SPARE, FilePath, fault, open_file
from .image_layout import channels_first
from .labels import encode_labels, no_labels, quantities

__all__ = ["load_npz"]

# How the parts may be called, and how inputs and targets of a part
PARTS = {"train": ("train",), "dev": ("dev", "val", "valid", "validation"), "test": ("test",)}
_SCHEMES = (("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))
_PIECE = 1 << 18
_MOST = 16 << 20  # bytes that zipfile may read at once, to which its directory belongs: some 200,000 entries
_LONGEST = 10_000  # bytes in the header of an array
# {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
_ENTRY = re.compile(
    r"""["'](descr|fortran_order|shape)["']\s*:\s*"""
    r"""(["'][<>=|]?[a-zA-Z?]\d*(?:\[\w+\])?["']|True|False|\([\d,\sL]*\))"""
)
_HEADER = re.compile(rf"\{{\s*(?:{_ENTRY.pattern}\s*(?:,\s*)?){{3}}\}}\s*")


def load_npz(
    path: FilePath, *, num_classes: int | None = None, layout: str | None = None, regression: bool = False
) -> DataSplits:
    """Read the data set in an .npz file: `x_train`, `y_train`, `x_test`, `y_test`, and maybe `x_dev`, `y_dev`.

    Names may also be `train_images`, `train_labels` …, as in MedMNIST, and the part between training and test may be called
    `val` or `valid`. Each x is (N, …), each y is (N, …). Integers, words and booleans (N,) or (N, 1) are class labels: the
    classes are the distinct ones in `y_train`, in order; they become 0 … C − 1 in int64, and are named by their labels.
    Images become (N, C, H, W), see `layout`. All else is kept as it is.

    Parameters
    ----------
    path : str or Path
        The file.
    num_classes : int, optional
        How many classes there are. By default as many as there are distinct labels in `y_train`, see `encode_labels`.
    layout : {"NCHW", "NHWC", "NHW"}, optional
        The axes of images. By default four axes are images whose one axis of length 1, 3 or 4, the second or the last, has
        the channels (neither or both: DataError), and bytes (N, H, W) are grey images.
    regression : bool, default False
        Whether the targets are quantities, which become float32 (N, K).

    Returns
    -------
    DataSplits
        Its parts, named after the file.

    Raises
    ------
    DataError
        If the file is missing or damaged, an array is missing, holds Python objects (which only pickle can read),
        differs in length from its partner, or has a label that `y_train` has not, or its labels are no classes.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> x, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "pets.npz")
    ...     np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    ...     load_npz(path)
    pets: train 4, test 4, samples (3,) float64, 2 classes
    """
    held = _read(path)
    pairs = {
        part: checked_pair(path, (x, held[x]), (y, held.get(y, np.empty(())))) for part, (x, y) in _pairs(held).items()
    }
    return make_splits(path, pairs, num_classes=num_classes, layout=layout, regression=regression)


def checked_pair(
    path: FilePath, inputs: tuple[str, np.ndarray], targets: tuple[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of one part, each with its name, or DataError."""
    (x_name, x), (y_name, y) = inputs, targets
    if not x.shape or x.shape[:1] != y.shape[:1]:
        expected, fix = f"`{x_name}` and `{y_name}` of the same length", "save the targets of these samples"
        raise fault(path, expected, f"shapes {x.shape} and {y.shape}", fix)
    if x.dtype.kind not in "biuf":
        expected, fix = (
            f"`{x_name}`, which must be real numbers",
            "encode or convert it, with .astype(float) for instance",
        )
        raise fault(path, expected, f"dtype {x.dtype}", fix)
    if y.dtype.kind not in "biufUS":
        raise no_labels(y, f"{path}: {y_name}")
    return x, y


def make_splits(
    path: FilePath,
    pairs: dict[str, tuple[np.ndarray, np.ndarray]],
    *,
    num_classes: int | None = None,
    layout: str | None = None,
    regression: bool = False,
) -> DataSplits:
    """The data set of inputs and targets as they were saved: images turned, labels numbered."""
    xs = {part: channels_first(x, layout, path) for part, (x, _) in pairs.items()}
    ys, names = {part: y for part, (_, y) in pairs.items()}, tuple[str, ...]()
    if regression:
        ys = {part: quantities(y, f"{path}: y_{part}") for part, y in ys.items()}
    elif len(ys["train"]) and ys["train"].dtype.kind in "iuUSb" and ys["train"].shape[1:] in ((), (1,)):
        columns = {part: y.reshape(-1) if y.shape[1:] in ((), (1,)) else y for part, y in ys.items()}
        ys, names = encode_labels(columns, num_classes, source=str(path))
    data = {part: ArrayDataset(xs[part], ys[part]) for part in pairs}
    try:
        return DataSplits(data["train"], data["test"], data.get("dev"), names, Path(path).stem)
    except ValueError as error:
        raise fault(path, "parts that fit each other", f"that {error}", "save samples of one shape") from None


def _pairs(held: dict[str, np.ndarray]) -> dict[str, tuple[str, str]]:
    """The names of inputs and targets, by the part of the data that they are."""
    return {
        part: (x.format(word), y.format(word))
        for part, words in PARTS.items()
        for x, y in _SCHEMES
        for word in words
        if x.format(word) in held
    }


def _read(path: FilePath) -> dict[str, np.ndarray]:
    """The arrays that a data set has, and no others: what nobody asks for is not inflated."""
    with open_file(path, "an .npz file") as file:
        size = os.fstat(file.fileno()).st_size
        archive = _opened(path, file)
        held: dict[str, list[zipfile.ZipInfo]] = {}
        for member in archive.infolist():
            held.setdefault(member.filename.removesuffix(".npy"), []).append(member)
        wanted = _wanted(path, held)
        for name in wanted:
            if len(held[name]) > 1:
                raise fault(path, f"one array `{name}`", f"{len(held[name])}", "save each once")
        return {name: _array(path, archive, held[name][0], name, size) for name in wanted}


def _wanted(path: FilePath, held: Collection[str]) -> list[str]:
    """The names of a data set's arrays: all in one scheme, those of training and test among them."""
    begun = [scheme for scheme in _SCHEMES if scheme[0].format("train") in held] or [_SCHEMES[0]]
    if len(begun) > 1:
        fix = "save each once, as x_train, y_train, x_test and y_test"
        raise fault(path, "one data set", " and ".join(x.format("train") for x, _ in begun), fix)
    names = [scheme.format(part) for scheme in begun[0] for part in ("test", "train")]
    missing = [name for name in sorted(names) if name not in held]
    if missing:
        found, fix = ", ".join(sorted(held)) or "nothing", "save x_train, y_train, x_test and y_test with np.savez"
        raise fault(path, f"an array `{missing[0]}`", f"{found:.500}", fix)
    between = [word for word in PARTS["dev"] if begun[0][0].format(word) in held]
    if len(between) > 1:
        found = " and ".join(begun[0][0].format(word) for word in between)
        raise fault(path, "one part between training and test", found, "save it once")
    words = ["train", *between, "test"]
    return [name.format(word) for word in words for name in begun[0] if name.format(word) in held]


def arr_0(path: FilePath) -> np.ndarray:
    """The one array of a file that `np.savez(path, array)` has written."""
    with open_file(path, "an .npz file") as file:
        archive = _opened(path, file)
        members = archive.infolist()
        if [member.filename for member in members] != ["arr_0.npy"]:
            found = ", ".join(member.filename.removesuffix(".npy") for member in members) or "nothing"
            raise fault(path, "one array `arr_0`", f"{found:.500}", "save the array alone: np.savez(path, array)")
        return _array(path, archive, members[0], "arr_0", os.fstat(file.fileno()).st_size)


class _Sparing:
    """A file for zipfile, which would read a directory of any size that its end claims."""

    def __init__(self, file: FileIO):
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        if n > _MOST:
            raise zipfile.BadZipFile(f"a directory of {n} bytes")
        n = _MOST if n < 0 else n  # it looks for the end of the file: 64 KiB at most
        pieces = []
        while n and (piece := self._file.read(n)):
            pieces.append(piece)
            n -= len(piece)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]


def _opened(path: FilePath, file: FileIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(_Sparing(file))  # type: ignore[call-overload]
    except Exception as error:  # a parser that was not written for files that lie: it raises anything
        raise fault(path, "an .npz file", f"a damaged one ({error})", "save or download it again") from None


def _array(path: FilePath, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, size: int) -> np.ndarray:
    """The array in `member`, if that holds just what its header promises."""
    try:
        with archive.open(member) as content:
            shape, fortran, dtype = _header(content)
            promised, held = math.prod(shape) * dtype.itemsize, member.file_size - content.tell()
            if dtype.hasobject:
                raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
            if promised != held:
                raise EOFError(f"{promised} bytes for shape {shape} of {dtype}, {held} are there")
            if member.compress_type == zipfile.ZIP_STORED and promised > size:
                raise EOFError(f"{promised} bytes in a file of {size}")
            if promised > size + SPARE:
                with archive.open(member) as whole:  # to be sure before memory is filled
                    while whole.read(_PIECE):
                        pass
            array = np.empty(promised, np.uint8)
            into = array.data
            filled = 0
            while filled < promised and (piece := content.read(_PIECE)):
                into[filled : filled + len(piece)] = piece
                filled += len(piece)
            if filled < promised or content.read(1):  # which also has the checksum compared
                raise EOFError(f"{promised} bytes are promised, {filled} are there")
            return array.view(dtype).reshape(shape[::-1]).T if fortran else array.view(dtype).reshape(shape)
    except ValueError as error:
        fix = "save plain arrays of numbers"
        raise fault(path, f"numbers in `{name}`", f"an array NumPy refuses to read ({error})", fix) from None
    except Exception as error:  # as above
        what, fix = f"an intact array `{name}`", "save or download it again"
        raise fault(path, what, f"a damaged one ({error or type(error).__name__})", fix) from None


def _header(content: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and dtype of an array in NumPy's format, of what numbers and strings have.

    The header is a Python dictionary: read by its form and not by a parser, which nested brackets could exhaust.
    """
    start = content.read(8)
    form = {1: "<H", 2: "<I", 3: "<I"}.get(start[6]) if len(start) == 8 and start[:6] == b"\x93NUMPY" else None
    if form is None:
        raise ValueError(f"it begins with {start!r}")
    (length,) = struct.unpack(form, content.read(struct.calcsize(form)))
    if length > _LONGEST:
        raise ValueError(f"a header of {length} bytes")
    text = content.read(length).decode("latin-1")
    entries = dict(_ENTRY.findall(text)) if _HEADER.fullmatch(text) else {}
    if len(entries) != 3:
        raise ValueError(f"the header {text.strip()[:200]!r}")
    shape = tuple(int(n) for n in re.findall(r"\d+", entries["shape"]))
    return shape, entries["fortran_order"] == "True", np.dtype(entries["descr"][1:-1])
