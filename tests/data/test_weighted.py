"""Draws by weight, and weights that even out classes."""

import numpy as np
import pytest

from weft.data import ArrayDataset, DataError, DataLoader, WeightedRandomSampler, balanced_weights


def test_weights_against_the_formula():
    labels = np.array([0] * 6 + [1] * 3 + [3])
    np.testing.assert_allclose(balanced_weights(labels), [10 / 18, 10 / 9, 1, 10 / 3], rtol=1e-6)
    np.testing.assert_allclose(balanced_weights(labels, 5)[4], 1)
    counted = np.bincount(labels, balanced_weights(labels)[labels])
    np.testing.assert_allclose(counted[[0, 1, 3]], 10 / 3, rtol=1e-6)  # each class counts the same


def test_weights_of_what_is_no_label():
    with pytest.raises(DataError, match="labels 0 … 1, found 2 at position 0"):
        balanced_weights([2], 2)
    with pytest.raises(ValueError, match="at least one label"):
        balanced_weights(np.zeros(0, int))


def test_frequencies():
    drawn = list(WeightedRandomSampler([1, 0, 3], 40_000, seed=1))
    np.testing.assert_allclose(np.bincount(drawn) / 40_000, [0.25, 0, 0.75], atol=0.01)  # 4 standard deviations


def test_without_replacement():
    assert sorted(WeightedRandomSampler([1, 2, 0, 4], 3, replacement=False)) == [0, 1, 3]


def test_epochs_differ_and_are_resumed():
    data = ArrayDataset(np.arange(8))
    loader, other = (DataLoader(data, 2, sampler=WeightedRandomSampler(np.ones(8), 8, seed=3)) for _ in range(2))
    first, second = ([x.tolist() for (x,) in loader] for _ in range(2))
    assert first != second
    batches = iter(loader)
    next(batches)
    other.load_state_dict(loader.state_dict())
    assert [x.tolist() for (x,) in other] == [x.tolist() for (x,) in batches]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, -1], 2), "`weights` must be finite numbers"),
        (([1, np.nan], 2), "`weights` must be finite numbers"),
        (([[1.0]], 2), "`weights` must be finite numbers"),
        (([0, 0], 2), "`weights` must be above 0 for a sample, got 0 such of 2"),
        (([1, 0], 2, False), "`weights` must be above 0 for the 2 samples to draw, got 1 such of 2"),
        (([1], 0), "`num_samples`"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WeightedRandomSampler(*arguments)
