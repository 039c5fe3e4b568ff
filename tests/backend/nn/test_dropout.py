"""Against the definition in NumPy, with the generator's own mask; derivatives by differences; the expectation."""

import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import dropout as D

rng = np.random.default_rng(0)


def drawn(shape, p, seed=5):
    """The static arguments of a dropout that uses the blocks from 3 on, for masks of this shape."""
    generator = weft.Generator(seed)
    generator.set_state({"seed": seed, "counter": 3})
    return {"p": p, "shape": shape, "blocks": generator.reserve(math.prod(shape), weft.bool)}


def reference(x, residual=None, *, p, shape, blocks):
    generator = weft.Generator()
    generator.set_state({"seed": blocks.seed, "counter": blocks.counter})
    mask = generator.bernoulli(shape, 1 - p)
    return x * mask / (1 - p) + (0 if residual is None else residual)


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


CASES = [
    *[Case(D.dropout, (a(n),), reference, drawn((n,), 0.4)) for n in (0, 1, 31, 32, 33, 1025)],
    *[Case(D.dropout, (a(2, 3, 4, 5),), reference, drawn(m, 0.25), label=label)
      for m, label in [((2, 3, 4, 5), ""), ((2, 3, 1, 1), " channels"), ((2, 1, 1, 1), " samples"),
                       ((1, 3, 1, 5), " scattered mask")]],
    *[Case(D.dropout, (a(2, 3), a(*r)), reference, drawn((2, 3), 0.5)) for r in [(2, 3), (3,), ()]],
    Case(D.dropout, (a(2, 3),), reference, drawn((2, 3), 0.0)),
]  # fmt: skip
test_primitive = harness.over(CASES)


def test_all_dropped():
    x = weft.tensor([1.0, -2.0], requires_grad=True)
    y = D.dropout(x, weft.tensor([3.0, 4.0]), **drawn((2,), 1.0))
    y.sum().backward()
    assert y.tolist() == [3, 4]
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_expectation(p):
    y = D.dropout(weft.ones(200_000), **drawn((200_000,), p)).numpy()
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / 200_000)
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - p)], rtol=1e-6)
