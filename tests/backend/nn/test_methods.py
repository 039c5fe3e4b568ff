"""Activations as methods, where they are more than the primitive: integers, dtypes, tensors without axes."""

import numpy as np
import pytest

import weft


def test_integers_become_floats():
    x = weft.tensor([-1, 2])
    assert x.relu().tolist() == [0, 2]
    np.testing.assert_allclose(x.sigmoid().numpy(), 1 / (1 + np.exp([1.0, -2.0])), rtol=1e-6)
    np.testing.assert_allclose(x.softmax(0, dtype=weft.float64).sum().item(), 1)


@pytest.mark.parametrize(("name", "expected"), [("softmax", 1), ("log_softmax", 0)])
def test_a_number(name, expected):
    assert getattr(weft.tensor(3.0), name)(0).item() == expected
