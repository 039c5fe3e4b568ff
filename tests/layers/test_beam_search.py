"""Beam search against all sequences there are."""

import itertools
import math

import numpy as np
import pytest

from weft.layers.models import beam_search

WORDS, EOS, LONGEST = 4, 0, 4


def model(seed):
    """ln p of the next token after any prefix: drawn once for each, so that it depends on all of it."""
    tables = {}

    def log_p(prefix):
        if prefix not in tables:
            z = np.random.default_rng([seed, *prefix, len(prefix)]).normal(size=WORDS) * 2
            tables[prefix] = z - math.log(np.exp(z).sum())
        return tables[prefix]

    return log_p


def step_of(models):
    """The step function of a batch of such models, which keeps its prefixes as a model keeps its states."""
    state = None

    def step(tokens, rows):
        nonlocal state
        if state is None:
            state = [(i, ()) for i in rows.tolist()]
        else:
            state = [(state[r][0], (*state[r][1], t)) for t, r in zip(tokens.tolist(), rows.tolist())]
        return np.stack([models[i](prefix) for i, prefix in state])

    return step


def every_sequence(log_p, alpha):
    """(score, tokens), best first, of all that end, and of those that are cut."""
    found = []
    for length in range(1, LONGEST + 1):
        for tokens in itertools.product(range(WORDS), repeat=length):
            if EOS in tokens[:-1] or (tokens[-1] != EOS and length < LONGEST):
                continue
            total = sum(log_p(tokens[:i])[t] for i, t in enumerate(tokens))
            found.append((total / ((5 + length) / 6) ** alpha, list(tokens)))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_is_exhaustive(alpha):
    models = [model(seed) for seed in range(5)]
    options = {"bos": 9, "eos": EOS, "max_length": LONGEST, "beam": 200, "length_penalty": alpha}
    found = beam_search(step_of(models), 5, **options)
    for hypotheses, log_p in zip(found, models):
        expected = every_sequence(log_p, alpha)
        assert len(hypotheses) == len(expected)
        assert [h.tokens for h in hypotheses[:20]] == [tokens for _, tokens in expected[:20]]
        np.testing.assert_allclose([h.score for h in hypotheses], [score for score, _ in expected])


def test_a_beam_of_one_is_greedy():
    for seed in range(20):
        log_p, tokens = model(seed), []
        while len(tokens) < LONGEST and EOS not in tokens:
            tokens.append(int(log_p(tuple(tokens)).argmax()))
        found = beam_search(step_of([log_p]), 1, bos=9, eos=EOS, max_length=LONGEST, beam=1)[0]
        assert [h.tokens for h in found] == [tokens]


def test_wider_beams_find_likelier_sequences():
    best = np.array(
        [
            [
                beam_search(step_of([model(s)]), 1, bos=9, eos=EOS, max_length=4, beam=b, length_penalty=0)[0][0].score
                for s in range(40)
            ]
            for b in (1, 3, 200)
        ]
    )
    assert best[0].mean() < best[1].mean() <= best[2].mean()
    assert (best[1] <= best[2] + 1e-12).all()


def test_rows_do_not_depend_on_each_other():
    models = [model(seed) for seed in range(6)]
    options = {"bos": 9, "eos": EOS, "max_length": LONGEST, "beam": 3}
    together = beam_search(step_of(models), 6, **options)
    assert together == [beam_search(step_of([m]), 1, **options)[0] for m in models]


def test_the_penalty_lengthens():
    lengths = [
        np.mean(
            [
                len(
                    beam_search(step_of([model(s)]), 1, bos=9, eos=EOS, max_length=4, beam=99, length_penalty=a)[0][
                        0
                    ].tokens
                )
                for s in range(30)
            ]
        )
        for a in (0.0, 3.0)
    ]
    assert lengths[0] < lengths[1]


def test_tokens_that_cannot_be():
    """Of probability 0: never chosen, also where fewer are left than the beam is wide."""
    log_p = np.log([0.5, 0.5, 1e-300, 1e-300])
    log_p[2:] = -np.inf
    found = beam_search(lambda tokens, rows: np.tile(log_p, (len(rows), 1)), 1, bos=9, eos=EOS, max_length=2, beam=8)[0]
    assert sorted(h.tokens for h in found) == [[0], [1, 0], [1, 1]]


def test_errors():
    for name, options in (("beam", {"beam": 0}), ("max_length", {"max_length": 0})):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
            beam_search(step_of([model(0)]), 1, **{"bos": 9, "eos": EOS, "max_length": 3} | options)
    with pytest.raises(ValueError, match=r"`length_penalty` must be in \[0, 10\], got -1"):
        beam_search(step_of([model(0)]), 1, bos=9, eos=EOS, max_length=3, length_penalty=-1)
    with pytest.raises(ValueError, match="`step` must give log-probabilities, got NaN"):
        beam_search(lambda tokens, rows: np.full((1, 4), np.nan), 1, bos=9, eos=EOS, max_length=3)
