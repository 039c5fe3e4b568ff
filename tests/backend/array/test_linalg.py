"""Against numpy.linalg in float64. (The decompositions: test_decompositions.py.)"""

import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft import linalg

rng = np.random.default_rng(0)
INF = math.inf


def a(*shape):
    return rng.standard_normal(shape)


def square(*shape):
    """Well conditioned: near twice the identity."""
    return a(*shape, shape[-1]) * 0.3 + 2 * np.eye(shape[-1])


def spread(*shape):
    """Singular values …, 3, 2, 1."""
    u, s, vh = np.linalg.svd(a(*shape), full_matrices=False)
    return (u * np.arange(s.shape[-1], 0, -1.0)) @ vh


def case(name, *args, static=(), **options):
    return Case(getattr(linalg, name), args, getattr(np.linalg, name), dict(static), **options)


CASES = [
    *[case("inv", square(*s), tolerance=4) for s in [(3,), (2, 4), (1,), (0, 2)]],
    *[case("det", square(*s), tolerance=20) for s in [(3,), (2, 4), (1,), (0, 2)]],
    *[case("slogdet", x, tolerance=4) for x in [square(3), -square(3), square(2, 4), square(0, 2)]],
    *[case("solve", square(*s), a(*t), tolerance=10)
      for s, t in [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (2, 3, 4)), ((2, 3), (3,)), ((3,), (2, 3, 2)),
                   ((4, 1, 3), (2, 3, 1)), ((0, 2), (2, 1))]],
    *[case("pinv", spread(*s), tolerance=20) for s in [(3, 3), (5, 3), (3, 5), (2, 4, 3)]],
    *[case("cross", a(*s), a(*t)) for s, t in [((3,), (3,)), ((4, 3), (3,)), ((2, 1, 3), (5, 3)), ((0, 3), (3,))]],
    case("cross", a(3, 4), a(3, 4), static={"axis": -2}),
    *[case("outer", a(m), a(n)) for m, n in [(3, 4), (1, 1), (0, 2)]],
    *[case("matrix_power", square(*s), n, tolerance=100, label=f" {n}") for s in [(3,), (2, 4)] for n in (-2, -1, 0, 1, 2, 3, 6)],
    *[case("diagonal", a(*s), static={"offset": k})
      for s in [(3, 3), (2, 3, 5), (2, 5, 3), (0, 3)] for k in (-7, -4, -2, -1, 0, 1, 2, 4, 7)],
    *[case("trace", a(*s), static={"offset": k}) for s in [(3, 3), (2, 3, 5)] for k in (-9, -1, 0, 2)],
    *[case("vector_norm", a(*s), static={"axis": axis, "keepdims": keep, "ord": p}, tolerance=10)
      for s, axis in [((5,), None), ((3, 4), None), ((3, 4), 0), ((3, 4), -1), ((2, 3, 4), (0, 2))]
      for keep in (False, True) for p in (2, 1, 3, 2.5, 0.5, -1, INF, -INF, 0)],
    *[case("matrix_norm", spread(*s), static={"keepdims": keep, "ord": p}, tolerance=20, label=f" {p}")
      for s in [(3, 3), (2, 3, 5)] for keep in (False, True) for p in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)],
    case("matmul", a(2, 3, 4), a(4, 5)),
    case("matrix_transpose", a(2, 3, 4)),
    case("tensordot", a(3, 4, 5), a(5, 4), static={"axes": ([1, 2], [1, 0])}),
    case("vecdot", a(3, 5), a(5)),
]  # fmt: skip
test_function = harness.over(CASES)


def test_pinv_of_deficient_matrices():
    """Along directions that keep the rank: x(t) = (b + t db)(c + t dc)."""
    b, c, db, dc, g = spread(5, 2), spread(2, 4), a(5, 2), a(2, 4), a(4, 5)
    x = weft.asarray(b @ c).requires_grad_()
    (linalg.pinv(x) * weft.asarray(g)).sum().backward()
    slope = (x.grad.numpy() * (db @ c + b @ dc)).sum()
    value = lambda t: (np.linalg.pinv((b + t * db) @ (c + t * dc), rtol=1e-9) * g).sum()
    assert slope == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("rtol", [None, 0.4, weft.asarray([0.4, 0.01])])
