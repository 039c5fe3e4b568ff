"""Words as tokens: what is a word, which case it has, where spaces go."""

import pytest

from weft.data import WordTokenizer, tokenizer_from_config
from weft.data.words import UNK

FRENCH = [
    "Je n'ai pas d'eau !",
    "L'eau, c'est la vie.",
    "Où allez-vous ?",
    "Tom l'a vue, et Tom dort.",
    "Il a 3,5 ans.",
]


def test_sentences_come_back():
    tokenizer = WordTokenizer.of(FRENCH)
    assert [tokenizer.decode(tokenizer.encode(s)) for s in FRENCH] == FRENCH
    assert tokenizer.pieces("Où allez-vous ?") == ["où", "allez", "-vous", "?"]
    assert tokenizer.pieces("L'eau, 3,5 !") == ["l'", "eau", ",", "3,5", "!"]


def test_the_first_word_has_the_case_it_has_within():
    tokenizer = WordTokenizer.of(["The dog", "I saw the dog", "It saw Tom", "Tom sees it, I see it", "Yes I do"])
    assert tokenizer.pieces("The")[0] == "the"
    assert tokenizer.pieces("Tom dog")[0] == "Tom"
    assert tokenizer.pieces("I do")[0] == "I"
    assert tokenizer.pieces("Unknown")[0] == "unknown"
    assert tokenizer.decode(tokenizer.encode("the dog")) == "The dog"


def test_vocabulary():
    tokenizer = WordTokenizer.of(["b a", "b a", "b c"], max_words=2)
    assert tokenizer.words[4:] == ("b", "a")
    assert tokenizer.encode("a c").tolist() == [5, UNK]
    assert tokenizer.unknown("a c d c") == ["c", "d", "c"]
    assert tokenizer.encode("").tolist() == []
    assert tokenizer.decode([]) == ""
    assert tokenizer.symbols([1, 5, 3]) == ["<bos>", "a", "<unk>"]
    again = tokenizer_from_config(WordTokenizer.of(FRENCH).config())
    assert [again.decode(again.encode(s)) for s in FRENCH] == FRENCH


def test_errors():
    with pytest.raises(ValueError, match=r"`words` must have each word once, and none of <pad>.*, got 'a' twice"):
        WordTokenizer(["a", "b", "a"])
    with pytest.raises(ValueError, match=r"got '<eos>' twice"):
        WordTokenizer(["<eos>"])
    with pytest.raises(ValueError, match=r"`sentences` must have words that occur 3 times, got none"):
        WordTokenizer.of(["a b", "a"], min_count=3)
    with pytest.raises(ValueError, match="`max_words` must be at least 1, got 0"):
        WordTokenizer.of(["a"], max_words=0)
    with pytest.raises(IndexError, match=r"`tokens` must be in \[0, 5\), the vocabulary, got 5"):
        WordTokenizer(["a"]).decode([5])


def test_one_sentence_for_several():
    """Its letters would be the words."""
    for call in (lambda: WordTokenizer.of("abc def"), lambda: WordTokenizer.of(b"abc")):
        with pytest.raises(
            TypeError, match=r"`sentences` must be a list of str, or another iterable of them, got b?'abc"
        ):
            call()
    with pytest.raises(TypeError, match="`words` must be a list of str, or another iterable of them, got 'abc'"):
        WordTokenizer("abc")
    with pytest.raises(TypeError, match="`sentences` must be a str, got 3"):
        WordTokenizer.of(["a", 3])
    with pytest.raises(ValueError, match=r"`max_words` must be an integer, got 1.5"):
        WordTokenizer.of(["a"], max_words=1.5)
    assert WordTokenizer.of(s for s in ["a b"]).vocab_size == 6


def test_a_word_that_only_begins_sentences_is_joined_as_it_was_there():
    sentences = ["How's the water?", "How's Tom?", "The water is cold.", "Everybody's here."]
    tokenizer = WordTokenizer.of(sentences)
    assert [tokenizer.decode(tokenizer.encode(s)) for s in sentences] == sentences
