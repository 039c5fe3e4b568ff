"""vjp, jvp, jacrev, hessian and hvp against Jacobians and Hessians written down by hand in float64."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

A = np.array([[1.0, -2.0, 0.5], [0.3, 1.5, -1.0]])
X = np.array([0.2, -0.7, 1.1])


def f(x):
    """sin(A x), whose Jacobian is diag(cos(A x)) A."""
    return weft.sin(weft.asarray(A) @ x)


def energy(x):
    """Σ sin(A x), whose Hessian is -Aᵀ diag(sin(A x)) A."""
    return f(x).sum()


JACOBIAN = np.cos(A @ X)[:, None] * A
HESSIAN = -A.T @ (np.sin(A @ X)[:, None] * A)


def near(found, expected):
    assert found.dtype == weft.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.fixture
def x():
    return weft.asarray(X)


class TestProducts:
    def test_vjp(self, x):
        y, pullback = weft.vjp(f, x)
        near(y, np.sin(A @ X))
        for v in ([1.0, 0.0], [0.3, -2.0]):
            near(pullback(weft.asarray(np.array(v)))[0], np.array(v) @ JACOBIAN)

    def test_jvp(self, x):
        t = np.array([0.4, 1.0, -3.0])
        y, along = weft.jvp(f, (x,), (weft.asarray(t),))
        near(y, np.sin(A @ X))
        near(along, JACOBIAN @ t)

    def test_two_arguments(self, x):
        other, t = weft.asarray(X[::-1].copy()), np.array([1.0, 2.0, 3.0])
        product = lambda a, b: a * b
        ga, gb = weft.vjp(product, x, other)[1](weft.asarray(t))
        near(ga, t * X[::-1])
        near(gb, t * X)
        near(weft.jvp(product, (x, other), (weft.asarray(t), x))[1], t * X[::-1] + X * X)

    def test_hvp(self, x):
        v = np.array([1.0, -1.0, 2.0])
        value, product = weft.hvp(energy, x, weft.asarray(v))
        near(value, np.sin(A @ X).sum())
        near(product, HESSIAN @ v)

    def test_a_model_s_parameters_stay_without_gradients(self, x):
        w = weft.Parameter(A.copy())
        near(weft.jvp(lambda x: w @ x, (x,), (x,))[1].detach(), A @ X)
        assert w.grad is None

    def test_random_numbers_are_those_of_the_value(self):
        x = weft.ones(64, dtype=weft.float64)
        drop = lambda x: F.dropout(x, 0.5)
        weft.manual_seed(3)
        y, pullback = weft.vjp(drop, x)
        assert 0 < (y.numpy() == 0).sum() < 64
        near(pullback(x)[0], y.numpy())
        y, along = weft.jvp(drop, (x,), (x,))
        near(along, y.numpy())
        found = weft.jacrev(drop)(x[:8]).numpy()
        assert (found == np.diag(np.diag(found))).all()
        y, product = weft.hvp(lambda x: drop(x**2).sum(), x, x)
        near(product.sum(), 2 * y.numpy())

    def test_linear_and_constant(self, x):
        near(weft.jvp(lambda x: x * 2.0, (x,), (x,))[1], 2 * X)
        near(weft.jvp(lambda x: weft.asarray(A), (x,), (x,))[1], np.zeros_like(A))


class TestMatrices:
    def test_jacrev(self, x):
        near(weft.jacrev(f)(x), JACOBIAN)

    def test_jacfwd(self, x):
        near(weft.jacfwd(f)(x), JACOBIAN)
        two = lambda k, x, *, by: f(x) * k * by
        near(weft.jacfwd(two, argnums=-1)(weft.asarray(np.array(2.0)), x, by=3.0), 6.0 * JACOBIAN)
        y = weft.asarray(np.arange(6.0).reshape(2, 3))
        near(weft.jacfwd(lambda x: x.T)(y), np.einsum("ik,jl->jikl", np.eye(2), np.eye(3)))
        assert weft.jacfwd(lambda x: x * 2)(y[:0]).shape == (0, 3, 0, 3)
        near(weft.jacfwd(weft.jacfwd(lambda x: (x**3).sum()))(x), 6 * np.diag(X))

    def test_argnums_and_keywords(self, x):
        scaled = lambda k, x, *, by: f(x) * k * by
        k = weft.asarray(np.array(2.0))
        near(weft.jacrev(scaled, argnums=1)(k, x, by=3.0), 6.0 * JACOBIAN)
        near(weft.jacrev(scaled, argnums=-1)(k, x, by=3.0), 6.0 * JACOBIAN)
        near(weft.jacrev(scaled)(k, x, by=3.0), 3.0 * np.sin(A @ X))

    def test_shapes(self):
        x = weft.asarray(np.arange(6.0).reshape(2, 3))
        found = weft.jacrev(lambda x: x.T)(x)
        expected = np.einsum("ik,jl->jikl", np.eye(2), np.eye(3))
        near(found, expected)
        assert weft.jacrev(lambda x: x[:0])(x).shape == (0, 3, 2, 3)

    def test_hessian(self, x):
        near(weft.hessian(energy)(x), HESSIAN)

    def test_it_nests(self, x):
        third = weft.jacrev(weft.hessian(lambda x: (x**4).sum()))(x)
        expected = np.zeros((3, 3, 3))
        expected[range(3), range(3), range(3)] = 24 * X
        near(third, expected)

    def test_a_jacobian_takes_part_in_backward(self, x):
        weft.jacrev(lambda x: x**2)(x.requires_grad_()).sum().backward()
        near(x.grad, np.full(3, 2.0))


class TestErrors:
    def test_no_function(self, x):
        for call in (
            lambda: weft.jacrev(x),
            lambda: weft.jacfwd(x),
            lambda: weft.vjp(3, x),
            lambda: weft.jvp(3, (x,), (x,)),
        ):
            with pytest.raises(TypeError, match="`f` must be a function of Tensors, got"):
                call()

    def test_no_tensor(self, x):
        with pytest.raises(TypeError, match="`f` must return a Tensor, got float"):
            weft.vjp(lambda x: 1.0, x)
        with pytest.raises(TypeError, match="`primals` must be a list or tuple of Tensors, got Tensor"):
            weft.jvp(f, x, x)
        with pytest.raises(TypeError, match="`v` must be a Tensor, for a Tensor, got ndarray"):
            weft.hvp(energy, x, X)

    def test_shapes(self, x):
        with pytest.raises(ValueError, match=r"`v` must have the shape \(2,\), got \(3,\)"):
            weft.vjp(f, x)[1](x)
        with pytest.raises(ValueError, match=r"`tangents` must have the shape \(3,\), got \(2,\)"):
            weft.jvp(f, (x,), (x[:2],))
        with pytest.raises(ValueError, match="`tangents` must be as many as `primals`, 1, got 2"):
            weft.jvp(f, (x,), (x, x))
        with pytest.raises(TypeError, match="with one element, got shape"):
            weft.hessian(f)(x)

    def test_argnums(self, x):
        with pytest.raises(ValueError, match="`argnums` must name one of 1 positional arguments, got 1"):
            weft.jacrev(f, argnums=1)(x)
        with pytest.raises(TypeError, match=r"`argnums` must be an integer, got \(0,\)"):
            weft.jacrev(f, argnums=(0,))(x)
