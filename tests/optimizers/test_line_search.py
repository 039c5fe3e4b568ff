"""The strong Wolfe conditions hold for what the line search finds, on functions whose values are known in closed form."""

import numpy as np
import pytest

from weft.optimizers.line_search import CURVATURE, SUFFICIENT, Point, strong_wolfe

FUNCTIONS = {
    "quadratic": (lambda t: (t - 3.0) ** 2, lambda t: 2 * (t - 3.0)),
    "quartic": (lambda t: (t - 0.2) ** 4 - t, lambda t: 4 * (t - 0.2) ** 3 - 1),
    "wave": (lambda t: np.sin(5 * t) * 0.3 - t + 0.1 * t * t, lambda t: 1.5 * np.cos(5 * t) - 1 + 0.2 * t),
    "far": (lambda t: np.exp(-t / 50), lambda t: -np.exp(-t / 50) / 50),
}


def search(name, t, evaluations=25):
    f, slope = FUNCTIONS[name]
    seen = []

    def at(t):
        seen.append(t)
        return Point(t, f(t), None, slope(t))

    start = Point(0, f(0.0), None, -abs(slope(0.0)))
    return start, *strong_wolfe(at, start, t, 1.0, 1e-9, evaluations), seen


class TestStrongWolfe:
    @pytest.mark.parametrize("t", [1e-3, 1.0, 50.0])
    @pytest.mark.parametrize("name", ["quadratic", "quartic", "far"])
    def test_conditions(self, name, t):
        start, found, count, seen = search(name, t)
        assert found.loss <= start.loss + SUFFICIENT * found.t * start.slope
        assert abs(found.slope) <= CURVATURE * abs(start.slope)
        assert count == len(seen)

    @pytest.mark.parametrize("evaluations", [0, 1, 3])
    def test_no_more_evaluations_than_allowed(self, evaluations):
        start, found, count, seen = search("wave", 40.0, evaluations)
        assert count == len(seen) <= evaluations + 1
        assert found.loss <= start.loss
