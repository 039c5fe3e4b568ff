"""Least absolute deviations whose solutions are known: quantiles, what all but a few agree on, the middle of what is as good."""

import numpy as np
import pytest

from weft.kernels.emulator.deviations import least_deviations


def of_numbers(numbers, less, more):
    (found,) = least_deviations(
        np.ones((len(numbers), 1)), np.array(numbers, float), np.full(len(numbers), less), np.full(len(numbers), more)
    )
    return found


def test_a_median():
    assert of_numbers([1, 2, 3, 10, 100], 1.0, 1.0) == pytest.approx(3)


def test_a_quantile():
    """One too high costs three times as much as one too low: a quarter are below."""
    assert of_numbers([1, 2, 3, 4, 5, 6, 7], 1.0, 3.0) == pytest.approx(2)


def test_the_middle_of_what_is_as_good():
    assert of_numbers([1, 2], 1.0, 1.0) == pytest.approx(1.5)


def test_a_few_that_are_far_off():
    """200 of 260 equations hold exactly, and are found."""
    random = np.random.default_rng(0)
    g, z = random.normal(size=(260, 40)), random.normal(size=40)
    c = g @ z
    c[:60] += 10 * random.normal(size=60)
    np.testing.assert_allclose(least_deviations(g, c, np.ones(260), np.ones(260)), z, rtol=1e-6)


def test_what_costs_very_different_amounts():
    """A bound that costs 10⁵, and a wish that costs 10⁻⁴ and is far beyond it."""
    found = least_deviations(
        np.array([[1.0], [1.0]]), np.array([3.0, 1000.0]), np.array([1e-4, 1e-3]), np.array([1e5, 1e-3])
    )
    assert found == pytest.approx([3], abs=1e-6)
