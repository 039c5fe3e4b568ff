"""Byte pairs fitted on sentences."""

import builtins

import pytest

from weft.data import SubwordTokenizer, tokenizer_from_config
from weft.data.words import SPECIAL

pytest.importorskip("tokenizers", exc_type=ImportError)
SENTENCES = ["Le chat dort.", "Le château est là !", "Les chats dorment."] * 9


def test_every_text_comes_back():
    tokenizer = SubwordTokenizer.of(SENTENCES, 300)
    for text in (*SENTENCES, "Ünïcode 中文 😀", "a <eos> b", "x  y"):
        tokens = tokenizer.encode(text)
        assert tokens.min() > 3
        assert tokenizer.decode([1, *tokens, 2, 0]) == text
    assert tokenizer.vocab_size <= 300
    assert tokenizer.pieces("Le chat")[0] == "Le"
    assert tokenizer.symbols([0, 1, 2, 3]) == list(SPECIAL)
    assert tokenizer.unknown("中文") == []
    assert len(tokenizer.encode("")) == 0
    assert SubwordTokenizer.of(SENTENCES, 300).config() == tokenizer.config()
    again = tokenizer_from_config(tokenizer.config())
    assert again.encode("a <eos> chat").tolist() == tokenizer.encode("a <eos> chat").tolist()


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match="`vocab_size` must be at least 260, got 100"):
        SubwordTokenizer.of(SENTENCES, 100)
    with pytest.raises(ValueError, match=r"`model` must be JSON as tokenizers writes it, got '\{'"):
        SubwordTokenizer("{")
    tokenizer = SubwordTokenizer.of(SENTENCES, 300)
    with pytest.raises(ValueError, match="`text` must be Unicode, got half of a surrogate pair"):
        tokenizer.encode("a\udcff")
    with pytest.raises(IndexError, match=r"`tokens` must be in \[0, \d+\), the vocabulary, got 999"):
        tokenizer.decode([999])
    with pytest.raises(ValueError, match="`model` must have the tokens <pad>, <bos>, <eos>, <unk> first, got"):
        SubwordTokenizer(tokenizer.config()["model"].replace("<unk>", "<other>"))
    actual = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tokenizers":
            raise ImportError("No module named 'tokenizers'")
        return actual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'`SubwordTokenizer` needs tokenizers .*: pip install "weft\[text\]"'):
        SubwordTokenizer.of(SENTENCES, 300)


def test_one_sentence_for_several():
    with pytest.raises(TypeError, match="`sentences` must be a list of str, or another iterable of them, got 'abc'"):
        SubwordTokenizer.of("abc", 300)
    with pytest.raises(ValueError, match=r"`vocab_size` must be an integer, got 300.5"):
        SubwordTokenizer.of(["abc"], 300.5)
    with pytest.raises(TypeError, match="`text` must be a str, got 3"):
        SubwordTokenizer.of(["abc"], 260).encode(3)
