"""Batches of like length: each sample once, little padding, an order per epoch that can be resumed."""

import numpy as np
import pytest

from weft.data import BucketSampler, DataLoader

LENGTHS = np.random.default_rng(0).integers(1, 40, 1000)


def padding(batches):
    return sum(len(b) * LENGTHS[b].max() for b in batches) / LENGTHS.sum() - 1


def test_batches():
    sampler = BucketSampler(LENGTHS, 32, pool=8)
    batches = list(sampler)
    assert sorted(i for b in batches for i in b) == list(range(1000))
    assert len(batches) == len(sampler) == 32
    assert sorted(map(len, batches))[0] == 8
    assert padding(batches) < 0.2
    assert padding(list(BucketSampler(LENGTHS, 32))) < 0.05
    means = [LENGTHS[b].mean() for b in batches]
    assert np.abs(np.corrcoef(means, np.arange(32))[0, 1]) < 0.5
    assert list(sampler) == batches
    assert list(BucketSampler(LENGTHS, 32, pool=8, seed=1)) != batches
    assert list(BucketSampler(np.stack([LENGTHS, 0 * LENGTHS], 1), 32, pool=8)) == batches


def test_a_loader_goes_on_within_any_epoch():
    class Numbers:
        def __len__(self):
            return 1000

        def __getitem__(self, i):
            return i

    def loader():
        return DataLoader(Numbers(), batch_sampler=BucketSampler(LENGTHS, 100), seed=0)

    whole = loader()
    epochs = [[b.tolist() for b in whole] for _ in range(3)]
    assert len({str(epoch) for epoch in epochs}) == 3
    other = loader()
    for _ in range(2):
        for _batch in other:
            pass
    for i, _batch in enumerate(other):
        if i == 3:
            state = other.state_dict()
            break
    resumed = loader()
    resumed.load_state_dict(state)
    assert [b.tolist() for b in resumed] == epochs[2][4:]


def test_errors():
    with pytest.raises(
        ValueError, match=r"`lengths` must be integers of shape \(N,\) or \(N, k\).*got float64 of shape"
    ):
        BucketSampler([1.5], 2)
    with pytest.raises(ValueError, match="`lengths` must be integers"):
        BucketSampler([], 2)
    with pytest.raises(ValueError, match="`batch_size` must be"):
        BucketSampler([1], 0)