def test_tolerance_of_pinv_and_rank(rtol):
    x = np.stack([spread(4, 3), spread(4, 2) @ spread(2, 3)])
    given = rtol.numpy() if isinstance(rtol, weft.Tensor) else rtol
    found = linalg.pinv(weft.asarray(x), rtol=rtol).numpy()
    np.testing.assert_allclose(found, np.linalg.pinv(x, rtol=given), atol=1e-12)
    rank = linalg.matrix_rank(weft.asarray(x), rtol=rtol)
    np.testing.assert_array_equal(rank.numpy(), np.linalg.matrix_rank(x, rtol=given))
    assert rank.dtype == weft.int64


def test_rank_of_empty_matrices():
    assert linalg.matrix_rank(weft.zeros((2, 0, 3))).tolist() == [0, 0]


class TestCorners:
    """Gradients where a norm has a corner or a function is degenerate."""

    @pytest.mark.parametrize(("norm", "expected"), [("nuc", 1.0), ("fro", 1 / math.sqrt(3))])
    def test_norm_of_the_identity(self, norm, expected):
        x = weft.asarray(np.eye(3)).requires_grad_()
        linalg.matrix_norm(x, ord=norm).backward()
        np.testing.assert_allclose(x.grad.numpy(), expected * np.eye(3), atol=1e-12)

    @pytest.mark.parametrize("p", [1, 2, 3, INF])
    def test_norm_of_zero(self, p):
        x = weft.zeros(3, requires_grad=True)
        linalg.vector_norm(x, ord=p).backward()
        assert x.grad.tolist() == [0, 0, 0]

    @pytest.mark.parametrize("p", [0.5, 0.9])
    def test_zeros_below_one(self, p):
        """Where the derivative is infinite, it is 0, as in PyTorch."""
        x = weft.tensor([0.0, 4.0], requires_grad=True)
        linalg.vector_norm(x, ord=p).backward()
        assert x.grad.tolist() == [0, 1]

    def test_equal_extremes_share(self):
        x = weft.tensor([1.0, -2.0, 2.0], requires_grad=True)
        linalg.vector_norm(x, ord=INF).backward()
        assert x.grad.tolist() == [0, -0.5, 0.5]


class TestForward:
    """What holds for every dtype and device."""

    @pytest.mark.parametrize("device", ["cpu", "strict"])
    def test_fields(self, device):
        found = linalg.slogdet(weft.asarray(square(3), device=device))
        assert type(found)._fields == ("sign", "logabsdet")
        assert all(isinstance(f, weft.Tensor) and f.device == device for f in found)

    @pytest.mark.parametrize("dtype", ["complex64", "complex128"])
    def test_complex(self, dtype):
        x = weft.asarray((square(3) + 0.1j * a(3, 3)).astype(dtype))
        assert linalg.vector_norm(x).dtype == linalg.matrix_norm(x, ord=1).dtype == x.data.real.dtype
        np.testing.assert_allclose((linalg.inv(x) @ x).numpy(), np.eye(3), atol=1e-5)

    def test_integers_become_the_default_dtype(self):
        x = weft.asarray([[4, 2], [2, 5]])
        for f in (linalg.inv, linalg.det, linalg.pinv, linalg.vector_norm, linalg.matrix_norm):
            assert f(x).dtype == weft.float32
        assert linalg.matrix_power(x, 2).dtype == linalg.trace(x).dtype == weft.int64

    def test_trace_accumulates_like_sum(self):
        x = weft.full((2, 2), 100, dtype=weft.int8)
        assert linalg.trace(x).item() == 200
        assert linalg.trace(x, dtype=weft.float64).dtype == weft.float64


@pytest.mark.parametrize(("f", "args", "message"), [
    (linalg.outer, (weft.ones((2, 2)), weft.ones(2)), r"two vectors, got shapes \(2, 2\) and \(2,\)"),
    (linalg.matrix_power, (weft.ones((2, 3)), 2), r"square matrices, got shape \(2, 3\)"),
])  # fmt: skip
def test_shape_errors(f, args, message):
    with pytest.raises(ValueError, match=message):
        f(*args)


def test_unknown_norm():
    with pytest.raises(ValueError, match="got 'max'"):
        linalg.matrix_norm(weft.ones((2, 2)), ord="max")
