"""Blocks of tokens, in a loader that is broken off and resumed."""

import numpy as np
import pytest

import weft
from weft.data import DataLoader, RandomBlocks, TokenBlocks, TokenFile, pack, write_tokens


@pytest.fixture
def tokens(tmp_path, rng):
    write_tokens(tmp_path / "a.tok", [rng.integers(0, 300, 1003)], 300)
    return TokenFile(tmp_path / "a.tok")


@pytest.mark.parametrize("size", [1, 7, 500, 1002])
def test_consecutive_blocks(tokens, size):
    stream, data = tokens[:].astype(np.int64), TokenBlocks(tokens, size)
    assert len(data) == 1002 // size
    for i in (0, len(data) - 1, -1):
        x, y = data[i]
        start = i % len(data) * size
        np.testing.assert_array_equal(x, stream[start : start + size])
        np.testing.assert_array_equal(y, stream[start + 1 : start + size + 1])
        assert x.dtype == y.dtype == np.int64
    with pytest.raises(IndexError, match=rf"`indices` must be in \[0, {len(data)}\)"):
        data[len(data)]


@pytest.mark.parametrize("make", [lambda t: TokenBlocks(t, 20), lambda t: RandomBlocks(t, 20, samples=50)])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_resumes(tokens, make, workers):
    def loader():
        return DataLoader(make(tokens), batch_size=8, shuffle=True, seed=3, num_workers=workers)

    def listed(batches):
        return [(x.tolist(), y.tolist()) for x, y in batches]

    whole = loader()
    epochs = [listed(whole), listed(whole)]
    assert epochs[0] != epochs[1]
    first = loader()
    listed(first)
    batches = iter(first)
    begun = listed(next(batches) for _ in range(2))
    saved = first.state_dict()
    resumed = loader()
    resumed.load_state_dict(saved)
    assert begun + listed(resumed) == epochs[1]
    assert len(epochs[0]) == len(first) == 7
    stream = tokens[:].tolist()
    text = "-".join(map(str, stream))
    assert all("-".join(map(str, [*x, y[-1]])) in text for xs, ys in epochs[0] for x, y in zip(xs, ys))


def test_random_blocks_reach_both_ends():
    data = RandomBlocks(np.arange(5), 3, samples=64)
    x, y = data.__getitems__(range(64))
    assert set(x[:, 0]) == {0, 1}
    np.testing.assert_array_equal(x + 1, y)


def test_pack():
    assert pack([[1, 2], [], [3]], end=9).tolist() == [1, 2, 9, 9, 3, 9]
    assert pack([], end=9).shape == (0,)


def test_errors():
    with pytest.raises(ValueError, match="`tokens` must be more than a block, 4, got 4"):
        TokenBlocks(np.arange(4), 4)
    with pytest.raises(ValueError, match="`block_size` must be at least 1, got 0"):
        TokenBlocks(np.arange(4), 0)
    with pytest.raises(ValueError, match="`samples` must be at least 1, got 0"):
        RandomBlocks(np.arange(4), 2, 0)
    with pytest.raises(ValueError, match=r"`tokens` must have shape \(N,\), got \(2, 2\)"):
        TokenBlocks(np.zeros((2, 2), int), 1)
    with pytest.raises(TypeError, match="`tokens` must be integers, got dtype float64"):
        TokenBlocks(weft.zeros(4, dtype=weft.float64), 1)


def test_numbers_of_another_kind():
    for call, error, message in (
        (lambda: pack([[1.5]], 0), TypeError, "`documents` must hold integers, got dtype float64"),
        (lambda: pack([[1]], -1), ValueError, "`end` must be an integer ≥ 0, got -1"),
        (lambda: pack([[1]], 1.5), ValueError, "`end` must be an integer ≥ 0, got 1.5"),
        (lambda: TokenBlocks(np.arange(9), 1.5), ValueError, "`block_size` must be an integer, got 1.5"),
        (lambda: RandomBlocks(np.arange(9), "3", 2), TypeError, "`block_size` must be an integer, got '3'"),
        (lambda: RandomBlocks(np.arange(9), 3, 2.5), ValueError, "`samples` must be an integer, got 2.5"),
    ):
        with pytest.raises(error, match=message):
            call()
    assert pack([weft.tensor([1, 2]), range(2), []], 9).tolist() == [1, 2, 9, 0, 1, 9, 9]
