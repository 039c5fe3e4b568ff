"""Changed rows of tokens, by what must be true of them."""

from collections import Counter

import numpy as np
import pytest

import weft
from weft.data import augment as A


@pytest.fixture
def tokens():
    x = np.random.default_rng(0).integers(1, 30, (200, 12))
    for row, length in zip(x, np.random.default_rng(1).integers(0, 13, 200)):
        row[length:] = 0
    return x


ALL = [A.RandomSwap, A.RandomDeletion, A.RandomInsertion, lambda p: A.SynonymReplacement({3: [4, 5], 7: [70]}, p)]
IDS = ["swap", "deletion", "insertion", "synonyms"]


@pytest.mark.parametrize("make", ALL, ids=IDS)
class TestAll:
    def test_nothing_at_0(self, make, tokens):
        assert (make(0.0)(tokens) == tokens).all()

    def test_padding_stays_at_the_end(self, make, tokens):
        y = make(0.5)(tokens)
        lengths = (y != 0).sum(1)
        assert (y != 0).tolist() == [[j < n for j in range(12)] for n in lengths]
        assert ((lengths > 0) == (tokens != 0).any(1)).all()

    @pytest.mark.parametrize("dtype", ["int32", "int64", "uint16"])
    def test_dtype_and_device(self, make, tokens, accelerator, dtype):
        x = tokens.astype(dtype)
        expected = make(0.5)(x, generator=weft.Generator(3))
        y = make(0.5)(weft.asarray(x, device=accelerator), generator=weft.Generator(3))
        assert y.dtype == expected.dtype == x.dtype
        assert (y.numpy() == expected).all()

    def test_strings(self, make):
        texts = ["one two three four five", "six", ""]
        if make is ALL[3]:
            make = lambda p: A.SynonymReplacement({"two": ["deux"]}, p)
        assert make(0.0)(texts) == texts
        changed, labels = make(0.9)(texts, np.arange(3))
        assert changed[0] != texts[0]
        assert changed[2] == ""
        assert labels.tolist() == [0, 1, 2]

    def test_wrong(self, make):
        with pytest.raises(ValueError, match=r"`p` must be a number in \[0, 1\], got 2"):
            make(2)
        with pytest.raises(
            ValueError, match=r"`inputs` must be integers \(N, T\), or a list of strings, got float64 \(2, 3\)"
        ):
            make(0.5)(np.zeros((2, 3)))


def test_swap_keeps_the_tokens(tokens):
    y = A.RandomSwap(0.3)(tokens)
    assert (y != tokens).any()
    assert all(Counter(a) == Counter(b) for a, b in zip(tokens.tolist(), y.tolist()))


def test_swaps_are_as_many_as_asked_for():
    x = np.tile(np.arange(1, 101), (300, 1))
    moved = (A.RandomSwap(0.1)(x) != x).sum(1).mean()  # ten swaps move almost 20 tokens
    assert 17 < moved < 19.8


def test_deletion(tokens):
    y = A.RandomDeletion(0.4)(tokens)
    for before, after in zip(tokens.tolist(), y.tolist()):
        left = iter(before)
        assert all(token in left for token in after if token)  # a subsequence
    share = (y != 0).sum() / (tokens != 0).sum()
    assert 0.55 < share < 0.68
    assert ((A.RandomDeletion(1.0)(tokens) != 0).sum(1) == (tokens != 0).any(1)).all()


def test_insertion():
    x = np.array([[1, 2, 3, 0, 0, 0, 0], [4, 5, 6, 7, 8, 9, 1]])
    y = A.RandomInsertion(1.0, [70])(x)
    assert y.tolist() == [[1, 70, 2, 70, 3, 70, 0], [4, 70, 5, 70, 6, 70, 7]]
    own = A.RandomInsertion(1.0)(x)
    assert own[0, ::2].tolist() == [1, 2, 3, 0]
    assert set(own[0, 1:6:2].tolist()) <= {1, 2, 3}
    with pytest.raises(ValueError, match=r"`tokens` must hold at least one token, or be None, got \[\]"):
        A.RandomInsertion(0.1, [])


def test_synonyms():
    x = np.random.default_rng(0).integers(1, 10, (500, 8))
    y = A.SynonymReplacement({3: [40, 50], 7: [70], 12: [1]}, 0.5)(x)
    assert (y[(x != 3) & (x != 7)] == x[(x != 3) & (x != 7)]).all()
    assert set(y[x == 7].tolist()) == {7, 70}
    found = Counter(y[x == 3].tolist())
    assert set(found) == {3, 40, 50}
    assert 0.4 < found[3] / found.total() < 0.6
    assert 0.18 < found[40] / found.total() < 0.32
    with pytest.raises(
        ValueError, match=r"`table` must give a list of synonyms for each of some tokens, got {3: \[\]}"
    ):
        A.SynonymReplacement({3: []})
