"""Splits: the choice is scikit-learn's; tested here are sizes, classes, that parts are disjoint, and the messages."""

import sys

import numpy as np
import pytest
import sklearn.model_selection

from weft.data import ArrayDataset, k_fold, stratified_k_fold, time_series_split, train_dev_test_split

LABELS = np.repeat([0, 1, 2], [60, 30, 10])


@pytest.fixture
def data():
    return ArrayDataset(np.arange(100.0)[:, None], LABELS)


class TestTrainDevTest:
    @pytest.mark.parametrize("sizes", [(0.1, 0.2), (10, 20), (0.1, 20)])
    def test_sizes_and_classes(self, data, sizes):
        named = {"class_names": ("a", "b", "c"), "name": "toy"}
        splits = train_dev_test_split(data, dev=sizes[0], test=sizes[1], stratify=data.y, **named)
        assert repr(splits) == "toy: train 70, dev 10, test 20, samples (1,) float64, 3 classes"
        parts = (splits.train, splits.dev, splits.test)
        assert [np.bincount(part.y).tolist() for part in parts] == [[42, 21, 7], [6, 3, 1], [12, 6, 2]]
        np.testing.assert_array_equal(np.sort(np.concatenate([part.x[:, 0] for part in parts])), np.arange(100))
        for part in parts:
            np.testing.assert_array_equal(part.y, LABELS[part.x[:, 0].astype(int)])

    def test_without_dev_it_is_scikit_learns(self, data):
        splits = train_dev_test_split(data, test=0.25, seed=4)
        train, test = sklearn.model_selection.train_test_split(np.arange(100), test_size=25, random_state=4)
        assert splits.dev is None
        np.testing.assert_array_equal(splits.train.x[:, 0], train)
        np.testing.assert_array_equal(splits.test.x[:, 0], test)

    def test_seed(self, data):
        a, b, c = (train_dev_test_split(data, seed=seed).test.x for seed in (1, 1, 2))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"test": 1.5}, "`test` must be a fraction below 1 or a number of samples below 100, got 1.5"),
            ({"dev": -0.1}, "`dev` must be a fraction below 1 or a number of samples below 100, got -0.1"),
            ({"test": 100}, "`test` must be a fraction below 1 or a number of samples below 100, got 100"),
            ({"test": float("nan")}, "`test` must be a fraction below 1 or a number of samples below 100, got nan"),
            ({"test": "10"}, "`test` must be a fraction below 1 or a number of samples below 100, got '10'"),
            ({"test": 0}, "must leave samples for `train`, .* got dev=0 and test=0 of 100"),
            ({"dev": 0.5, "test": 0.5}, "must leave samples for `train`, .* got dev=50 and test=50 of 100"),
        ],
    )
    def test_sizes_that_do_not_fit(self, data, sizes, message):
        with pytest.raises(ValueError, match=message):
            train_dev_test_split(data, **sizes)

    @pytest.mark.parametrize(
        ("labels", "sizes", "message"),
        [
            (np.arange(100) == 7, {}, "`stratify` needs two samples .* got a single one of class True"),
            (np.repeat([0, 1, 2], [60, 38, 2]), {"dev": 50, "test": 25}, None),
            (np.arange(100) // 2, {"test": 20}, "`stratify` needs a sample of each of the 50 .* got a part of 20"),
            (np.arange(99), {}, r"`stratify` must hold a class for each of the 100 samples, got shape \(99,\)"),
            (np.linspace(0, 1, 100), {}, "`stratify` must hold a class for each of the 100 samples, .* dtype float64"),
        ],
    )  # fmt: skip
    def test_classes_that_cannot_be_shared_out(self, data, labels, sizes, message):
        if message is None:
            assert len(train_dev_test_split(data, stratify=labels, **sizes).train) == 25
            return
        with pytest.raises(ValueError, match=message):
            train_dev_test_split(data, stratify=labels, **sizes)


@pytest.mark.parametrize("n_splits", [0, 1, 101, 2.0, "3"])
def test_numbers_of_folds(data, n_splits):
    for split in (lambda: k_fold(data, n_splits), lambda: stratified_k_fold(LABELS, n_splits)):
        with pytest.raises(ValueError, match=f"`n_splits` must be an integer from 2 to .*, got {n_splits!r}"):
            split()


def test_k_fold(data):
    folds = list(k_fold(data, 4, seed=1))
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(100))
    for (train, test), (train_there, test_there) in zip(
        folds, sklearn.model_selection.KFold(4, shuffle=True, random_state=1).split(LABELS)
    ):
        np.testing.assert_array_equal(train, train_there)
        np.testing.assert_array_equal(test, test_there)
    assert len(data.subset(folds[0][0])) == 75


def test_stratified_k_fold(data):
    folds = list(stratified_k_fold(data.y, 5, shuffle=False))
    assert [np.bincount(data.y[test]).tolist() for _, test in folds] == [[12, 6, 2]] * 5
    assert not np.array_equal(folds[0][1], next(iter(stratified_k_fold(data.y, 5, seed=1)))[1])


def test_time_series_split(data):
    for train, test in time_series_split(data, 3, gap=2, test_size=10, max_train_size=20):
        assert train.max() + 3 == test.min()
        assert (len(train), len(test)) == (20, 10)


def test_without_scikit_learn(data, monkeypatch):
    for module in ("sklearn", "sklearn.model_selection"):
        monkeypatch.setitem(sys.modules, module, None)
    for split in (train_dev_test_split, k_fold, stratified_k_fold, time_series_split):
        expected = rf'^`{split.__name__}` needs scikit-learn \(.*\): pip install "weft\[train\]"$'
        with pytest.raises(ImportError, match=expected):
            split(data)
