"""Shapes of variances and what is refused; the mathematics is tested with the primitives."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

rng = np.random.default_rng(0)
X, Y, V = rng.standard_normal((4, 3)), rng.standard_normal((4, 3)), rng.uniform(0.5, 2, 4)
x, y, v = map(weft.tensor, (X, Y, V))


def test_variances_of_rows():
    expected = 0.5 * (np.log(V[:, None]) + (X - Y) ** 2 / V[:, None])
    for var in (v, v[:, None], v[:, None] * weft.ones((4, 3), dtype=weft.float64)):
        np.testing.assert_allclose(F.gaussian_nll_loss(x, y, var, reduction="none").numpy(), expected, rtol=1e-12)
    one = F.gaussian_nll_loss(x, y, 2.0, full=True).item()
    assert one == pytest.approx((0.5 * (np.log(4 * np.pi) + (X - Y) ** 2 / 2)).mean())


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`var` must have the shape of `input`, \(4, 3\).*got \(3,\)"):
        F.gaussian_nll_loss(x, y, weft.ones(3))
    with pytest.raises(ValueError, match="`var` must hold variances, none negative, got -1"):
        F.gaussian_nll_loss(x, y, -weft.ones((4, 3)))
    with pytest.raises(ValueError, match=r"`var` must be .*got -1"):
        F.gaussian_nll_loss(x, y, -1.0)
    with pytest.raises(ValueError, match="`reduction` must be one of"):
        F.poisson_nll_loss(x, y, reduction="avg")


def test_counts_may_be_integers():
    found = F.poisson_nll_loss(x, weft.ones((4, 3), dtype=weft.int64), full=True)
    assert found.item() == pytest.approx((np.exp(X) - X).mean())
