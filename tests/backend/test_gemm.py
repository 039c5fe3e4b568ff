"""The one matrix product, against NumPy's."""

import array_api_strict
import numpy as np
import pytest

from weft.backend.gemm import matmul

rng = np.random.default_rng(0)
SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 6, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)),
    ((1, 1), (1, 1)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((3, 4), (4, 0)),
    ((0, 3, 4), (4, 5)),
    ((33, 31), (31, 32)),
    ((2, 3, 0), (0, 4)),
]


@pytest.mark.parametrize(("s", "t"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(s, t, dtype):
    a, b = rng.standard_normal(s).astype(dtype), rng.standard_normal(t).astype(dtype)
    expected = a.astype(float) @ b.astype(float)
    got = matmul(np, a, b)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, atol=1e-5 if dtype == "float32" else 1e-13)
    strict = matmul(array_api_strict, array_api_strict.asarray(a), array_api_strict.asarray(b))
    np.testing.assert_allclose(np.asarray(strict), expected, atol=1e-5 if dtype == "float32" else 1e-13)


def test_layouts():
    a, b = rng.standard_normal((5, 4)), rng.standard_normal((6, 5))
    np.testing.assert_allclose(matmul(np, a.T, b.T), a.T @ b.T)
    wide = rng.standard_normal((2, 6, 8))[:, ::2, ::2]
    np.testing.assert_allclose(matmul(np, wide, b[:4]), wide @ b[:4])
    flipped = rng.standard_normal((2, 3, 4)).transpose(1, 0, 2)
    np.testing.assert_allclose(matmul(np, flipped, b[:4]), flipped @ b[:4])


@pytest.mark.parametrize(("s", "t"), [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5))])
def test_out(s, t):
    a, b = rng.standard_normal(s), rng.standard_normal(t)
    out = np.full(np.matmul(a, b).shape, np.nan)
    got = matmul(np, a, b, out=out)
    assert got is out or np.shares_memory(got, out)
    np.testing.assert_allclose(out, a @ b)
