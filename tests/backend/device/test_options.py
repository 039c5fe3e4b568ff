"""Numbers among options, and names that a module has not."""

import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

import weft
from weft import layers, optimizers
from weft.backend.device.options import UnknownName, integer, number
from weft.layers import functional
from weft.optimizers import schedulers

nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize("value", [0, 0.5, np.float32(1), np.int8(1), Fraction(1, 2), np.array(0.5), weft.tensor(0.5)])
def test_numbers(value):
    number("x", value)
    number("x", value, 0, 1)
    number("x", value, above=-1, below=1.5)


@pytest.mark.parametrize(
    ("value", "limits", "error", "message"),
    [
        (nan, {}, ValueError, "`x` must be a number, got nan"),
        (np.float32(nan), {"low": 0}, ValueError, "`x` must be ≥ 0, got nan"),
        (inf, {}, ValueError, "`x` must be finite, got inf"),
        (inf, {"low": 0}, ValueError, "`x` must be ≥ 0 and finite, got inf"),
        (-1, {"low": 0}, ValueError, "`x` must be ≥ 0, got -1"),
        (0, {"above": 0}, ValueError, "`x` must be positive, got 0"),
        (1, {"above": 1}, ValueError, "`x` must be > 1, got 1"),
        (2, {"high": 1}, ValueError, "`x` must be ≤ 1, got 2"),
        (1.0, {"low": 0, "below": 1}, ValueError, "`x` must be in [0, 1), got 1.0"),
        (0, {"above": 0, "high": 1}, ValueError, "`x` must be in (0, 1], got 0"),
        ("1", {}, TypeError, "`x` must be a number, got '1'"),
        (True, {"low": 0}, TypeError, "`x` must be ≥ 0, got True"),
        (None, {"above": 0}, TypeError, "`x` must be positive, got None"),
        ([0.5], {}, TypeError, "`x` must be a number, got [0.5]"),
        (1j, {}, TypeError, "`x` must be a number, got 1j"),
        (np.zeros((2, 3)), {}, TypeError, "`x` must be a number, got a ndarray of shape (2, 3)"),
    ],
)
def test_no_numbers(value, limits, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        number("x", value, **limits)


def test_infinity_where_it_means_something():
    number("max_norm", inf, 0, infinite=True)


@pytest.mark.parametrize("value", [0, 3, np.int64(2), np.uint8(1)])
def test_integers(value):
    integer("n", value)
    integer("n", value, 0, 3)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (1.0, ValueError, "`n` must be an integer in [0, 3], got 1.0"),
        (nan, ValueError, "`n` must be an integer in [0, 3], got nan"),
        (-1, ValueError, "`n` must be an integer in [0, 3], got -1"),
        (4, ValueError, "`n` must be an integer in [0, 3], got 4"),
        (True, ValueError, "`n` must be an integer in [0, 3], got True"),
        ("2", TypeError, "`n` must be an integer in [0, 3], got '2'"),
        (None, TypeError, "`n` must be an integer in [0, 3], got None"),
    ],
)
def test_no_integers(value, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        integer("n", value, 0, 3)


@pytest.mark.parametrize(
    ("module", "name", "near"),
    [
        (weft, "optimisers", "optimizers"),
        (weft, "concatenates", "concat"),
        (layers, "Lienar", "Linear"),
        (layers, "batchnorm1d", "BatchNorm1d"),
        (functional, "crossentropy", "cross_entropy"),
        (optimizers, "AdamWW", "AdamW"),
        (optimizers, "schedules", "schedulers"),
        (schedulers, "StepLr", "StepLR"),
    ],
)
def test_nearest_name(module, name, near):
    assert not hasattr(module, name)
    with pytest.raises(
        AttributeError, match=rf"^module '{module.__name__}' has no attribute '{name}'; did you mean .*`{near}`"
    ):
        getattr(module, name)


def test_a_name_like_no_other():
    with pytest.raises(AttributeError, match=r"^module 'weft\.layers' has no attribute 'xyzzy'$"):
        layers.xyzzy  # noqa: B018


def test_comes_back_from_another_process():
    error = pickle.loads(pickle.dumps(UnknownName("weft", "sun", ["sum"])))
    assert str(error) == "module 'weft' has no attribute 'sun'; did you mean `sum`?"
