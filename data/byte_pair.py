"""Byte-pair encoding with the files of GPT-2; the work is done by `tokenizers` or `tiktoken`, imported when first needed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.tape.tensor import Tensor
from . import check
from .files import FilePath, fault, named, read_bytes, require

__all__ = ["BytePairTokenizer"]

VOCABULARY = ("encoder.json", "vocab.json")
MERGES = ("vocab.bpe", "merges.txt")
# How GPT-2 cuts a text into words before it looks for pairs.
PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


class BytePairTokenizer:
    """Byte-level byte-pair encoding: every text has tokens, frequent words have one.

    The files are read from a folder, never fetched.

    Parameters
    ----------
    folder : str or Path
        With the vocabulary, `encoder.json` (or `vocab.json`), and the merges, `vocab.bpe` (or `merges.txt`), as OpenAI
        and Hugging Face have published them for GPT-2.
    library : {"tokenizers", "tiktoken"}, optional
        Which one encodes; the first that is installed unless given. They give the same tokens.

    Attributes
    ----------
    folder : Path
        Where the files are.
    vocab_size : int
        How many tokens there are.
    special : dict
        Token by name of those that no text becomes by itself, as `<|endoftext|>`.

    Raises
    ------
    DataError
        If a file is missing or damaged.
    ImportError
        If no such library is installed.
    ValueError
        If there is no library of that name.

    References
    ----------
    Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016); Radford et al., "Language
    Models are Unsupervised Multitask Learners" (2019), for bytes.

    Examples
    --------
    >>> BytePairTokenizer("nowhere")
    Traceback (most recent call last):
        ...
    weft.data.files.DataError: `nowhere`: expected encoder.json or vocab.json, found no such file; ...
    """

    def __init__(self, folder: FilePath, *, library: str | None = None):
        self.folder = named(folder)
        names = require(self.folder, VOCABULARY)
        self._ids = _vocabulary(names)
        path = require(self.folder, MERGES)
        merges = _merges(path, self._ids)
        self.vocab_size = len(self._ids)
        symbols = _bytes_by_symbol()
        made = {first + second for first, second in merges}
        self.special = {name: i for name, i in self._ids.items() if name not in made and name not in symbols}
        self._pieces = [b""] * self.vocab_size
        for name, i in self._ids.items():
            self._pieces[i] = name.encode() if name in self.special else bytes(symbols[c] for c in name)
        self._encode = _encoder(library, self._ids, merges, self._pieces, self.special)

    def encode(self, text: str, *, special: bool = False) -> np.ndarray:
        """The tokens of a text.

        Parameters
        ----------
        text : str
            Any text.
        special : bool, default False
            Whether the name of a special token in the text, `<|endoftext|>`, becomes that token; otherwise it is text like
            any other, as what users write should be.

        Returns
        -------
        array of int64
            As many as it takes.

        Raises
        ------
        TypeError
            If it is no str.
        ValueError
            If the text has half of a surrogate pair, which no bytes stand for.
        """
        try:
            check.text("text", text).encode()
        except UnicodeEncodeError as error:
            found = f"{text[error.start]!r} at position {error.start}"
            raise ValueError(
                f"`text` must be Unicode, got half of a surrogate pair, {found}; decode it with errors='replace'"
            ) from None
        found_tokens: list[int] = []
        for part in _split(text, self.special) if special else [text]:
            found_tokens += [self.special[part]] if special and part in self.special else self._encode(part)
        return np.asarray(found_tokens, np.int64)

    def decode(self, tokens: Any) -> str:
        """The text of tokens.

        Parameters
        ----------
        tokens : array, Tensor or list of int
            Each at least 0 and below `vocab_size`; of any shape, read in order.

        Returns
        -------
        str
            With U+FFFD in the place of bytes that are no UTF-8, as where a character is cut.

        Raises
        ------
        IndexError
            If a token is outside the vocabulary.
        """
        return b"".join([self._pieces[i] for i in listed(tokens, self.vocab_size)]).decode(errors="replace")

    def config(self) -> dict[str, Any]:
        """What makes the same tokenizer again, as JSON has it.

        Returns
        -------
        dict
            For `tokenizer_from_config`.
        """
        return {"kind": "byte-pair", "folder": str(self.folder.resolve())}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, {self.vocab_size} tokens)"


def listed(tokens: Any, vocab_size: int) -> list[int]:
    """Tokens as a flat list of Python integers, each in [0, vocab_size)."""
    array = tokens.numpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
    if not array.size:
        return []
    if array.dtype.kind not in "iu":
        raise TypeError(f"`tokens` must be integers, got dtype {array.dtype}")
    outside = (array < 0) | (array >= vocab_size)
    if outside.any():
        raise IndexError(f"`tokens` must be in [0, {vocab_size}), the vocabulary, got {array[outside][0]}")
    return array.ravel().tolist()


# --- the files --------------------------------------------------------------------------------------------------------
def _vocabulary(path: Path) -> dict[str, int]:
    """Token by name: the integers 0, 1, …, each once."""
    try:
        ids = json.loads(read_bytes(path))
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise fault(path, "a vocabulary in JSON", f"something else ({error})", "download it again") from None
    except RecursionError:
        raise fault(path, "a vocabulary in JSON", "JSON that is nested too deeply", "download it again") from None
    is_map = isinstance(ids, dict) and all(type(i) is int for i in ids.values())
    if not is_map or sorted(ids.values()) != list(range(len(ids))):
        raise fault(path, "the tokens 0, 1, …, each once, by name", "other values", "download it again")
    missing = [symbol for symbol in _bytes_by_symbol() if symbol not in ids]
    if missing:
        raise fault(path, "a token for each of the 256 bytes", f"none for {missing[0]!r}", "download it again")
    return ids


def _merges(path: Path, ids: dict[str, int]) -> list[tuple[str, str]]:
    """The pairs to be merged, most important first."""
    lines = read_bytes(path).decode(errors="replace").split("\n")
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip("\r") or (number == 1 and line.startswith("#version")):
            continue
        first, _, second = line.strip("\r").partition(" ")
        if not second or first not in ids or second not in ids or first + second not in ids:
            found = f"{line[:40]!r} in line {number}"
            raise fault(path, "two tokens of the vocabulary that make a third", found, "take both files of one model")
        pairs.append((first, second))
    return pairs


@functools.cache
def _bytes_by_symbol() -> dict[str, int]:
    """The byte that each printable stand-in of GPT-2 means: itself where it prints, U+0100 and up for the others."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


