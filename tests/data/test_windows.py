"""Windows of a series against slices of it."""

import numpy as np
import pytest

import weft
from weft.data import DataLoader, SlidingWindows

SERIES = np.stack([np.arange(20.0), -np.arange(20.0)], axis=1)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 9), (12, 17), (3, 20)])
def test_against_slices(start, stop):
    data = SlidingWindows(SERIES, 4, 3, start, stop)
    end = 20 if stop is None else stop
    expected = [i for i in range(20) if i >= 4 and i >= start and i + 3 <= end]
    assert list(data.origins) == expected
    for i, origin in enumerate(expected):
        x, y = data[i]
        np.testing.assert_array_equal(x, SERIES[origin - 4 : origin])
        np.testing.assert_array_equal(y, SERIES[origin : origin + 3, 0])
    np.testing.assert_array_equal(data[-1][1], SERIES[expected[-1] : expected[-1] + 3, 0])


def test_nothing_is_copied():
    assert SlidingWindows(SERIES, 4, 3).series.base is SERIES


def test_in_a_loader():
    batches = list(DataLoader(SlidingWindows(np.arange(10.0), 2, 2), 4))
    assert [tuple(x.shape) for x, _ in batches] == [(4, 2, 1), (3, 2, 1)]
    assert all(bool(weft.all(y[:, 0] == x[:, 1, 0] + 1)) for x, y in batches)


def test_windows_that_cannot_be():
    with pytest.raises(
        ValueError, match=r"`series` must have 9 steps to look back and 3 to forecast.*\[0, 11\), got 11"
    ):
        SlidingWindows(np.arange(11.0), 9, 3)
    with pytest.raises(ValueError, match=r"`series` must have shape \(T,\) or \(T, C\), got \(2, 2, 2\)"):
        SlidingWindows(np.zeros((2, 2, 2)), 1, 1)
    with pytest.raises(ValueError, match=r"`horizon` must be an integer .*, got 0"):
        SlidingWindows(np.arange(11.0), 1, 0)
    with pytest.raises(IndexError, match=r"`indices` must be in \[0, 10\), the windows, got \[10\]"):
        SlidingWindows(np.arange(11.0), 1, 1)[10]
