"""Byte-pair encoding against the algorithm of the paper, pair by pair, on a vocabulary that is learnt here."""

import collections
import itertools
import json
import re

import numpy as np
import pytest

from weft.data import BytePairTokenizer, DataError, tokenizer_from_config

LIBRARIES = ("tokenizers", "tiktoken")
WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-zé]+| ?[0-9]+| ?[^\sA-Za-z0-9é]+|\s+(?!\S)|\s+")
TEXT = "low lower lowest, newer newest! wider 2026\n\n  the lowest newer caf\u00e9 of 26\n"


def symbols():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return dict(zip(printable, map(chr, printable))) | {b: chr(256 + i) for i, b in enumerate(rest)}


SYMBOLS = symbols()


def parts_of(text):
    return [[SYMBOLS[b] for b in word.encode()] for word in WORDS.findall(text)]


def merged(word, pair):
    i, out = 0, []
    while i < len(word):
        both = tuple(word[i : i + 2]) == pair
        out.append("".join(word[i : i + 2]) if both else word[i])
        i += 1 + both
    return out


def learnt(text, count):
    words, merges = parts_of(text), []
    for _ in range(count):
        pairs = collections.Counter(pair for word in words for pair in itertools.pairwise(word))
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = [merged(word, best) for word in words]
    return merges


MERGES = learnt(TEXT, 30)


def reference(text, ids):
    tokens = []
    for word in parts_of(text):
        for pair in MERGES:
            word = merged(word, pair)
        tokens += [ids[part] for part in word]
    return tokens


@pytest.fixture
def folder(tmp_path):
    names = [*SYMBOLS.values(), *("".join(pair) for pair in MERGES), "<|endoftext|>"]
    ids = {name: i for i, name in enumerate(dict.fromkeys(names))}
    (tmp_path / "encoder.json").write_text(json.dumps(ids))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(map(" ".join, MERGES)) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture(params=LIBRARIES)
def tokenizer(request, folder):
    pytest.importorskip(request.param, exc_type=ImportError)
    return BytePairTokenizer(folder, library=request.param)


def test_agrees_with_the_algorithm(tokenizer, folder, rng):
    ids = json.loads((folder / "encoder.json").read_text())
    texts = ["", " ", TEXT, *("".join(rng.choice(list(TEXT), 30)) for _ in range(200))]
    for text in texts:
        tokens = tokenizer.encode(text)
        assert tokens.dtype == np.int64
        assert tokens.tolist() == reference(text, ids)
        assert tokenizer.decode(tokens) == text
    assert len(tokenizer.encode(TEXT)) < len(TEXT) / 2


def test_special_tokens_are_text_unless_asked_for(tokenizer):
    end = tokenizer.special["<|endoftext|>"]
    assert end == tokenizer.vocab_size - 1
    text = "low<|endoftext|>new"
    assert end not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    asked = tokenizer.encode(text, special=True)
    assert asked.tolist() == [*tokenizer.encode("low"), end, *tokenizer.encode("new")]
    assert tokenizer.decode(asked) == text


def test_a_cut_character(tokenizer):
    tokens = tokenizer.encode("中")
    assert tokenizer.decode(tokens[:2]) == "\ufffd"


def test_errors_of_texts_and_tokens(tokenizer):
    with pytest.raises(
        ValueError, match=r"`text` must be Unicode, got half of a surrogate pair, '\\ud800' at position 1"
    ):
        tokenizer.encode("a\ud800")
    size = tokenizer.vocab_size
    with pytest.raises(IndexError, match=rf"`tokens` must be in \[0, {size}\), the vocabulary, got {size}"):
        tokenizer.decode([size])


def test_made_again(tokenizer):
    again = tokenizer_from_config(tokenizer.config())
    assert again.encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()


def test_hugging_faces_names(folder):
    pytest.importorskip("tokenizers", exc_type=ImportError)
    (folder / "encoder.json").rename(folder / "vocab.json")
    (folder / "vocab.bpe").rename(folder / "merges.txt")
    assert BytePairTokenizer(folder).decode([65, 66]) != ""


def test_gpt2(data_dir):
    """Tokens that tiktoken's `gpt2` gives."""
    pytest.importorskip("tokenizers", exc_type=ImportError)
    tokenizer = BytePairTokenizer(data_dir / "gpt2-bpe")
    assert tokenizer.vocab_size == 50257
    assert tokenizer.encode("Hello, world!").tolist() == [15496, 11, 995, 0]
    assert tokenizer.encode("<|endoftext|>", special=True).tolist() == [50256]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("encoder.json", "{", "expected a vocabulary in JSON"),
        ("encoder.json", "[" * 100_000, "expected a vocabulary in JSON, found JSON that is nested too deeply"),
        ("encoder.json", '{"a": 1}', "expected the tokens 0, 1, …, each once, by name"),
        ("encoder.json", '{"a": 0}', "expected a token for each of the 256 bytes, found none for '!'"),
        ("vocab.bpe", "l o\nl xyz\n", "found 'l xyz' in line 2"),
        ("vocab.bpe", "lo\n", "found 'lo' in line 1"),
        ("vocab.bpe", None, "expected vocab.bpe or merges.txt, found no such file"),
    ],
)
def test_damaged_files(folder, file, content, message):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        BytePairTokenizer(folder)


def test_libraries(folder, monkeypatch):
    with pytest.raises(ValueError, match="`library` must be 'tokenizers', 'tiktoken' or None, got 'spacy'"):
        BytePairTokenizer(folder, library="spacy")
    for name in LIBRARIES:
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ImportError, match=r'needs tokenizers or tiktoken \(.*\): pip install "weft\[text\]"'):
        BytePairTokenizer(folder)


def test_a_vocabulary_that_is_not_in_the_order_of_merges(folder):
    pytest.importorskip("tiktoken", exc_type=ImportError)
    ids = json.loads((folder / "encoder.json").read_text())
    first, last = ("".join(MERGES[i]) for i in (0, -1))
    ids[first], ids[last] = ids[last], ids[first]
    (folder / "encoder.json").write_text(json.dumps(ids))
    with pytest.raises(ValueError, match="`library` must be 'tokenizers' for this vocabulary"):
        BytePairTokenizer(folder, library="tiktoken")
