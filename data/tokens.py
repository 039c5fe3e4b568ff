"""Files of tokens: a corpus that need not fit into memory, written as it comes and read where it lies.

The file is 32 bytes of header, then the tokens as little-endian uint16, or uint32 for vocabularies above 2¹⁶:

    bytes 0–7    b"wefttok\\0"
    bytes 8–11   version, 1        bytes 12–15  bytes of a token, 2 or 4
    bytes 16–23  vocab_size        bytes 24–31  tokens
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from ..backend.device.options import integer
from . import check
from .files import FilePath, expanded, fault, open_file
from .writing import Replacement, reason

__all__ = ["TokenFile", "encode_file", "write_tokens"]

MAGIC, VERSION = b"wefttok\0", 1
HEADER = struct.Struct("<8sIIQQ")
PIECE = 1 << 20  # characters that are encoded at a time
BREAK = re.compile(r"\S(?=\r?\n)")


class TokenFile:
    """The tokens in a file, memory-mapped: only what is asked for is read.

    Parameters
    ----------
    path : str or Path
        A file that `write_tokens` or `encode_file` wrote.

    Attributes
    ----------
    array : array of uint16 or uint32, shape (N,)
        All tokens, read-only.
    vocab_size : int
        That of the tokenizer.

    Raises
    ------
    DataError
        If the file is missing, of another kind, or shorter or longer than its header says.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tokens(folder + "/a.tok", [[3, 1], [4, 1, 5]], vocab_size=10)
    ...     tokens = TokenFile(folder + "/a.tok")
    ...     print(tokens, tokens[1:4])
    TokenFile(5 tokens of 10) [1 4 1]
    """

    def __init__(self, path: FilePath):
        self.path = Path(path)
        itemsize, self.vocab_size, count = _header(self.path)
        kind = np.dtype(f"<u{itemsize}")
        if count:
            self.array: np.ndarray = np.memmap(expanded(self.path), kind, "r", offset=HEADER.size, shape=(count,))
        else:
            self.array = np.empty(0, kind)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __reduce__(self) -> tuple:
        """A worker process opens the file itself."""
        return type(self), (self.path,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} tokens of {self.vocab_size})"


def _header(path: Path) -> tuple[int, int, int]:
    """Bytes of a token, vocabulary and number of tokens, once all is as it should be."""
    fix = "write it again with weft.data.write_tokens"
    with open_file(path, "a file of tokens") as file:
        head, size = file.read(HEADER.size), os.fstat(file.fileno()).st_size
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise fault(path, f"a file of tokens, which begins with {MAGIC!r}", f"{head[:8]!r}", fix)
    _, version, itemsize, vocab_size, count = HEADER.unpack(head)
    if version != VERSION:
        raise fault(path, f"version {VERSION} of the format", f"version {version}", fix)
    if itemsize not in (2, 4) or not 1 <= vocab_size <= 1 << 8 * itemsize:
        raise fault(path, "tokens of 2 or 4 bytes", f"{itemsize} bytes for a vocabulary of {vocab_size}", fix)
    if size != HEADER.size + itemsize * count:
        expected = f"{count} tokens in {HEADER.size + itemsize * count} bytes, as its header says"
        raise fault(path, expected, f"{size} bytes", f"it was cut short or written to: {fix}")
    return itemsize, vocab_size, count


def write_tokens(path: FilePath, chunks: Iterable[Any], vocab_size: int) -> None:
    """Write tokens to a file, a chunk at a time; what was there before is replaced when all are on the disk.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made if it is missing.
    chunks : iterable of arrays or lists of int
        The tokens, in their order. No more than one chunk is held in memory.
    vocab_size : int
        Each token is at least 0 and below this.

    Raises
    ------
    TypeError
        If tokens are no integers.
    ValueError
        If `vocab_size` is out of range.
    IndexError
        If a token is outside the vocabulary.
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tokens(folder + "/a.tok", (range(i) for i in range(4)), vocab_size=3)
    ...     TokenFile(folder + "/a.tok").array.tolist()
    [0, 0, 1, 0, 1, 2]
    """
    integer("vocab_size", vocab_size)
    if not 1 <= vocab_size <= 1 << 32:
        raise ValueError(f"`vocab_size` must be at least 1 and at most 2³², got {vocab_size}")
    count, kind = 0, np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
    with _told(path):
        replacement = Replacement(path)
    with replacement as new:
        with _told(path):
            new.file.write(bytes(HEADER.size))
        for chunk in chunks:
            tokens = check.tokens("chunks", chunk)
            if len(tokens) and not 0 <= tokens.min() <= tokens.max() < vocab_size:
                outside = tokens[(tokens < 0) | (tokens >= vocab_size)][0]
                raise IndexError(f"`chunks` must hold tokens in [0, {vocab_size}), got {outside}")
            with _told(path):
                new.file.write(tokens.astype(kind).tobytes())
            count += len(tokens)
        with _told(path):
            new.file.seek(0)
            new.file.write(HEADER.pack(MAGIC, VERSION, kind.itemsize, vocab_size, count))
            new.commit()


@contextmanager
def _told(path: FilePath) -> Iterator[None]:
    """A DataError in the place of what the system says to writing; errors of who gives the tokens are their own."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise fault(path, "a file that can be written", reason(error), "choose another path") from None


def encode_file(source: FilePath, path: FilePath, tokenizer: Any) -> TokenFile:
    """Write the tokens of a text file, of any size, to a file of tokens; they are those of the whole text.

    Parameters
    ----------
    source : str or Path
        Text in UTF-8.
    path : str or Path
        Where the tokens go.
    tokenizer : object
        With `encode` and `vocab_size`, as `CharTokenizer` and `BytePairTokenizer` have them.

    Returns
    -------
    TokenFile
        What was written.

    Raises
    ------
    DataError
        If the text cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> tokenizer = weft.data.CharTokenizer("abc")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = pathlib.Path(folder, "a.txt").write_text("abccba")
    ...     encode_file(folder + "/a.txt", folder + "/a.tok", tokenizer)
    TokenFile(6 tokens of 3)
    """
    write_tokens(path, (tokenizer.encode(piece) for piece in _pieces(source)), tokenizer.vocab_size)
    return TokenFile(path)


def _pieces(source: FilePath) -> Iterator[str]:
    """A text in pieces, cut where a line ends that is not blank: no word, nor run of spaces, reaches over such a place."""
    try:
        with TextIOWrapper(BufferedReader(open_file(source, "a text file")), encoding="utf-8-sig", newline="") as file:
            rest = ""
            while read := file.read(PIECE):
                rest += read
                ends = [m.end() for m in BREAK.finditer(rest)]
                if ends:
                    yield rest[: ends[-1]]
                    rest = rest[ends[-1] :]
            yield rest
    except UnicodeDecodeError as error:
        raise fault(source, "text in UTF-8", f"other bytes ({error.reason})", "convert it to UTF-8") from None
