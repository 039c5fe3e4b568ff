"""Against the definition in NumPy; derivatives by central differences; the expectation of drawn masks."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend import dropout as D

rng = np.random.default_rng(0)


def reference(x, mask, p):
    return x * mask / (1 - p)


def mask(*shape):
    return rng.random(shape) < 0.6


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


CASES = [
    *[Case(D.dropout, (a(n), mask(n)), reference, {"p": 0.4}) for n in (0, 1, 31, 32, 33, 1025)],
    *[Case(D.dropout, (a(2, 3, 4, 5), mask(*m)), reference, {"p": 0.25})
      for m in [(2, 3, 4, 5), (2, 3, 1, 1), (2, 1, 1, 1), (3, 1, 5)]],
    Case(D.dropout, (a(2, 3), np.ones((2, 3), bool)), reference, {"p": 0.0}),
]  # fmt: skip
test_primitive = harness.over(CASES)


def test_all_dropped():
    x = weft.tensor([1.0, -2.0], requires_grad=True)
    y = D.dropout(x, weft.tensor([False, False]), p=1.0)
    y.sum().backward()
    assert y.tolist() == [0, 0]
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_expectation(p):
    keep = weft.asarray(weft.Generator(3).bernoulli((200_000,), 1 - p))
    y = D.dropout(weft.ones(200_000), keep, p=p).numpy()
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / 200_000)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - p)], rtol=1e-6)