def _split(text: str, special: dict[str, int]) -> list[str]:
    """The text, cut where the name of a special token stands."""
    parts = [text]
    for name in sorted(special, key=len, reverse=True):
        cut: list[str] = []
        for part in parts:
            if part in special:
                cut.append(part)
                continue
            first, *rest = part.split(name)
            cut.append(first)
            for piece in rest:
                cut += [name, piece]
        parts = cut
    return parts


# --- the libraries ----------------------------------------------------------------------------------------------------
def _encoder(library: str | None, ids: dict[str, int], merges: list, pieces: list[bytes], special: dict) -> Callable:
    """Text → list of tokens, special names being text like any other."""
    makers: dict[str, Callable[[], Callable]] = {
        "tokenizers": lambda: _with_tokenizers({n: i for n, i in ids.items() if n not in special}, merges),
        "tiktoken": lambda: _with_tiktoken({pieces[i]: i for n, i in ids.items() if n not in special}, merges, ids),
    }
    if library not in (None, *makers):
        raise ValueError(f"`library` must be 'tokenizers', 'tiktoken' or None, got {library!r}")
    missing: ImportError | None = None
    for name in makers if library is None else [library]:
        try:
            return makers[name]()
        except ImportError as error:
            missing = error
    wanted = library or "tokenizers or tiktoken"
    raise ImportError(f'`BytePairTokenizer` needs {wanted} ({missing}): pip install "weft[text]"') from None


def _with_tokenizers(ids: dict[str, int], merges: list[tuple[str, str]]) -> Callable[[str], list[int]]:
    import tokenizers

    model = tokenizers.Tokenizer(tokenizers.models.BPE(ids, merges))
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda text: model.encode(text, add_special_tokens=False).ids


def _with_tiktoken(ranks: dict[bytes, int], merges: list, ids: dict[str, int]) -> Callable[[str], list[int]]:
    import tiktoken

    order = [ids[first + second] for first, second in merges]
    if order != sorted(order):
        raise ValueError(
            "`library` must be 'tokenizers' for this vocabulary: its tokens are not in the order of merges"
        )
    return tiktoken.Encoding("weft", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={}).encode_ordinary
