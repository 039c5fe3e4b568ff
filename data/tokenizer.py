"""Text as numbers: one for each character, here; for each piece of a word, in `byte_pair.py`; for each word, in `words.py`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from . import check
from .byte_pair import BytePairTokenizer, listed
from .subwords import SubwordTokenizer
from .words import WordTokenizer

__all__ = ["CharTokenizer", "tokenizer_from_config"]


class CharTokenizer:
    """One token for each character: its place in the alphabet.

    Parameters
    ----------
    alphabet : str or iterable of str
        The characters, each once, in the order of their tokens. `CharTokenizer.of(text)` has those of a text, sorted.

    Attributes
    ----------
    alphabet : str
        All of them.
    vocab_size : int
        How many there are.

    Raises
    ------
    TypeError
        If they are no str.
    ValueError
        If there is none, one appears twice, or one is longer than a character.

    Examples
    --------
    >>> tokenizer = CharTokenizer.of("to be or not to be")
    >>> tokenizer
    CharTokenizer(7 characters: ' benort')
    >>> tokenizer.encode("not")
    array([3, 4, 6])
    >>> tokenizer.decode([1, 2])
    'be'
    """

    def __init__(self, alphabet: str | Iterable[str]):
        characters = list(alphabet) if isinstance(alphabet, str) else list(check.texts("alphabet", alphabet))
        if long := [c for c in characters if len(c) != 1]:
            raise ValueError(f"`alphabet` must hold single characters, got {long[0]!r:.60}")
        self.alphabet = "".join(characters)
        points = _code_points(self.alphabet)
        if not len(points) or len(np.unique(points)) < len(points):
            twice = next((c for i, c in enumerate(self.alphabet) if c in self.alphabet[:i]), None)
            found = "none" if twice is None else f"{twice!r} twice"
            raise ValueError(f"`alphabet` must have at least one character, and each once, got {found}")
        self._tokens = np.full(int(points.max()) + 2, -1, np.int64)  # by code point; the last stands for all above
        self._tokens[points] = np.arange(len(points))

    @staticmethod
    def of(text: str) -> CharTokenizer:
        """The tokenizer of the characters that occur in a text.

        Parameters
        ----------
        text : str
            At least one character.

        Returns
        -------
        CharTokenizer
            Its alphabet is sorted by code point.

        Examples
        --------
        >>> CharTokenizer.of("cab").alphabet
        'abc'
        """
        return CharTokenizer(sorted(set(check.text("text", text))))

    @property
    def vocab_size(self) -> int:
        """How many tokens there are.

        Examples
        --------
        >>> CharTokenizer("abc").vocab_size
        3
        """
        return len(self.alphabet)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text.

        Parameters
        ----------
        text : str
            Of characters of the alphabet.

        Returns
        -------
        array of int64
            As long as the text.

        Raises
        ------
        TypeError
            If it is no str.
        ValueError
            If a character is not in the alphabet.

        Examples
        --------
        >>> CharTokenizer("abc").encode("cab")
        array([2, 0, 1])
        """
        points = _code_points(check.text("text", text))
        tokens = self._tokens[np.minimum(points, len(self._tokens) - 1)]
        if len(tokens) and tokens.min() < 0:
            at = int(tokens.argmin())
            raise ValueError(
                f"`text` must be of the {self.vocab_size} characters of the alphabet, got {text[at]!r} at position {at}; "
                "leave it out, or make the tokenizer of a text that has it"
            )
        return tokens

    def decode(self, tokens: Any) -> str:
        """The text of tokens.

        Parameters
        ----------
        tokens : array, Tensor or list of int
            Each at least 0 and below `vocab_size`; of any shape, read in order.

        Returns
        -------
        str
            As long as there are tokens.

        Raises
        ------
        IndexError
            If a token is outside the vocabulary.

        Examples
        --------
        >>> CharTokenizer("abc").decode(weft.tensor([2, 0, 1]))
        'cab'
        """
        return "".join([self.alphabet[i] for i in listed(tokens, self.vocab_size)])

    def config(self) -> dict[str, Any]:
        """What makes the same tokenizer again, as JSON has it.

        Returns
        -------
        dict
            For `tokenizer_from_config`.

        Examples
        --------
        >>> CharTokenizer("abc").config()
        {'kind': 'characters', 'alphabet': 'abc'}
        """
        return {"kind": "characters", "alphabet": self.alphabet}

    def __repr__(self) -> str:
        shown = self.alphabet if len(self.alphabet) <= 40 else f"{self.alphabet[:39]}…"
        return f"{type(self).__name__}({len(self.alphabet)} characters: {shown!r})"


def tokenizer_from_config(
    config: dict[str, Any],
) -> CharTokenizer | BytePairTokenizer | SubwordTokenizer | WordTokenizer:
    """The tokenizer that `config()` described.

    Parameters
    ----------
    config : dict
        "kind", and what the kind needs.

    Returns
    -------
    CharTokenizer, BytePairTokenizer, SubwordTokenizer or WordTokenizer
        Gives the same tokens.

    Raises
    ------
    ValueError
        If it is no such description.
    DataError
        If the files of a byte-pair vocabulary are not where they were.

    Examples
    --------
    >>> tokenizer_from_config(CharTokenizer("abc").config())
    CharTokenizer(3 characters: 'abc')
    """
    kind = config.get("kind")
    if kind == "characters":
        return CharTokenizer(config["alphabet"])
    if kind == "byte-pair":
        return BytePairTokenizer(config["folder"])
    if kind == "words":
        return WordTokenizer(config["words"], tuple(config["joined"]))
    if kind == "subwords":
        return SubwordTokenizer(config["model"])
    raise ValueError(f"`kind` of a tokenizer must be 'characters', 'byte-pair', 'subwords' or 'words', got {kind!r}")


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.int64)
