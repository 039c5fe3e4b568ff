"""Tables, CSV or Parquet, read by pyarrow: a column is the target, the others are features."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import ArrayDataset, DataSplits
from .extras import pyarrow
from .files import FilePath, fault, is_folder, listed, named, read_bytes
from .labels import encode_labels, no_labels, quantities
from .npz import PARTS
from .splits import hold_out

__all__ = ["load_table"]

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet")
TARGETS = ("class", "label", "target", "y")
MOST_CATEGORIES = 100  # a column of words with more tells samples apart, not kinds of them
_MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null"]


def load_table(
    path: FilePath,
    *,
    target: str | None = None,
    ignore: Sequence[str] = (),
    regression: bool = False,
    test: float | None = None,
    stratify: bool = True,
) -> DataSplits:
    """Read a table with a header, or a folder with `train` and `test`, and maybe `val`, such as `train.csv`.

    A column of numbers or booleans is a feature; one of words is a feature for each of its words, 1 where that stands and
    0 elsewhere (its name is `column=word`). Classes are integers, words or booleans. Of a table alone a share is held out
    for the test, always the same.

    Parameters
    ----------
    path : str or Path
        A .csv (separated by comma, semicolon or tab), .csv.gz, .tsv or .parquet file, or a folder with such.
    target : str, optional
        The column to be learned. By default the one that is called class, label, target or y.
    ignore : sequence of str, default ()
        Columns to leave aside.
    regression : bool, default False
        Whether the target is a quantity, which becomes float32 (N, 1); else it is the class.
    test : float, optional
        What share to hold out, where there is no table for the test; by default a fifth.
    stratify : bool, default True
        Whether that share has the classes in the proportions of the whole.

    Returns
    -------
    DataSplits
        Features (N, D) float64, their names, and the targets.

    Raises
    ------
    DataError
        If the file cannot be read, a column is not there, a value is missing, or a column is no feature.
    ImportError
        If pyarrow is missing.

    Examples
    --------
    >>> load_table("iris.csv", target="species")  # doctest: +SKIP
    iris: train 120, test 30, samples (4,) float64, 3 classes
    """
    path = named(path)
    paths = _parts(path)
    tables = {part: _read(file) for part, file in paths.items()}
    columns = tables["train"].column_names
    target = _target(paths["train"], columns, target)
    for name in ignore:
        _present(paths["train"], name, columns, "ignore")
        if name == target:
            raise fault(paths["train"], "a target that is not ignored", f"`{target}` as both", "leave out one of them")
    features = [name for name in columns if name != target and name not in ignore]
    if not features:
        raise fault(paths["train"], f"a column beside the target `{target}`", "none", "ignore fewer columns")
    for part, file in paths.items():
        for name in [*features, target]:
            _present(file, name, tables[part].column_names, "a table for the test has all columns, the target too")
    encoded = {name: _feature(name, paths, tables) for name in features}
    x = {part: np.concatenate([encoded[name][1][part] for name in features], axis=1) for part in paths}
    y = {part: _values(file, tables[part], target, "leave out these rows") for part, file in paths.items()}
    source, class_names = f"{paths['train']}: {target}", tuple[str, ...]()
    if regression:
        y = {part: quantities(values, f"{paths[part]}: {target}") for part, values in y.items()}
    elif y["train"].dtype.kind == "f":
        raise no_labels(y["train"], source)
    else:
        y, class_names = encode_labels(y, source=source)
    names = tuple(column for name in features for column in encoded[name][0])
    data = {part: ArrayDataset(x[part], y[part]) for part in paths}
    name = path.name.partition(".")[0] or path.name
    return hold_out(data, test=test, stratify=stratify, class_names=class_names, feature_names=names, name=name)


def found_in(names: Collection[str]) -> dict[str, str]:
    """The tables in a folder, by part: the only one, or those named after the parts."""
    tables = [name for name in sorted(names) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    stems = {name.partition(".")[0].lower(): name for name in tables}
    found = {part: stems[word] for part, words in PARTS.items() for word in words if word in stems}
    if "train" in found and len(stems) == len(tables):
        return found
    return {"train": tables[0]} if len(tables) == 1 else {}


def _parts(path: Path) -> dict[str, Path]:
    if not is_folder(path):
        return {"train": path}
    found = found_in(listed(path))
    if not found:
        fix = "name the file itself"
        raise fault(path, "train.csv and test.csv (or .parquet), or one such file", "none, or several", fix)
    return {part: path / name for part, name in found.items()}


_RECODE = "save it as UTF-8, or convert it: iconv -f latin1 -t utf-8"


def _read(path: Path) -> Any:
    """The table in a file, no column's name twice."""
    arrow = pyarrow("lib", "load_table")
    content = read_bytes(path)
    try:
        if content[:4] == b"PAR1":
            table = pyarrow("parquet", "load_table").read_table(arrow.BufferReader(content))
        else:
            table = _csv(content)
        names = table.column_names
    except UnicodeDecodeError as error:
        raise fault(path, "names of columns in UTF-8", f"the byte {content[error.start]:#x}", _RECODE) from None
    except (arrow.ArrowException, OSError) as error:
        what, fix = (
            "a CSV file: rows of as many values as the header has names",
            "mend the row, or save the table again",
        )
        if content[:4] == b"PAR1":
            what, fix = "a Parquet file", "it is cut short or damaged: get it again"
        raise fault(path, what, " ".join(str(error).split()), fix) from None
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise fault(path, "a header with names of its own for the columns", f"{twice!r} twice", "rename one of them")
    if all(_is_number(name) for name in names):
        fix = "write their names in the first line"
        raise fault(path, "a header with the names of the columns", f"{', '.join(names)[:200]}", fix)
    if not table.num_rows:
        raise fault(path, "rows below the header", "none", "add some")
    return table


