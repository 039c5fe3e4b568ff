"""Files of tokens: what is read is what was written, and a damaged file is named."""

import os
import pickle
import re

import numpy as np
import pytest

import weft
from weft.data import CharTokenizer, DataError, TokenFile, encode_file, write_tokens
from weft.data import tokens as module


@pytest.mark.parametrize(
    ("vocab_size", "dtype"), [(1 << 16, np.uint16), ((1 << 16) + 1, np.uint32), (1 << 32, np.uint32)]
)
def test_round_trip(tmp_path, rng, vocab_size, dtype):
    chunks = [rng.integers(0, vocab_size, n) for n in (0, 5, 1000)]
    write_tokens(tmp_path / "new" / "a.tok", chunks, vocab_size)
    tokens = TokenFile(tmp_path / "new" / "a.tok")
    assert isinstance(tokens.array, np.memmap)
    assert (len(tokens), tokens.vocab_size, tokens.array.dtype) == (1005, vocab_size, dtype)
    np.testing.assert_array_equal(tokens[:], np.concatenate(chunks))
    with pytest.raises(ValueError, match="read-only"):
        tokens.array[0] = 1
    assert len(pickle.dumps(tokens)) < 300
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(tokens))[3:9], tokens[3:9])


def test_no_tokens(tmp_path):
    write_tokens(tmp_path / "a.tok", [], 10)
    assert len(TokenFile(tmp_path / "a.tok")) == 0


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.tok"
    write_tokens(path, [[1, 2]], 3)
    for bad in (3, -1):
        with pytest.raises(IndexError, match=rf"`chunks` must hold tokens in \[0, 3\), got {bad}"):
            write_tokens(path, [[0], [1, bad]], 3)
    assert TokenFile(path)[:].tolist() == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["a.tok"]
    with pytest.raises(ValueError, match="`vocab_size` must be at least 1 and at most 2³², got 0"):
        write_tokens(path, [], 0)


def _set(at, value):
    return lambda content: content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c[:-1], "expected 4 tokens in 40 bytes, as its header says, found 39 bytes"),
        (lambda c: c + b"x", "expected 4 tokens in 40 bytes, as its header says, found 41 bytes"),
        (lambda c: c[:20], "expected a file of tokens, which begins with b'wefttok\\x00', found b'wefttok\\x00'"),
        (lambda c: b"", "found b''"),
        (_set(0, b"PK"), "found b'PKfttok\\x00'"),
        (_set(8, b"\2"), "expected version 1 of the format, found version 2"),
        (_set(12, b"\3"), "expected tokens of 2 or 4 bytes, found 3 bytes for a vocabulary of 9"),
        (_set(18, b"\1"), "expected tokens of 2 or 4 bytes, found 2 bytes for a vocabulary of 65545"),
    ],
)
def test_damaged_files(tmp_path, damage, message):
    path = tmp_path / "a.tok"
    write_tokens(path, [[1, 2, 3, 4]], 9)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=re.escape(message)):
        TokenFile(path)


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match="expected a file of tokens, found nothing of that name"):
        TokenFile(tmp_path / "b.tok")
    with pytest.raises(DataError, match="expected a text file, found nothing of that name"):
        encode_file(tmp_path / "b.txt", tmp_path / "b.tok", CharTokenizer("a"))
    with pytest.raises(DataError, match="expected a file of tokens, found a folder"):
        TokenFile(tmp_path)
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="expected text in UTF-8, found other bytes"):
        encode_file(tmp_path / "latin.txt", tmp_path / "b.tok", CharTokenizer("a"))
    assert not list(tmp_path.glob("*.tok"))


def test_what_is_no_file(tmp_path, monkeypatch):
    """It is neither waited for nor replaced."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    tokenizer = CharTokenizer("a")
    for call, message in (
        (lambda: TokenFile("a\0b"), "`a\\x00b`: expected a path, found one that no file can have"),
        (lambda: TokenFile("fifo"), "`fifo`: expected a file of tokens, found a FIFO or a device"),
        (lambda: encode_file("a\0b", "a.tok", tokenizer), "expected a path, found one that no file can have"),
        (lambda: encode_file("fifo", "a.tok", tokenizer), "`fifo`: expected a text file, found a FIFO or a device"),
        (lambda: encode_file("~nobody_such/a", "a.tok", tokenizer), "found a home folder that is not known"),
        (lambda: write_tokens(".", [[1]], 3), "`.`: expected a file that can be written, found it is a folder"),
        (lambda: write_tokens("fifo", [[1]], 3), "found it is a FIFO or a device"),
        (lambda: write_tokens("a\0b", [[1]], 3), "expected a file that can be written, found embedded null byte"),
        (lambda: write_tokens("~nobody_such/a", [[1]], 3), "found a home folder that is not known"),
    ):
        with pytest.raises(DataError, match=re.escape(message)):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


def test_links_are_followed(tmp_path):
    (tmp_path / "a").symlink_to("b")
    write_tokens(tmp_path / "a", [[1]], 3)
    assert (tmp_path / "a").is_symlink()
    assert TokenFile(tmp_path / "b").array.tolist() == [1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_in_pieces(tmp_path, rng, monkeypatch, end):
    """Each piece ends between a character that is no space and the end of its line, and no character is lost."""
    text = "".join(rng.choice(["a", "bc", " ", "é", end, end], 3000))
    (tmp_path / "a.txt").write_bytes(text.encode())
    monkeypatch.setattr(module, "PIECE", 100)
    pieces = list(module._pieces(tmp_path / "a.txt"))
    assert "".join(pieces) == text
    assert len(pieces) > 20
    assert all(not piece[-1].isspace() for piece in pieces[:-1])
    assert all(piece.startswith(end) for piece in pieces[1:])
    tokenizer = CharTokenizer.of(text)
    tokens = encode_file(tmp_path / "a.txt", tmp_path / "a.tok", tokenizer)
    np.testing.assert_array_equal(tokens[:], tokenizer.encode(text))


@pytest.mark.parametrize("chunk", [[0.5, 1.7], np.ones(2), [True], ["1"], weft.ones(2)], ids=repr)
def test_tokens_that_are_no_integers(tmp_path, chunk):
    """Their fraction must not be lost without a word; nothing is left of the file."""
    with pytest.raises(TypeError, match="`chunks` must hold integers, got dtype"):
        write_tokens(tmp_path / "a", [[1], chunk], 5)
    assert not list(tmp_path.iterdir())
    for size, error in ((1.5, ValueError), ("5", TypeError)):
        with pytest.raises(error, match=f"`vocab_size` must be an integer, got {size!r}"):
            write_tokens(tmp_path / "a", [[1]], size)


def test_the_mark_of_byte_order_is_no_character(tmp_path):
    """As CSV files and pairs are read."""
    (tmp_path / "a.txt").write_bytes("\ufeffab\nba".encode())
    assert list(encode_file(tmp_path / "a.txt", tmp_path / "a", CharTokenizer("ab\n")).array) == [0, 1, 2, 1, 0]
