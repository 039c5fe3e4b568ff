"""Data sets whose inputs and labels have a file each, with one array `arr_0`: KMNIST and its kin."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .arrays import DataSplits
from .files import fault
from .npz import PARTS, arr_0, checked_pair, make_splits

__all__: list[str] = []

_WORDS = {word: part for part, words in PARTS.items() for word in words}
_NAME = re.compile(rf"(.*?)({'|'.join(_WORDS)})[-_.]?(?:(imgs|images|x)|(labels|y))\.npz")


def found_in(names: Iterable[str]) -> dict[tuple[str, str], str]:
    """The files, by part and kind ("x", "y"), of names such as `kmnist-train-imgs.npz` and `kmnist-train-labels.npz`."""
    matches = [match for name in sorted(names) if (match := _NAME.fullmatch(name))]
    return {(_WORDS[match[2]], "x" if match[3] else "y"): match[0] for match in matches}


def load_array_pairs(
    folder: Path, files: dict[tuple[str, str], str], *, layout: str | None = None, regression: bool = False
) -> DataSplits:
    """Read the files that `found_in` gave, of one folder."""
    parts = sorted({"train", "test"} | {part for part, _ in files}, key=list(PARTS).index)
    for part in parts:
        for kind, what in (("x", "imgs"), ("y", "labels")):
            if (part, kind) not in files:
                found, fix = ", ".join(files.values()), "download the missing file into that folder"
                raise fault(folder, f"a file …{part}-{what}.npz", found, fix)
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for part in parts:
        x, y = (folder / files[part, kind] for kind in "xy")
        pairs[part] = checked_pair(folder, (x.name, arr_0(x)), (y.name, arr_0(y)))
    return make_splits(folder, pairs, layout=layout, regression=regression)