def _csv(content: bytes) -> Any:
    """Separated by what the header has most of: tab, semicolon or comma."""
    csv = pyarrow("csv", "load_table")
    header = content.partition(b"\n")[0]
    separator = max(",;\t", key=lambda c: header.count(c.encode()))
    return csv.read_csv(
        pyarrow("lib", "load_table").BufferReader(content),
        parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=csv.ConvertOptions(null_values=_MISSING, strings_can_be_null=True),
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _target(path: Path, columns: Sequence[str], target: str | None) -> str:
    """The column to be learned: the one that is named, or has a name that says so."""
    if target is not None:
        return _present(path, target, columns, "check its name")
    found = [name for name in columns if name.lower() in TARGETS]
    if len(found) != 1:
        fix = f"name the target: target={columns[-1]!r} (weft train --target {columns[-1]})"
        raise fault(path, f"one column called {', '.join(TARGETS)}", _all(columns), fix)
    return found[0]


def _present(path: Path, name: str, columns: Sequence[str], fix: str) -> str:
    if name not in columns:
        raise fault(path, f"a column `{name}`", _all(columns), fix)
    return name


def _all(columns: Sequence[str]) -> str:
    return f"the columns {', '.join(columns[:20])}{' …' if len(columns) > 20 else ''}"


def _feature(name: str, paths: dict[str, Path], tables: dict[str, Any]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The features that a column gives: their names, and their values (N, K) of each part."""
    values = {part: _values(path, tables[part], name) for part, path in paths.items()}
    words = np.unique(values["train"]) if values["train"].dtype.kind == "U" else None
    way_out = f"encode the column yourself, or leave it out: ignore=[{name!r}] (weft train --ignore {name})"
    if words is not None and len(words) > MOST_CATEGORIES:
        found = f"{len(words)} distinct ones, such as {str(words[0])!r}"
        raise fault(paths["train"], f"at most {MOST_CATEGORIES} words in column `{name}`", found, way_out)
    for part, column in values.items():
        if (column.dtype.kind == "U") != (words is not None):
            kind = "numbers" if words is None else "words"
            raise fault(paths[part], f"{kind} in column `{name}`, as in train", f"dtype {column.dtype}", way_out)
        if words is not None and (unknown := np.flatnonzero(~np.isin(column, words))).size:
            found = f"{str(column[unknown[0]])!r} in row {unknown[0] + 1}"
            raise fault(paths[part], f"one of the {len(words)} words that train has in `{name}`", found, way_out)
    if words is None:
        return [name], {part: column.astype(np.float64)[:, None] for part, column in values.items()}
    coded = {part: (column[:, None] == words).astype(np.float64) for part, column in values.items()}
    return [f"{name}={word}" for word in words], coded


def _values(path: Path, table: Any, name: str, way_out: str = "") -> np.ndarray:
    """A column as integers, floats, booleans or text; DataError if it is of another kind, or a value is missing."""
    types, column = pyarrow("types", "load_table"), table.column(name)
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    way_out = way_out or f"leave it out: ignore=[{name!r}] (weft train --ignore {name})"
    if column.null_count == len(column):
        raise fault(path, f"values in column `{name}`", "none in any row", way_out)
    text = types.is_string(kind) or types.is_large_string(kind)
    known = (
        text or types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    )
    if types.is_binary(kind):  # what pyarrow makes of words that are not UTF-8
        raise fault(path, f"numbers or words in UTF-8 in column `{name}`", "other bytes", _RECODE)
    if not known:
        fix = f"convert the column, or {way_out}"
        raise fault(path, f"numbers, words or booleans in column `{name}`", f"type {kind}", fix)
    lacking = np.flatnonzero(column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False))
    if len(lacking):
        found = f"nothing in row {lacking[0] + 1} ({len(lacking)} such)"
        raise fault(path, f"a value in each row of column `{name}`", found, f"fill them in, or {way_out}")
    if types.is_decimal(kind):
        return np.array([float(value) for value in column.to_pylist()])
    return np.array(column.to_pylist(), str) if text else np.asarray(column.to_numpy())


def recognises(path: Path) -> bool:
    """Whether a file has the name of a table."""
    return path.name.lower().endswith(SUFFIXES)
