"""Gradients through complex numbers, against central differences in float64.

A gradient of complex z is ∂L/∂Re z − i ∂L/∂Im z; users see those of real tensors only, which must not depend on it.
"""

import numpy as np
import pytest

import weft
from weft import linalg

rng = np.random.default_rng(0)
X = rng.standard_normal((3, 3))
C = weft.asarray(rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)))
SIZE = weft.abs


def z(x):
    return x * C + C * C


def differences(f, x, step=1e-6):
    slope = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = step
        slope[i] = (f(weft.asarray(x + d)).sum().item() - f(weft.asarray(x - d)).sum().item()) / (2 * step)
    return slope


def written(x):
    y = weft.asarray(C[0] * 1)
    y[1:] = x[0, 1:]
    return SIZE(y * C[1])


FUNCTIONS = {
    "real": lambda x: weft.real(z(x) * z(x)),
    "imag": lambda x: weft.imag(z(x) * z(x)),
    "abs": lambda x: SIZE(z(x)),
    "conj": lambda x: weft.real(weft.conj(z(x)) * C),
    "sign": lambda x: weft.real(weft.sign(z(x)) * C),
    "astype": lambda x: SIZE(weft.astype(x, weft.complex128) + C),
    "exp": lambda x: SIZE(weft.exp(z(x) * 0.1)),
    "log": lambda x: weft.imag(weft.log(z(x))),
    "sqrt": lambda x: SIZE(weft.sqrt(z(x)) + C),
    "asinh": lambda x: SIZE(weft.asinh(z(x) * 0.1)),
    "acosh": lambda x: SIZE(weft.acosh(z(x) * 0.1)),
    "power": lambda x: SIZE(z(x) ** 3 + C),
    "divide": lambda x: SIZE(C / x),
    "where": lambda x: SIZE(weft.where(weft.asarray(X > 0), x, C)),
    "concat": lambda x: SIZE(weft.concat([x, C])),
    "stack": lambda x: SIZE(weft.stack([x, C]) + 1j),
    "written": written,
    "mean": lambda x: SIZE(weft.mean(z(x), axis=0)),
    "var": lambda x: weft.var(z(x), axis=0),
    "std": lambda x: weft.std(z(x)),
    "matmul": lambda x: SIZE(x @ C),
    "vecdot": lambda x: SIZE(weft.vecdot(z(x), C)),
    "vector_norm": lambda x: linalg.vector_norm(z(x), axis=1),
    "vector_norm 3": lambda x: linalg.vector_norm(z(x), ord=3),
    "matrix_norm": lambda x: linalg.matrix_norm(z(x)),
    "inv": lambda x: SIZE(linalg.inv(z(x))),
    "solve": lambda x: SIZE(linalg.solve(z(x), C)),
    "det": lambda x: SIZE(linalg.det(z(x))),
    "logabsdet": lambda x: linalg.slogdet(z(x)).logabsdet,
    "sign of det": lambda x: weft.real(linalg.slogdet(z(x)).sign * C[0, 0]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_differences(name):
    x = weft.asarray(X).requires_grad_()
    FUNCTIONS[name](x).sum().backward()
    assert x.grad.dtype == weft.float64
    np.testing.assert_allclose(x.grad.numpy(), differences(FUNCTIONS[name], X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["eigvalsh", "svdvals", "cholesky", "pinv", "qr", "svd", "eigh"])
def test_what_has_no_complex_derivative_says_so(name):
    x = weft.asarray(X).requires_grad_()
    y = z(x)
    found = getattr(linalg, name)(y @ weft.conj(y.mT) + weft.eye(3, dtype=y.dtype))
    with pytest.raises(TypeError, match=f"`{name}` needs real numbers for its derivative, got complex ones; detach"):
        SIZE(found[0] if isinstance(found, tuple) else found).sum().backward()


def test_second_derivatives():
    """|x c|² = x² |c|²."""
    slope = weft.grad(lambda x: (SIZE(x * C) ** 2).sum())
    found = weft.grad(lambda x: (slope(x) ** 2).sum())(weft.asarray(X)).numpy()
    np.testing.assert_allclose(found, 8 * X * np.abs(C.numpy()) ** 4, rtol=1e-10)
