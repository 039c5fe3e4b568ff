"""One token per character, against a dictionary."""

import re

import numpy as np
import pytest

import weft
from weft.data import CharTokenizer, WordTokenizer, tokenizer_from_config


def test_round_trip():
    text = "naïve 中 😀\n\ud800"  # half of a surrogate pair is a character, too
    tokenizer = CharTokenizer.of(text)
    numbers = {c: i for i, c in enumerate(sorted(set(text)))}
    tokens = tokenizer.encode(text)
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [numbers[c] for c in text]
    assert tokenizer.decode(tokens) == tokenizer.decode(weft.tensor(tokens.tolist())) == text
    assert tokenizer_from_config(tokenizer.config()).alphabet == tokenizer.alphabet


def test_nothing():
    tokenizer = CharTokenizer("ab")
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.decode([]) == ""
    with pytest.raises(ValueError, match=r"`alphabet` must have at least one character, and each once, got none"):
        CharTokenizer("")


def test_errors():
    tokenizer = CharTokenizer("abc")
    for text, at in (("ab€", 2), ("A", 0), ("ab\U0010ffff", 2)):
        with pytest.raises(
            ValueError, match=rf"`text` must be of the 3 characters of the alphabet, got .* position {at}"
        ):
            tokenizer.encode(text)
    for token in (3, -1):
        with pytest.raises(IndexError, match=rf"`tokens` must be in \[0, 3\), the vocabulary, got {token}"):
            tokenizer.decode([0, token])
    with pytest.raises(TypeError, match="`tokens` must be integers, got dtype float64"):
        tokenizer.decode([0.5])
    with pytest.raises(ValueError, match=r"`alphabet` .* got 'a' twice"):
        CharTokenizer("aba")
    with pytest.raises(
        ValueError, match="`kind` of a tokenizer must be 'characters', 'byte-pair', 'subwords' or 'words', got None"
    ):
        tokenizer_from_config({})


@pytest.mark.parametrize("text", [3, None, b"abc", ["a"]], ids=repr)
def test_what_is_no_text(text):
    for encode in (
        CharTokenizer("abc").encode,
        CharTokenizer.of,
        WordTokenizer(["a"]).encode,
        WordTokenizer(["a"]).pieces,
    ):
        with pytest.raises(TypeError, match=f"`text` must be a str, got {re.escape(repr(text))}"):
            encode(text)


def test_alphabets_of_more_than_characters():
    """Two words are not their letters."""
    with pytest.raises(ValueError, match="`alphabet` must hold single characters, got 'ab'"):
        CharTokenizer(["ab", "c"])
    with pytest.raises(ValueError, match="`alphabet` must hold single characters, got ''"):
        CharTokenizer(["", "c"])
    with pytest.raises(TypeError, match="`alphabet` must be a list of str, or another iterable of them, got None"):
        CharTokenizer(None)
    with pytest.raises(TypeError, match="`alphabet` must be a str, got 3"):
        CharTokenizer(["a", 3])
