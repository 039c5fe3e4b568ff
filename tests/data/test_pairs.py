"""Pairs of sentences: files of all kinds and faults, splits by sentence, padding."""

import gzip
import re
import zipfile

import numpy as np
import pytest

from weft.data import DataError, SentencePairs, WordTokenizer, pad_pairs, read_pairs, split_pairs

TEXT = "Go.\tVa\u202f!\nHi.\tSalut.\tCC-BY 2.0\r\n\nHi.\tSalut.\nI\u2019m e\u0301mu.\tJe\xa0suis  ému.\n"
PAIRS = [("Go.", "Va !"), ("Hi.", "Salut."), ("I'm ému.", "Je suis ému.")]


def test_every_kind_of_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "zipped").mkdir()
    with zipfile.ZipFile(tmp_path / "zipped" / "fra-eng.zip", "w") as archive:
        archive.writestr("_about.txt", "whose it is")
        archive.writestr("fra.txt", TEXT)
    for name in ("a.txt", "b.txt.gz", "zipped", "zipped/fra-eng.zip"):
        assert read_pairs(tmp_path / name) == PAIRS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected data, found an empty file"),
        (b"\n \n", "expected a line `source<TAB>target` for each pair, found no line"),
        (b"Go.\tVa.\nno tab here\n", "found 'no tab here' in line 2; mend that line"),
        (b"Go.\t\n", r"found 'Go.\\t' in line 1"),
        (b"a\tb\tc\td\n", "or a third column behind them, in each line, found .* in line 1"),
        (b"Go.\tVa\xff\n", "expected text in UTF-8, found other bytes"),
        (b"PK\x05\x06" + bytes(18), "expected one file in the archive, found none"),
        (b"PK\x03\x04 cut short", "found .* in line 1|expected an intact .zip archive"),
    ],
)
def test_files_that_cannot_be(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path / "a.txt")


def test_archives_and_folders_that_cannot_be(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", TEXT)
        archive.writestr("b.txt", TEXT)
    with pytest.raises(DataError, match=r"expected one file in the archive, found a.txt, b.txt; unpack it"):
        read_pairs(tmp_path)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TEXT * 9)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"expected an intact .zip archive"):
        read_pairs(tmp_path)
    (tmp_path / "b.txt").write_text(TEXT)
    with pytest.raises(DataError, match=r"expected one file in the folder, .txt, .tsv, .zip, found a.zip, b.txt"):
        read_pairs(tmp_path)
    with pytest.raises(DataError, match="expected a file, found nothing of that name"):
        read_pairs(tmp_path / "nowhere")


def test_split_by_sentence():
    pairs = [(f"{word} {i // 3}", f"mot {i}") for word in ("Go", "go", "stay") for i in range(60)]
    train, held_out = split_pairs(pairs, 0.2, seed=3)
    assert sorted(train + held_out) == sorted(pairs)
    assert not {s.casefold() for s, _ in train} & {s.casefold() for s, _ in held_out}
    assert len({s.casefold() for s, _ in held_out}) == 8
    assert {s for s, _ in split_pairs(pairs[::-1], 0.2, seed=3)[1]} == {s for s, _ in held_out}
    assert split_pairs(pairs, 0.2, seed=4)[1] != held_out
    with pytest.raises(ValueError, match="`pairs` must have sentences for both parts, got 1 distinct ones"):
        split_pairs([("a", "b"), ("A", "c")])
    with pytest.raises(ValueError, match="`held_out` must be above 0 and below 1, got 1"):
        split_pairs(pairs, 1)


def test_batches():
    tokenizer = WordTokenizer(["a", "b"])
    data = SentencePairs([("a", "b a"), ("b b b", "a")], tokenizer, tokenizer)
    source, target = pad_pairs([data[0], data[1]])
    np.testing.assert_array_equal(source, [[4, 2, 0, 0], [5, 5, 5, 2]])
    np.testing.assert_array_equal(target, [[1, 5, 4, 2], [1, 4, 2, 0]])
    assert data.lengths.tolist() == [[2, 4], [4, 3]]
    with pytest.raises(ValueError, match="`samples` must hold at least one pair, got none"):
        pad_pairs([])


@pytest.mark.parametrize("pair", [("a", "b", "c"), ("a",), ("a", 3), "ab", None], ids=repr)
def test_what_is_no_pair(pair):
    tokenizer, message = (
        WordTokenizer(["a", "b"]),
        f"`pairs` must hold pairs of str, .* got {re.escape(repr(pair))} in number 1",
    )
    with pytest.raises(TypeError, match=message):
        SentencePairs([("a", "b"), pair], tokenizer, tokenizer)
    with pytest.raises(TypeError, match=message):
        split_pairs([("a", "b"), pair], 0.5)
    with pytest.raises(TypeError, match=r"`pairs` must hold pairs of str, .* got 'a b' in number 0"):
        SentencePairs("a b", tokenizer, tokenizer)
    with pytest.raises(TypeError, match=r"`held_out` must be a number, got '0.5'"):
        split_pairs([("a", "b"), ("b", "a")], "0.5")


def test_tokens_that_are_no_integers():
    with pytest.raises(TypeError, match="`samples` must hold integers, got dtype float64"):
        pad_pairs([([4, 2], [1, 2.5])])
