"""The first index out of range, against NumPy's flatnonzero."""

import numpy as np
import pytest
from kernel_harness import SIZES, every_schedule

from weft.kernels import indices


def noted(*given):
    def run():
        indices.note(*given)
        return np.array([[indices.KINDS.index(kind), value, position] for kind, value, position in indices.take(None)])

    return every_schedule(run).tolist()


@pytest.fixture(autouse=True)
def _nothing_before():
    indices.take(None)


@pytest.mark.parametrize("n", [*SIZES, 300_000])
@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8", "uint16"])
def test_the_first(n, dtype):
    x = np.random.default_rng(n).integers(0, 5, n).astype(dtype)
    assert noted("target", x, 5, -100) == []
    if n > 2:
        x[[n // 2, n - 1]] = 7, 9
        x[n // 3] = 6  # ignored
        assert noted("indices", x, 5, 6) == [[1, 7, n // 2]]


@pytest.mark.parametrize(
    ("bad", "told"), [(-1, -1), (-100, -100), (5, 5), (1 << 40, 2**31 - 1), (-(1 << 40), 1 - 2**31)]
)
def test_values(bad, told):
    x = np.array([[0, 1], [4, bad]])[:, ::-1]  # not contiguous
    assert noted("target", x, 5) == [[0, told, 2]]


def test_each_kind_has_its_own_and_is_told_once():
    indices.note("target", np.array([0, 3]), 3, -100)
    indices.note("indices", np.array([9]), 3)
    indices.note("target", np.array([4, 0]), 3, -100)
    assert indices.take(None) == [("target", 4, 0), ("indices", 9, 0)]
    assert indices.take(None) == indices.take(7) == []


def test_what_holds_no_integers_is_left_alone():
    indices.note("target", np.array([9.0]), 3, -100)
    assert indices.take(None) == []
