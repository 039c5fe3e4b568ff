"""Beam search: the likeliest sequences of any model that gives, step by step, log-probabilities of the next token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..backend.device.options import integer, number

__all__ = ["Hypothesis", "beam_search"]


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that was found.

    Parameters
    ----------
    tokens : list of int
        Without the one it begins with; `eos` is the last unless it was cut at the greatest length.
    log_probability : float
        ln P, the sum over its tokens.
    score : float
        What hypotheses are ranked by: ln P divided by the length penalty.

    Examples
    --------
    >>> Hypothesis([4, 2], -1.5, -1.2).tokens
    [4, 2]
    """

    tokens: list[int]
    log_probability: float
    score: float


def beam_search(
    step: Callable[[np.ndarray, np.ndarray], np.ndarray],
    batch_size: int,
    *,
    bos: int,
    eos: int,
    max_length: int,
    beam: int = 4,
    length_penalty: float = 0.6,
) -> list[list[Hypothesis]]:
    """The `beam` best continuations of each row of a batch, by ln P(Y) / lp(Y), lp(Y) = ((5 + |Y|) / 6)^α.

    At each step every row keeps the `beam` likeliest prefixes. Of all their extensions, those by `eos` that are among the
    `beam` likeliest are finished; a row ends when it has `beam` of these, or at the greatest length, where prefixes count as
    they are. A beam of 1 is greedy search; one that nothing falls out of is an exhaustive search.

    Parameters
    ----------
    step : callable
        `step(tokens, rows)`: tokens (R,), the last of each prefix; rows (R,), where in the previous call the prefix that it goes
        on from stood, or in the first call, which row of the batch it is; returns ln p of the next token (R, V), an array.
        State that the model keeps is to be taken by `rows` first (`KeyValueCache.reorder`).
    batch_size : int
        N.
    bos : int
        The token that all begin with.
    eos : int
        The token that ends a sequence.
    max_length : int
        The greatest |Y|, `eos` included.
    beam : int, default 4
        How many prefixes are kept.
    length_penalty : float, default 0.6
        α in [0, 10]: 0 ranks by probability, which favours short sequences.

    Returns
    -------
    list of lists of Hypothesis
        For each row at most `beam`, best first.

    Raises
    ------
    TypeError
        If an option is no number.
    ValueError
        If an option is out of range, or a log-probability is NaN.

    References
    ----------
    Wu et al., "Google's Neural Machine Translation System" (2016), equation 14, without the coverage penalty.

    Examples
    --------
    >>> p = np.log([[0.1, 0.5, 0.4], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4]])  # of a next token after 0, 1, 2
    >>> found = beam_search(lambda tokens, rows: p[tokens], 1, bos=0, eos=2, max_length=3, beam=2)
    >>> [h.tokens for h in found[0]]
    [[2], [1, 2]]
    """
    _check(batch_size, beam, max_length, length_penalty)
    prefixes: list[list[list[int]]] = [[[]] for _ in range(batch_size)]
    scores = [np.zeros(1) for _ in range(batch_size)]
    finished: list[list[Hypothesis]] = [[] for _ in range(batch_size)]
    tokens, rows = np.full(batch_size, bos, np.int64), np.arange(batch_size)
    living = list(range(batch_size))
    for _step in range(max_length):
        log_p = np.asarray(step(tokens, rows), np.float64)
        if np.isnan(log_p).any():
            raise ValueError("`step` must give log-probabilities, got NaN: the model's weights are not finite")
        first, after, next_tokens, next_rows = 0, [], [], []
        for i in living:
            count = len(prefixes[i])
            total = scores[i][:, None] + log_p[first : first + count]
            chosen = _largest(total.ravel(), 2 * beam)
            parents, words = np.divmod(chosen, log_p.shape[1])
            best = total.ravel()[chosen]
            ends = (words == eos) & (np.arange(len(chosen)) < beam)
            for parent, score in zip(parents[ends].tolist(), best[ends].tolist()):
                finished[i].append(_hypothesis([*prefixes[i][parent], eos], score, length_penalty))
            on = np.flatnonzero(words != eos)[:beam]
            if len(finished[i]) < beam and len(on):
                prefixes[i] = [[*prefixes[i][p], w] for p, w in zip(parents[on].tolist(), words[on].tolist())]
                scores[i] = best[on]
                after.append(i)
                next_tokens.append(words[on])
                next_rows.append(first + parents[on])
            first += count
        living = after
        if not living:
            break
        tokens, rows = np.concatenate(next_tokens), np.concatenate(next_rows)
    for i in living:  # at the greatest length
        cut = zip(prefixes[i], scores[i].tolist())
        finished[i] += [_hypothesis(prefix, score, length_penalty) for prefix, score in cut]
    return [sorted(found, key=lambda h: -h.score)[:beam] for found in finished]


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the largest finite values, the largest first; of equal ones the first."""
    count = min(count, len(values))
    places = np.argpartition(-values, count - 1)[:count]
    places = places[np.lexsort((places, -values[places]))]
    return places[np.isfinite(values[places])]


def _hypothesis(tokens: list[int], log_probability: float, length_penalty: float) -> Hypothesis:
    penalty = ((5 + len(tokens)) / 6) ** length_penalty
    return Hypothesis(tokens, log_probability, log_probability / penalty)


def _check(batch_size: int, beam: int, max_length: int, length_penalty: float) -> None:
    for name, n in (("batch_size", batch_size), ("beam", beam), ("max_length", max_length)):
        integer(name, n)
        if n < 1:
            raise ValueError(f"`{name}` must be at least 1, got {n}")
    number("length_penalty", length_penalty, 0, 10)  # its power of a length must be a number
