"""Kinds: what passes for what, and how the place is named. test_run_state.py has them in a run's state."""

import re

import numpy as np
import pytest

from weft.training import CheckpointError
from weft.training.expected import count, like, part, row

OWN = {
    "a": 1,
    "b": [0.5, 1.0],
    "c": None,
    "d": "min",
    "e": {"f": True},
    "g": (0.9, 0.99),
    "h": np.zeros((2, 3)),
    "base_lrs": [0.1],
}


@pytest.mark.parametrize(
    "change",
    [
        {"a": 2.5},
        {"b": []},
        {"b": [1]},
        {"c": "x"},
        {"d": "max"},
        {"e": None},
        {"g": [1, 0]},
        {"h": np.ones((2, 3))},
        {"z": 1},
    ],
)
def test_passes(change):
    like(OWN | change, OWN, "s")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": True}, "`s.a` must be a number, got True"),
        ({"a": 0}, "`s.a` must be positive, got 0"),
        ({"a": 10**400}, "`s.a` must be a number that a float holds, got 1000"),
        ({"b": 3}, "`s.b` must be a list, got 3"),
        ({"b": [1, "x"]}, "`s.b.1` must be a number, got 'x'"),
        ({"b": None}, "`s.b` must be a list, got None"),
        ({"d": 1}, "`s.d` must be a str, got 1"),
        ({"e": {}}, "`s.e` must have an entry `f`, got none"),
        ({"e": {"f": 1}}, "`s.e.f` must be a bool, got 1"),
        ({"g": [0.9]}, "`s.g` must have 2 entries, got 1"),
        ({"h": np.zeros(6)}, "`s.h` must be an array of shape (2, 3), got array"),
        ({"base_lrs": [1, 2]}, "`s.base_lrs` must have 1 entries, got 2"),
    ],
)
def test_refuses(change, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        like(OWN | change, OWN, "s")


def test_counts_and_rows():
    count(3, "n")
    row({"loss": float("nan"), "note": "x", "other": None}, "r")
    for value in (True, -1, 1.0, 2**60, "3"):
        with pytest.raises(TypeError, match=r"`n` must be an integer in \[0, 2\*\*53\)"):
            count(value, "n")
    with pytest.raises(TypeError, match=r"`r.loss` must be a number, got 'x'"):
        row({"loss": "x"}, "r")


@pytest.mark.parametrize(
    ("source", "error", "kind", "message"),
    [
        (
            "a",
            ValueError("bad\n  news"),
            CheckpointError,
            "`a`: expected the state of this run, found that `p` does not fit: bad news",
        ),
        (
            "a",
            RuntimeError("news"),
            CheckpointError,
            "`a`: expected the state of this run, found that `p` does not fit: news",
        ),
        (
            "a",
            OverflowError("news"),
            CheckpointError,
            "`a`: expected the state of this run, found that `p` does not fit: news",
        ),
        (
            "a",
            KeyError("k"),
            CheckpointError,
            "`a`: expected the state of this run, with an entry 'k' in `p`, found none; use",
        ),
        (
            None,
            TypeError("news"),
            CheckpointError,
            "`state`: expected the state of this run, found that `p` does not fit: news",
        ),
        (None, RuntimeError("news"), RuntimeError, "news"),
        (None, ValueError("news"), ValueError, "news"),
    ],
)
def test_errors_name_the_file_where_there_is_one(source, error, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}") as caught, part("p", source):
        raise error
    assert type(caught.value) is kind
