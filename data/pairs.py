"""Pairs of sentences, one the translation of the other: reading, splitting, batches that are padded."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.device import options
from . import check
from .files import FilePath, fault, named, read_bytes, utf8
from .words import BOS, EOS, PAD

__all__ = ["SentencePairs", "pad_pairs", "read_pairs", "split_pairs"]

Pair = tuple[str, str]

ENDINGS = (".txt", ".tsv", ".zip")
PLAIN = str.maketrans(
    {"\u202f": " ", "\xa0": " ", "\u2009": " ", "\u200b": None, "\xad": None, "\ufeff": None, "’": "'"}
)


def read_pairs(path: FilePath) -> list[Pair]:
    """The pairs in a file of lines `source<TAB>target`, as those of manythings.org/anki.

    A third column, which says whose they are, is left out. Texts are in Unicode's composed form, and narrow, thin and no-break
    spaces and typographic apostrophes are plain ones. Pairs that occur twice are taken once.

    Parameters
    ----------
    path : str or path
        The file, in UTF-8, plain, gzipped or in a .zip with one such file besides those that begin with `_`; or a folder with
        one of these.

    Returns
    -------
    list of (str, str)
        In the order of the file.

    Raises
    ------
    DataError
        If the file is missing or damaged, or a line is no pair, which is named with its number.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = pathlib.Path(folder, "fra.txt").write_bytes("Go.\\tVa\\u202f!\\tCC-BY 2.0\\nHi.\\tSalut.\\n".encode())
    ...     read_pairs(folder)
    [('Go.', 'Va !'), ('Hi.', 'Salut.')]
    """
    place = named(path)
    if place.is_dir():
        found = sorted(p for p in place.iterdir() if p.suffix in ENDINGS and not p.name.startswith("_"))
        if len(found) != 1:
            names = ", ".join(p.name for p in found[:5]) or "none"
            raise fault(place, f"one file in the folder, {', '.join(ENDINGS)}", names, "name the file itself")
        place = found[0]
    content = read_bytes(place)
    if zipfile.is_zipfile(io.BytesIO(content)):
        content = _unzipped(place, content)
    text = utf8(place, content)
    pairs: dict[Pair, None] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.strip():
            pairs[_pair(place, number, line)] = None
    if not pairs:
        raise fault(place, "a line `source<TAB>target` for each pair", "no line", "take a file with some")
    return list(pairs)


def _pair(path: FilePath, number: int, line: str) -> Pair:
    columns = [" ".join(normalised(column).split()) for column in line.split("\t")]
    if not 2 <= len(columns) <= 3 or not all(columns[:2]):
        found = f"{line[:60]!r} in line {number}"
        raise fault(path, "`source<TAB>target`, or a third column behind them, in each line", found, "mend that line")
    return columns[0], columns[1]


def normalised(text: str) -> str:
    """Text in Unicode's composed form, with plain spaces and apostrophes: as `read_pairs` gives it."""
    return unicodedata.normalize("NFC", text).translate(PLAIN)


