"""Sentences as pieces of words: byte pairs fitted on them, by `tokenizers`, imported when first needed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend.device.options import integer
from . import check
from .byte_pair import listed
from .words import BOS, EOS, PAD, SPECIAL

__all__ = ["SubwordTokenizer"]


class SubwordTokenizer:
    """Byte-level byte-pair encoding fitted on sentences: every text has tokens, and none is unknown.

    The four first tokens are `<pad>`, `<bos>`, `<eos>` and `<unk>`, as of a `WordTokenizer`; what looks like them in a text is
    text. `SubwordTokenizer.of(sentences, vocab_size)` fits one.

    Parameters
    ----------
    model : str
        What `config()` gave, in the JSON of `tokenizers`.

    Attributes
    ----------
    vocab_size : int
        How many tokens there are.

    Raises
    ------
    ValueError
        If it is no such description.
    ImportError
        If `tokenizers` is not installed.

    References
    ----------
    Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016).

    Examples
    --------
    >>> tokenizer = SubwordTokenizer.of(["to be or not to be"] * 3, 300)
    >>> tokenizer.pieces("not to bet"), tokenizer.decode(tokenizer.encode("not to bet"))
    (['not', 'to', 'be', 't'], 'not to bet')
    """

    def __init__(self, model: str):
        tokenizers = _library()
        try:
            self._model = tokenizers.Tokenizer.from_str(model)
        except Exception as error:  # its own class is none of its own
            raise ValueError(f"`model` must be JSON as tokenizers writes it, got {model!r:.40} ({error})") from None
        self._model.encode_special_tokens = True
        self.vocab_size = self._model.get_vocab_size()
        found = tuple(self._model.id_to_token(i) for i in range(len(SPECIAL)))
        if found != SPECIAL:
            raise ValueError(f"`model` must have the tokens {', '.join(SPECIAL)} first, got {found}")

    @staticmethod
    def of(sentences: Iterable[str], vocab_size: int = 8000) -> SubwordTokenizer:
        """The tokenizer of the commonest pairs of some sentences.

        Parameters
        ----------
        sentences : iterable of str
            The training part.
        vocab_size : int, default 8000
            How many tokens at most, at least 260: the bytes and the special ones.

        Returns
        -------
        SubwordTokenizer
            The same for the same sentences.

        Raises
        ------
        TypeError
            If `sentences` are no str, or is one by itself.
        ValueError
            If `vocab_size` is too small.
        ImportError
            If `tokenizers` is not installed.
        """
        tokenizers = _library()
        integer("vocab_size", vocab_size)
        sentences = check.texts("sentences", sentences)
        if vocab_size < 256 + len(SPECIAL):
            raise ValueError(f"`vocab_size` must be at least {256 + len(SPECIAL)}, got {vocab_size}")
        bytewise = tokenizers.pre_tokenizers.ByteLevel
        model = tokenizers.Tokenizer(tokenizers.models.BPE())
        model.pre_tokenizer = bytewise(add_prefix_space=True)
        model.decoder = tokenizers.decoders.ByteLevel()
        options = {"special_tokens": list(SPECIAL), "initial_alphabet": bytewise.alphabet(), "show_progress": False}
        model.train_from_iterator(sentences, tokenizers.trainers.BpeTrainer(vocab_size=vocab_size, **options))
        return SubwordTokenizer(model.to_str())

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text: neither beginning nor end are marked.

        Parameters
        ----------
        text : str
            A sentence.

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
        return np.asarray(self._encoded(text).ids, np.int64)

    def _encoded(self, text: str) -> Any:
        check.text("text", text)
        try:
            return self._model.encode(text.strip(), add_special_tokens=False)
        except TypeError:
            raise ValueError(
                f"`text` must be Unicode, got half of a surrogate pair in {text!r:.60}; decode it with errors='replace'"
            ) from None

    def pieces(self, text: str) -> list[str]:
        """The text of each token of a text.

        Parameters
        ----------
        text : str
            A sentence.

        Returns
        -------
        list of str
            U+FFFD where a token is a part of a character.
        """
        return self.symbols(self.encode(text))

    def unknown(self, text: str) -> list[str]:
        """What of a text has no token: nothing.

        Parameters
        ----------
        text : str
            A sentence.

        Returns
        -------
        list of str
            Empty.
        """
        return []

    def symbols(self, tokens: Any) -> list[str]:
        """The text of each token, special ones too.

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
        """
        ids = listed(tokens, self.vocab_size)
        return [SPECIAL[i] if i < len(SPECIAL) else self._model.decode([i]).strip() for i in ids]

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
        """
        ids = [i for i in listed(tokens, self.vocab_size) if i not in (PAD, BOS, EOS)]
        return self._model.decode(ids, skip_special_tokens=False).strip()

    def config(self) -> dict[str, Any]:
        """What makes the same tokenizer again, as JSON has it.

        Returns
        -------
        dict
            For `tokenizer_from_config`.
        """
        return {"kind": "subwords", "model": json.dumps(json.loads(self._model.to_str()), separators=(",", ":"))}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size:,} tokens)"


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(f'`SubwordTokenizer` needs tokenizers ({error}): pip install "weft[text]"') from None
    return tokenizers
