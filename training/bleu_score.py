"""How good translations are: BLEU, through sacrebleu, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["bleu", "word_for_word"]


def bleu(translations: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU, from 0 to 100, as sacrebleu computes it by default (tokenizer 13a, mixed case, exponential smoothing).

    Parameters
    ----------
    translations : sequence of str
        N of them, at least one.
    references : sequence of sequences of str
        For each translation all that are right, at least one.

    Returns
    -------
    float
        A corpus without a match of four words has some little more than 0, or 0 where no translation has four.

    Raises
    ------
    TypeError
        If one of them is no str, or `translations` is one by itself.
    ValueError
        If there are no translations, or not as many references, or none for one.
    ImportError
        If sacrebleu is missing.

    References
    ----------
    Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation" (2002); Post, "A Call for Clarity in
    Reporting BLEU Scores" (2018).

    Examples
    --------
    >>> bleu(["the cat is on the mat"], [])
    Traceback (most recent call last):
        ...
    ValueError: `references` must have an entry for each of the 1 translations, got 0
    """
    _check_list("translations", translations)
    if not translations:
        raise ValueError("`translations` must have at least one, got none")
    if len(references) != len(translations):
        raise ValueError(
            f"`references` must have an entry for each of the {len(translations)} translations, got {len(references)}"
        )
    for i, right in enumerate(references):
        if isinstance(right, str) or not right:
            raise ValueError(f"`references` must have a list of at least one for each, got {right!r:.60} in number {i}")
        _check_list(f"references[{i}]", right)
    try:
        from sacrebleu import corpus_bleu
    except ImportError as error:
        raise ImportError(f'`bleu` needs sacrebleu ({error}): pip install "weft[translate]"') from None
    most = max(map(len, references))  # sacrebleu wants K lists of N, and None where one has fewer
    streams: Any = [[right[k] if k < len(right) else None for right in references] for k in range(most)]
    return min(100.0, float(corpus_bleu(list(translations), streams).score))


def _check_list(name: str, texts: Any) -> None:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"`{name}` must be a list of str, got {texts!r:.60}")


def word_for_word(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], source_size: int) -> np.ndarray:
    """For each source word the target word that goes with it best: a unigram baseline, which knows no order and no context.

    With n the number of pairs that have the words, it is the t with the greatest n(s, t)² / (n(s) · n(t)).

    Parameters
    ----------
    sources, targets : sequence of arrays of int
        The tokens of pairs.
    source_size : int
        Of the source's vocabulary.

    Returns
    -------
    array of int64, shape (source_size,)
        −1 for words that are in no pair.

    Examples
    --------
    >>> word_for_word([[4, 5], [4], [5, 6]], [[8, 7], [7], [8, 9]], 7).tolist()
    [-1, -1, -1, -1, 7, 8, 9]
    """
    width = 1 + max(int(max(t, default=0)) for t in targets)
    keys, first, second = [], np.zeros(source_size), np.zeros(width)
    for source, target in zip(sources, targets):
        s, t = np.unique(np.asarray(source, np.int64)), np.unique(np.asarray(target, np.int64))
        first[s] += 1
        second[t] += 1
        keys.append((s[:, None] * width + t).ravel())
    pairs, together = np.unique(np.concatenate(keys), return_counts=True)
    s, t = np.divmod(pairs, width)
    score = together / first[s] * together / second[t]
    order = np.lexsort((t, -score, s))
    words, at = np.unique(s[order], return_index=True)
    table = np.full(source_size, -1, np.int64)
    table[words] = t[order][at]
    return table