def _unzipped(path: FilePath, content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [
                i for i in archive.infolist() if not i.is_dir() and not i.filename.rpartition("/")[2].startswith("_")
            ]
            if len(inside) != 1:
                names = ", ".join(i.filename for i in inside[:5]) or "none"
                raise fault(path, "one file in the archive", names, "unpack it, and name the file itself")
            with archive.open(inside[0]) as file:
                most = len(content) + (256 << 20)  # what nothing but a bomb is longer than
                found = file.read(most + 1)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise fault(path, "an intact .zip archive", f"{error}", "download it again") from None
    if len(found) > most:
        raise fault(path, f"at most {most} bytes in the archive", "more", "unpack it yourself")
    return found


def split_pairs(pairs: Sequence[Pair], held_out: float = 0.05, *, seed: int = 0) -> tuple[list[Pair], list[Pair]]:
    """Share pairs out by their source: no sentence is in both parts, whatever its case and its translations.

    Parameters
    ----------
    pairs : sequence of (str, str)
        As `read_pairs` gives them.
    held_out : float, default 0.05
        What fraction of the distinct sources goes to the second part; one at least.
    seed : int, default 0
        The same seed gives the same split, in whatever order the pairs come.

    Returns
    -------
    tuple of two lists
        Training part and held-out part, each in the order of the pairs.

    Raises
    ------
    TypeError
        If one is no pair of str, or an option no number.
    ValueError
        If `held_out` is not in (0, 1), or leaves one part empty.

    Examples
    --------
    >>> train, held_out = split_pairs([("Go.", "Va."), ("go.", "Allez."), ("Hi.", "Salut.")], 0.5)
    >>> sorted([len(train), len(held_out)])
    [1, 2]
    """
    options.number("held_out", held_out, infinite=True)
    pairs = _pairs(pairs)
    if not 0 < held_out < 1:
        raise ValueError(f"`held_out` must be above 0 and below 1, got {held_out}")
    options.integer("seed", seed, 0, 2**32 - 1)
    sources = sorted({source.casefold() for source, _ in pairs})
    count = max(1, round(held_out * len(sources)))
    if count >= len(sources):
        raise ValueError(f"`pairs` must have sentences for both parts, got {len(sources)} distinct ones; take more")
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(sources))
    apart = {sources[i] for i in order[:count].tolist()}
    parts: tuple[list[Pair], list[Pair]] = [], []
    for pair in pairs:
        parts[pair[0].casefold() in apart].append(pair)
    return parts


def _pairs(pairs: Any) -> list[Pair]:
    """Them as a list, or TypeError for what is no pair of str."""
    found: list[Any] = [pairs] if isinstance(pairs, str | bytes) else list(pairs)
    for i, pair in enumerate(found):
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise TypeError(f"`pairs` must hold pairs of str, (source, target), got {pair!r:.60} in number {i}")
    return found


class SentencePairs:
    """Pairs as tokens: sample i is the source with `<eos>` behind it, and the target between `<bos>` and `<eos>`.

    Parameters
    ----------
    pairs : sequence of (str, str)
        The sentences.
    source, target : tokenizer
        Of the two languages: `WordTokenizer`, `SubwordTokenizer`.

    Attributes
    ----------
    lengths : array of int, shape (len, 2)
        How many tokens each sample has; `BucketSampler` wants them.

    Raises
    ------
    TypeError
        If one is no pair of str.

    Examples
    --------
    >>> tokenizer = weft.data.WordTokenizer(["a", "b"])
    >>> data = SentencePairs([("a", "b a"), ("b b b", "a")], tokenizer, tokenizer)
    >>> data[0], data.lengths.tolist()
    ((array([4, 2]), array([1, 5, 4, 2])), [[2, 4], [4, 3]])
    """

    def __init__(self, pairs: Sequence[Pair], source: Any, target: Any):
        self._samples = [
            (np.append(source.encode(a), EOS), np.concatenate([[BOS], target.encode(b), [EOS]]))
            for a, b in _pairs(pairs)
        ]
        self.lengths = np.asarray([[len(a), len(b)] for a, b in self._samples], np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._samples[index]


def pad_pairs(samples: Sequence[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """The batch of some pairs, padded with `<pad>`, 0, at their ends: the `collate_fn` of `SentencePairs`.

    Parameters
    ----------
    samples : sequence of (array of int, array of int)
        Source and target of each.

    Returns
    -------
    tuple of arrays of int64
        Sources (N, S) and targets (N, T), as long as the longest.

    Raises
    ------
    TypeError
        If tokens are no integers.
    ValueError
        If there is no sample.

    Examples
    --------
    >>> pad_pairs([([4, 2], [1, 5, 2]), ([4, 4, 2], [1, 2])])
    (array([[4, 2, 0],
           [4, 4, 2]]), array([[1, 5, 2],
           [1, 2, 0]]))
    """
    if not len(samples):
        raise ValueError("`samples` must hold at least one pair, got none")
    sources, targets = zip(*samples)
    return padded(sources), padded(targets)


def padded(rows: Sequence[Any]) -> np.ndarray:
    """Rows of tokens as one array (N, longest), with `<pad>` behind those that are shorter."""
    batch = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for i, row in enumerate(rows):
        batch[i, : len(row)] = check.tokens("samples", row)
    return batch
