"""Sentences through a translator: their translations, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.device.options import integer
from ..backend.tape.autograd import no_grad
from ..data.words import BOS, EOS
from ..layers.evaluating import evaluating
from ..layers.generation import as_tokens

__all__ = ["attention_of", "translate"]


def translate(
    model: Any,
    source: Any,
    target: Any,
    sentences: Sequence[str],
    *,
    beam: int = 4,
    length_penalty: float = 0.6,
    batch_size: int = 64,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Sentences in the other language, in their order; those of like length are translated together.

    Parameters
    ----------
    model : EncoderDecoder
        What translates.
    source, target : tokenizer
        Of the two languages.
    sentences : sequence of str
        Each of at least one word, and as many as the model's context, with the end, at most.
    beam : int, default 4
        See `beam_search`.
    length_penalty : float, default 0.6
        See `beam_search`.
    batch_size : int, default 64
        How many are translated at once.
    progress : callable, optional
        Told how many more are done.

    Returns
    -------
    list of str
        The translations.

    Raises
    ------
    TypeError
        If `sentences` is one by itself, or an option no number.
    ValueError
        If an option is out of range, or a sentence has no word, or too many.
    """
    if isinstance(sentences, str):
        raise TypeError(f"`sentences` must be a list of str, got one by itself, {sentences!r:.60}; put it into a list")
    integer("batch_size", batch_size, 1)
    rows = [np.append(source.encode(sentence), EOS) for sentence in sentences]
    for i, row in enumerate(rows):
        if not 2 <= len(row) <= model.context:
            raise ValueError(
                f"`sentences` must have 1 to {model.context - 1} tokens (words and marks) each, got {len(row) - 1} in number "
                f"{i + 1}, {sentences[i]!r:.60}; cut it into sentences, or train with a greater --max-words"
            )
    found = [""] * len(rows)
    order = np.argsort([len(row) for row in rows], kind="stable").tolist()
    for start in range(0, len(rows), batch_size):
        part = order[start : start + batch_size]
        for i, best in zip(part, model.translate([rows[i] for i in part], beam=beam, length_penalty=length_penalty)):
            found[i] = target.decode(best.tokens)
        if progress is not None:
            progress(len(part))
    return found


def attention_of(
    model: Any, source: Any, target: Any, sentence: str, *, beam: int = 4, length_penalty: float = 0.6
) -> tuple[list[str], list[str], np.ndarray]:
    """What the model looks at while it translates a sentence.

    Parameters
    ----------
    model : EncoderDecoder
        What translates, in evaluation.
    source, target : tokenizer
        Of the two languages.
    sentence : str
        Of at least one word.
    beam, length_penalty : optional
        As for `translate`.

    Returns
    -------
    tuple of list of str, list of str, array
        The words that it reads, those that it writes, and the weights (written, read).
    """
    row = np.append(source.encode(sentence), EOS)
    best = model.translate([row], beam=beam, length_penalty=length_penalty)[0].tokens
    before = np.asarray([[BOS, *best[:-1]]])
    with no_grad(), evaluating(model):
        weights = model.attention(as_tokens(row[None], model), as_tokens(before, model))
    shown = [*source.pieces(sentence), "<eos>"]
    return shown, target.symbols(best), weights.cpu().numpy()[0]
