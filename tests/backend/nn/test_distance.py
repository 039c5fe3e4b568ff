"""Against np.linalg.norm; derivatives by differences, twice; equal rows."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import distance


def a(*shape, seed=0):
    return np.random.default_rng([10, seed, *shape]).standard_normal(shape)


def euclidean(x1, x2):
    return np.linalg.norm(x1[..., :, None, :] - x2[..., None, :, :], axis=-1)


CASES = [
    Case(distance.euclidean, (a(*s1), a(*s2, seed=1)), euclidean, tolerance=20)
    for s1, s2 in [((4, 3), (5, 3)), ((2, 4, 3), (2, 5, 3)), ((3, 1, 2, 3), (2, 4, 3)), ((0, 3), (5, 3)), ((33, 31), (1, 31))]
]  # fmt: skip
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("dtype", [weft.float32, weft.float64])
def test_equal_rows_have_a_finite_gradient(dtype):
    x = weft.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype, requires_grad=True)
    y = distance.euclidean(x, x.detach())
    y.sum().backward()
    assert y.tolist()[0][0] == y.tolist()[1][1] == 0
    np.testing.assert_allclose(x.grad.numpy(), np.array([[-1, -1], [1, 1]]) / np.sqrt(2), rtol=1e-6)
