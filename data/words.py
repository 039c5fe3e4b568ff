"""Sentences as words: a vocabulary fitted on sentences, with tokens for padding, beginning, end and what is not in it."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..backend.device.options import integer
from . import check
from .byte_pair import listed

__all__ = ["WordTokenizer"]

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNK = range(4)
# A number; a word with the apostrophe that elides its end (l'), or the hyphen that joins it to the last (-vous); a sign.
PIECE = re.compile(r"\d+(?:[.,]\d+)*|-?\w+['’]?|[^\w\s]")


class WordTokenizer:
    """One token for each word or punctuation mark; the four first are `<pad>`, `<bos>`, `<eos>` and `<unk>`.

    A sentence's first word is written as it is more often written within sentences, and the first letter of a decoded text
    is a capital one; words are otherwise taken as they are. `WordTokenizer.of(sentences)` fits one.

    Parameters
    ----------
    words : sequence of str
        The vocabulary, commonest first, without the four special tokens.
    joined : tuple of two sequences of str, default ((), ())
        Words that no space stands in front of, and words that none stands behind.

    Attributes
    ----------
    words : tuple of str
        Those of all tokens.
    vocab_size : int
        How many tokens there are.

    Raises
    ------
    TypeError
        If they are no str.
    ValueError
        If a word appears twice, or is one of the special tokens.

    Examples
    --------
    >>> tokenizer = WordTokenizer.of(["Le chat dort.", "Il voit le chat."])
    >>> tokenizer.words[4:]
    ('.', 'chat', 'le', 'dort', 'il', 'voit')
    >>> tokenizer.encode("Le chat voit le chien.").tolist()
    [6, 5, 9, 6, 3, 4]
    >>> tokenizer.decode([6, 5, 9, 4])
    'Le chat voit.'
    """

    def __init__(self, words: Sequence[str], joined: tuple[Sequence[str], Sequence[str]] = ((), ())):
        self.words = (*SPECIAL, *check.texts("words", words))
        self._ids = {word: i for i, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            twice = next(word for word, n in Counter(self.words).items() if n > 1)
            raise ValueError(f"`words` must have each word once, and none of {', '.join(SPECIAL)}, got {twice!r} twice")
        self.joined = tuple(joined[0]), tuple(joined[1])
        self._before, self._behind = map(frozenset, self.joined)

    @staticmethod
    def of(sentences: Iterable[str], *, max_words: int | None = None, min_count: int = 1) -> WordTokenizer:
        """The tokenizer of the commonest words of some sentences.

        Parameters
        ----------
        sentences : iterable of str
            The training part.
        max_words : int, optional
            How many words to take at most.
        min_count : int, default 1
            How often a word must occur.

        Returns
        -------
        WordTokenizer
            Its words are sorted, commonest first, then by code point.

        Raises
        ------
        TypeError
            If `sentences` are no str, or is one by itself.
        ValueError
            If no word is left, or an option is less than 1.

        Examples
        --------
        >>> WordTokenizer.of(["a b c", "b c", "c"], min_count=2).words
        ('<pad>', '<bos>', '<eos>', '<unk>', 'c', 'b')
        """
        for name, n in (("max_words", max_words), ("min_count", min_count)):
            if n is not None:
                integer(name, n)
            if n is not None and n < 1:
                raise ValueError(f"`{name}` must be at least 1, got {n}")
        first, within, spaces = Counter[str](), Counter[str](), Counter[tuple[str, int]]()
        for sentence in check.texts("sentences", sentences):
            pieces = list(PIECE.finditer(sentence))
            first.update(piece[0] for piece in pieces[:1])
            within.update(piece[0] for piece in pieces[1:])
            for a, b in itertools.pairwise(pieces):
                vote = 1 if a.end() == b.start() else -1
                for written in {a[0], _lowered(a[0])} if a is pieces[0] else (a[0],):  # what it will be taken for
                    spaces[written, 1] += vote
                spaces[b[0], 0] += vote
        counts = within.copy()
        for word, n in first.items():
            counts[_lowered(word) if within[_lowered(word)] >= within[word] else word] += n
        common = sorted((-n, word) for word, n in counts.items() if n >= min_count)[:max_words]
        if not common:
            raise ValueError(
                f"`sentences` must have words that occur {min_count} times, got none; give more of them, or a smaller min_count"
            )
        words = [word for _, word in common]
        before = [w for w in words if not w[0].isalnum() and spaces[w, 0] > 0]
        behind = [w for w in words if not w[-1].isalnum() and spaces[w, 1] > 0]
        return WordTokenizer(words, (before, behind))

    @property
    def vocab_size(self) -> int:
        """How many tokens there are.

        Examples
        --------
        >>> WordTokenizer(["a", "b"]).vocab_size
        6
        """
        return len(self.words)

    def pieces(self, text: str) -> list[str]:
        """The words of a text, as they are looked up.

        Parameters
        ----------
        text : str
            A sentence.

        Returns
        -------
        list of str
            None where there is nothing but space.

        Examples
        --------
        >>> WordTokenizer(["l'", "eau"]).pieces("L'eau !")
        ["l'", 'eau', '!']
        """
        words = PIECE.findall(check.text("text", text))
        if words:
            last = len(self.words)
            lowered = _lowered(words[0])
            if self._ids.get(lowered, last) <= self._ids.get(words[0], last):
                words[0] = lowered
        return words

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text: neither beginning nor end are marked.

        Parameters
        ----------
        text : str
            A sentence.

        Returns
        -------
        array of int64
            `UNK`, 3, for words that are not in the vocabulary.

        Examples
        --------
        >>> WordTokenizer(["a", "b"]).encode("b or a")
        array([5, 3, 4])
        """
        return np.asarray([self._ids.get(word, UNK) for word in self.pieces(text)], np.int64)

    def unknown(self, text: str) -> list[str]:
        """The words of a text that are not in the vocabulary.

        Parameters
        ----------
        text : str
            A sentence.

        Returns
        -------
        list of str
            In their order.

        Examples
        --------
        >>> WordTokenizer(["a", "b"]).unknown("b or a")
        ['or']
        """
        return [word for word in self.pieces(text) if word not in self._ids]

    def symbols(self, tokens: Any) -> list[str]:
        """The word of each token, special ones too.

        Parameters
        ----------
        tokens : array, Tensor or list of int
            Each at least 0 and below `vocab_size`.

        Returns
        -------
        list of str
            As many.

        Raises
        ------
        IndexError
            If a token is outside the vocabulary.

        Examples
        --------
        >>> WordTokenizer(["a", "b"]).symbols([5, 2])
        ['b', '<eos>']
        """
        return [self.words[i] for i in listed(tokens, self.vocab_size)]

    def decode(self, tokens: Any) -> str:
        """The text of tokens; padding, beginning and end leave no trace.

        Parameters
        ----------
        tokens : array, Tensor or list of int
            Each at least 0 and below `vocab_size`.

        Returns
        -------
        str
            A sentence.

        Raises
        ------
        IndexError
            If a token is outside the vocabulary.

        Examples
        --------
        >>> WordTokenizer(["a", "b"]).decode([1, 4, 3, 5, 2, 0])
        'A <unk> b'
        """
        words = [self.words[i] for i in listed(tokens, self.vocab_size) if i not in (PAD, BOS, EOS)]
        text = ""
        for before, word in zip(["", *words], words):
            space = bool(text) and word not in self._before and before not in self._behind
            text += f"{' ' * space}{word}"
        return text[:1].upper() + text[1:]

    def config(self) -> dict[str, Any]:
        """What makes the same tokenizer again, as JSON has it.

        Returns
        -------
        dict
            For `tokenizer_from_config`.

        Examples
        --------
        >>> WordTokenizer(["a"]).config()
        {'kind': 'words', 'words': ['a'], 'joined': [[], []]}
        """
        return {"kind": "words", "words": list(self.words[len(SPECIAL) :]), "joined": [*map(list, self.joined)]}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size:,} tokens)"


def _lowered(word: str) -> str:
    return word[:1].lower() + word[1:]
