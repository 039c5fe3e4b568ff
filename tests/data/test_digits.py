"""scikit-learn's digits: against scikit-learn."""

import numpy as np
import pytest
import sklearn.datasets

from weft.data import load_digits


def test_split_is_fixed_and_stratified():
    first, second = load_digits(), load_digits()
    np.testing.assert_array_equal(first.test.x, second.test.x)
    shares = [np.bincount(part.y, minlength=10) / len(part) for part in (first.train, first.test)]
    np.testing.assert_allclose(*shares, atol=2e-3)


def test_holds_all_of_it():
    data, (images, labels) = load_digits(), sklearn.datasets.load_digits(return_X_y=True)
    assert repr(data) == "digits: train 1437, test 360, samples (1, 8, 8) uint8, 10 classes"
    rows = np.concatenate([data.train.x, data.test.x]).reshape(-1, 64)
    together = np.column_stack([rows, np.concatenate([data.train.y, data.test.y])])
    expected = np.column_stack([images, labels])
    np.testing.assert_array_equal(together[np.lexsort(together.T)], expected[np.lexsort(expected.T)])
    assert rows.max() == 16


def test_without_scikit_learn(monkeypatch):
    for module in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=r'^`load_digits` needs scikit-learn \(.*\): pip install "weft\[train\]"$'):
        load_digits()
