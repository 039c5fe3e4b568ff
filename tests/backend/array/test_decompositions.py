"""Against numpy.linalg in float64.

NumPy reads one triangle of a symmetric matrix, so `cholesky`, `eigh` and `eigvalsh` are differentiated as functions of
sym(x); vectors are unique up to their sign: `eigh` and `svd` are compared with the first rows of V and U made positive.
"""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft import linalg

rng = np.random.default_rng(0)


def a(*shape):
    return rng.standard_normal(shape)


def spread(*shape):
    """Singular values …, 3, 2, 1."""
    u, s, vh = np.linalg.svd(a(*shape), full_matrices=False)
    return (u * np.arange(s.shape[-1], 0, -1.0)) @ vh


def definite(*shape):
    """Symmetric, with eigenvalues 1, 4, 9, …."""
    x = spread(*shape, shape[-1])
    return x @ x.mT


# --- functions of either namespace ------------------------------------------------------------------------------------
def sym(x):
    return (x + x.mT) / 2


def cholesky(xp, x, **static):
    return xp.linalg.cholesky(sym(x), **static)


def eigh(xp, x):
    w, v = xp.linalg.eigh(sym(x))
    return w, v * xp.sign(v[..., :1, :])


def eigvalsh(xp, x):
    return xp.linalg.eigvalsh(sym(x))


def svd(xp, x, **static):
    u, s, vh = xp.linalg.svd(x, **static)
    k = s.shape[-1]
    sign = xp.sign(u[..., :1, :k])
    return u[..., :k] * sign, s, vh[..., :k, :] * sign.mT


def svdvals(xp, x):
    return xp.linalg.svdvals(x)


def qr(xp, x, **static):
    return tuple(xp.linalg.qr(x, **static))


def case(f, x, **options):
    def of(xp):
        def bound(x, **static):
            return f(xp, x, **static)

        bound.__name__ = f.__name__
        return bound

    return Case(of(weft), (x,), of(np), **options)


SQUARE = [(3,), (2, 4), (1,)]
CASES = [
    *[case(cholesky, definite(*s), static={"upper": u}, tolerance=20) for s in SQUARE for u in (False, True)],
    *[case(eigh, definite(*s), tolerance=20) for s in SQUARE],
    *[case(eigvalsh, definite(*s), tolerance=20) for s in SQUARE],
    case(eigvalsh, 2 * np.eye(3), grad=()),
    *[case(svd, spread(*s), static={"full_matrices": f}, tolerance=50)
      for s in [(3, 3), (5, 3), (3, 5), (2, 4, 3), (2, 3, 4)] for f in (False, True)],
    *[case(svdvals, spread(*s), tolerance=20) for s in [(3, 3), (2, 4, 3), (3, 5)]],
    *[case(qr, spread(*s), tolerance=20) for s in [(3, 3), (5, 3), (3, 5), (2, 4, 3), (2, 3, 4)]],
    *[case(qr, spread(*s), static={"mode": "complete"}, tolerance=20) for s in [(3, 3), (3, 5)]],
    *[case(f, np.ones((0, 2, 2))) for f in (cholesky, eigh, eigvalsh, svd, svdvals, qr)],
]  # fmt: skip
test_function = harness.over(CASES)


class TestDegenerate:
    """Where vectors are not unique, functions of what is unique still have derivatives."""

    def test_projector_on_a_shared_space(self):
        """P onto the double eigenvalue 1 of diag(1, 1, 2): only its coupling to 2 moves P."""
        direction, weights = sym(a(3, 3)), sym(a(3, 3))
        x = weft.asarray(np.diag([1.0, 1.0, 2.0])).requires_grad_()
        v = linalg.eigh(x).eigenvectors[:, :2]
        (v @ v.mT * weft.asarray(weights)).sum().backward()
        moved = np.zeros((3, 3))
        moved[:2, 2] = moved[2, :2] = -direction[:2, 2]
        assert (x.grad.numpy() * direction).sum() == pytest.approx((weights * moved).sum())

    def test_polar_factor_of_the_identity(self):
        """U Vh is the orthogonal matrix nearest to x: at the identity it moves by the skew part of a step."""
        x, weights = weft.asarray(np.eye(3)).requires_grad_(), a(3, 3)
        u, _, vh = linalg.svd(x)
        (u @ vh * weft.asarray(weights)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), (weights - weights.T) / 2, atol=1e-12)

    @pytest.mark.parametrize("values", [linalg.svdvals, linalg.eigvalsh, lambda x: linalg.svd(x).S])
    @pytest.mark.parametrize("diagonal", [[1.0, 1.0, 1.0], [2.0, 1.0, 1.0], [2.0, 0.0, 0.0]])
    def test_sum_of_equal_values(self, values, diagonal):
        x = weft.asarray(np.diag(diagonal)).requires_grad_()
        (values(x) ** 2).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * np.diag(diagonal), atol=1e-12)

    def test_singular_values_of_a_deficient_matrix(self):
        x = weft.asarray(spread(5, 2) @ spread(2, 3)).requires_grad_()
        (linalg.svd(x, full_matrices=False).S ** 2).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy(), atol=1e-12)

    def test_complete_qr_of_a_tall_matrix(self):
        q, _ = linalg.qr(weft.asarray(a(4, 2)).requires_grad_(), mode="complete")
        with pytest.raises(NotImplementedError, match="a 4 × 2 matrix has no derivative with mode='complete'"):
            q.sum().backward()


class TestForward:
    """What holds for every dtype and device."""

    FIELDS = {"eigh": ("eigenvalues", "eigenvectors"), "qr": ("Q", "R"), "svd": ("U", "S", "Vh")}

    @pytest.mark.parametrize("device", ["cpu", "strict"])
    @pytest.mark.parametrize("name", FIELDS)
    def test_fields(self, name, device):
        found = getattr(linalg, name)(weft.asarray(definite(3), device=device))
        assert type(found)._fields == self.FIELDS[name]
        assert all(isinstance(f, weft.Tensor) and f.device == device for f in found)

    @pytest.mark.parametrize("dtype", ["complex64", "complex128"])
    def test_complex(self, dtype):
        x = weft.asarray((a(3, 3) + 1j * a(3, 3)).astype(dtype))
        u, s, vh = linalg.svd(x)
        assert s.dtype == linalg.svdvals(x).dtype == x.data.real.dtype
        np.testing.assert_allclose(((u * weft.astype(s, x.dtype)) @ vh).numpy(), x.numpy(), atol=1e-5)
        w, v = linalg.eigh(x + weft.conj(x.mT))
        assert w.dtype == s.dtype
        assert v.dtype == x.dtype

    def test_integers_become_the_default_dtype(self):
        x = weft.asarray([[4, 2], [2, 5]])
        for f in (linalg.cholesky, linalg.eigvalsh, linalg.svdvals):
            assert f(x).dtype == weft.float32
