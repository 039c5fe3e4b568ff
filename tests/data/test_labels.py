"""Labels: against rows of the identity matrix."""

import re

import numpy as np
import pytest

from weft.data import DataError, check_labels, one_hot


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
def test_one_hot(rng, shape):
    labels = rng.integers(0, 4, shape)
    coded = one_hot(labels, 4)
    assert coded.dtype == np.float32
    np.testing.assert_array_equal(coded, np.eye(4)[labels])
    assert one_hot(labels, 4, dtype=np.int8).dtype == np.int8


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_check_labels_converts(dtype):
    labels = check_labels(np.array([0, 2], dtype), 3)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3, 1, 4], "`labels`: expected labels 0 … 2, found 3 at position 1 (2 out of range); check the number"),
        ([0, 1, -1], "`labels`: expected labels 0 … 2, found -1 at position 2 (1 out of range)"),
        ([0.0, 1.0], "`labels`: expected integer class labels, found dtype float64; convert"),
        ([True], "`labels`: expected integer class labels, found dtype bool; convert"),
    ],
)
def test_faults(labels, message):
    with pytest.raises(DataError, match=re.escape(message)):
        check_labels(labels, 3)


def test_source_is_named():
    with pytest.raises(DataError, match=re.escape("`y.csv`: expected labels 0 … 0, found 1 at position 0")):
        check_labels([1], 1, source="y.csv")
