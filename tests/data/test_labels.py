"""Labels: against rows of the identity matrix."""

import re

import numpy as np
import pytest

from weft.data import DataError, check_labels, encode_labels, one_hot


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
def test_one_hot(rng, shape):
    labels = rng.integers(0, 4, shape)
    coded = one_hot(labels, 4)
    assert coded.dtype == np.float32
    np.testing.assert_array_equal(coded, np.eye(4)[labels])
    assert one_hot(labels, 4, dtype=np.int8).dtype == np.int8


def test_more_classes_than_fit_into_memory():
    for n in (10**18, 10**30):
        with pytest.raises(
            ValueError, match=rf"`num_classes` must be small enough for 1 rows of it in memory, got {n} "
        ):
            one_hot([0], n)
    with pytest.raises(
        DataError, match="expected at most 16777216 classes, found `num_classes` 1000000000; count the classes"
    ):
        encode_labels({"train": np.array([0, 1, 2, 1])}, 10**9)


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


class TestEncode:
    def test_gaps_are_closed(self):
        parts = {"train": np.array([14, 0, 7, 0, 7, 14], np.uint8), "test": [7, 7], "dev": np.array([], int)}
        coded, names = encode_labels(parts)
        assert names == ("0", "7", "14")
        assert {part: y.tolist() for part, y in coded.items()} == {
            "train": [2, 0, 1, 0, 1, 2],
            "test": [1, 1],
            "dev": [],
        }
        assert {y.dtype for y in coded.values()} == {np.dtype(np.int64)}

    @pytest.mark.parametrize("y", [[0, 1, 2], [2, 0, 1, 1], [0, 1] * 5, [0]])
    def test_what_is_numbered_already_stays(self, y):
        coded, names = encode_labels({"train": y, "test": y})
        assert coded["train"].tolist() == coded["test"].tolist() == y
        assert names == tuple(str(i) for i in range(max(y) + 1))

    def test_signs_are_two_classes(self):
        coded, names = encode_labels({"train": [-1, 1, 1, -1]})
        assert (coded["train"].tolist(), names) == ([0, 1, 1, 0], ("-1", "1"))

    def test_number_is_told(self):
        big = [0, 1, 2, 100_000_000]
        coded, names = encode_labels({"train": big, "test": [2, 100_000_000]}, 4)
        assert coded["test"].tolist() == [2, 3]
        assert names == ("0", "1", "2", "100000000")
        coded, names = encode_labels({"train": [0, 2], "test": [1, 4]}, 5)  # a class that train has no sample of
        assert (coded["test"].tolist(), names) == ([1, 4], ("0", "1", "2", "3", "4"))

    @pytest.mark.parametrize(
        ("parts", "num_classes", "message"),
        [
            ({"train": [0, 1, 2, 100_000_000]}, None, "`d: y_train`: expected class labels, which come again and again, found 4"),
            ({"train": np.arange(50) * 1000}, None, "found 50 distinct labels of 50 samples, up to 49000"),
            ({"train": [0, 1, 9]}, 2, "`d: y_train`: expected 2 classes, found 3 distinct labels, 0 … 9; check the number"),
            ({"train": [0, 1, -1, 0]}, None, "`d: y_train`: expected labels 0 … 1, found -1 at position 2; leave out"),
            ({"train": [0, 7, 0, 7], "test": [7, 3]}, None, "one of the 2 labels of y_train, 0 … 7, found 3 at position 1"),
            ({"train": [0, 7, 0, 7], "test": [0.5]}, None, "`d: y_test`: expected integer class labels, found fractions"),
            ({"train": [0, 1, 0, 1], "test": [2]}, None, "`d: y_test`: expected labels 0 … 1, found 2 at position 0"),
        ],
    )  # fmt: skip
    def test_refused(self, parts, num_classes, message):
        with pytest.raises(DataError, match=re.escape(message)):
            encode_labels(parts, num_classes, source="d")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3), "(N,), found one-hot rows of shape (3, 3); give the index of the 1: y.argmax(axis=1)"),
        (np.eye(3) == 1, "found one-hot rows of shape (3, 3)"),
        ([0.5], "found fractions, of dtype float64"),
        (["cat", "dog"], "found dtype <U3; number the names: names, y = np.unique(y, return_inverse=True)"),
    ],
)  # fmt: skip
def test_what_targets_look_like(labels, message):
    with pytest.raises(DataError, match=re.escape(message)):
        check_labels(labels, 3)
