"""Data sets in one NumPy archive, under the names that Keras made common: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .files import FilePath, fault
from .labels import encode_labels, no_labels

__all__ = ["load_npz"]


def load_npz(path: FilePath, *, num_classes: int | None = None) -> DataSplits:
    """Read the data set in an .npz file: `x_train`, `y_train`, `x_test`, `y_test`, and maybe `x_dev`, `y_dev`.

    Each x is (N, …), each y is (N, …). One-dimensional integer targets are class labels: the classes are the
    distinct ones in `y_train`, in order; they become 0 … C − 1 in int64, and are named by their labels. All else is kept
    as it is.

    Parameters
    ----------
    path : str or Path
        The file.
    num_classes : int, optional
        How many classes there are. By default as many as there are distinct labels in `y_train`, see `encode_labels`.

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
    arrays = _read(path)
    missing = sorted({"x_train", "y_train", "x_test", "y_test"} - arrays.keys())
    if missing:
        found, fix = ", ".join(sorted(arrays)) or "nothing", "save x_train, y_train, x_test and y_test with np.savez"
        raise fault(path, f"an array `{missing[0]}`", found, fix)
    parts = [part for part in ("train", "dev", "test") if f"x_{part}" in arrays]
    for part in parts:
        x, y = (arrays.get(name, np.empty(())).shape for name in (f"x_{part}", f"y_{part}"))
        if not x or x[:1] != y[:1]:
            expected, fix = f"`x_{part}` and `y_{part}` of the same length", "save the targets of these samples"
            raise fault(path, expected, f"shapes {x} and {y}", fix)
        if arrays[f"x_{part}"].dtype.kind not in "biuf":
            expected, fix = (
                f"`x_{part}`, which must be real numbers",
                "encode or convert it, with .astype(float) for instance",
            )
            raise fault(path, expected, f"dtype {arrays[f'x_{part}'].dtype}", fix)
        if arrays[f"y_{part}"].dtype.kind not in "biuf":
            raise no_labels(arrays[f"y_{part}"], f"{path}: y_{part}")
    names: tuple[str, ...] = ()
    if arrays["y_train"].ndim == 1 and arrays["y_train"].dtype.kind in "iu" and len(arrays["y_train"]):
        labels, names = encode_labels({part: arrays[f"y_{part}"] for part in parts}, num_classes, source=str(path))
        arrays |= {f"y_{part}": y for part, y in labels.items()}
    data = {part: ArrayDataset(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in parts}
    return DataSplits(**data, class_names=names, name=Path(path).stem)


def _read(path: FilePath) -> dict[str, np.ndarray]:
    name = ""
    try:
        # NumPy takes what is no zip for a pickle: opening it as one first says what is wrong in plain words.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as stored:
            arrays = {}
            for name in stored.files:
                arrays[name] = stored[name]
    except OSError as error:
        raise fault(path, "a readable file", f"{error.strerror}", "check the path") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        what = f"an intact array `{name}`" if name else "an .npz file"
        raise fault(path, what, f"a damaged one ({error})", "save or download it again") from None
    except ValueError as error:
        fix = "save plain arrays of numbers"
        raise fault(path, f"numbers in `{name}`", f"an array NumPy refuses to read ({error})", fix) from None
    return arrays
