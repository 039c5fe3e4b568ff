"""Every function's values against array_api_strict's: special values, zeros' signs, empty arrays, stacks, dtypes."""

import math
import operator

import array_api_strict as strict
import numpy as np
import pytest
from namespaces import BINARY, DTYPES, OPERATORS, SPACES, UNARY, agree, outcome, special

import weft


@pytest.fixture(autouse=True)
def _as_strict():
    """Divisions by zero and the like are what is tested; and array_api_strict's default dtype is float64."""
    weft.set_default_dtype(weft.float64)
    with np.errstate(all="ignore"):
        yield
    weft.set_default_dtype(weft.float32)


@pytest.mark.parametrize("name", UNARY)
def test_unary(name):
    f, g = (getattr(s, name) for s in SPACES[""])
    for dtype in DTYPES:
        if name == "sign" and "complex" in dtype:
            continue  # array_api_strict's has negative zeros, and NaN for infinities
        ours, theirs = special(dtype)
        expected, refused = outcome(g, theirs)
        if not refused:
            agree(f(ours), expected)
            agree(f(ours[:0]), g(theirs[:0]))
            agree(f(ours[0]), g(theirs[0]))


@pytest.mark.parametrize("name", BINARY + OPERATORS)
def test_binary(name):
    """All pairs of special values."""
    f, g = [getattr(operator, name)] * 2 if name in OPERATORS else [getattr(s, name) for s in SPACES[""]]
    for dtype in DTYPES:
        if "complex" in dtype and "pow" in name:
            continue  # array_api_strict agrees with NumPy to rounding alone
        pair = special(dtype)
        if "int" in dtype and "pow" in name:
            pair = [x[x >= 0] for x in pair]
        if "int" in dtype and "shift" in name:
            pair = [x[(x >= 0) & (x < 8)] for x in pair]
        n = pair[0].shape[0]
        wide = [s.asarray(s.broadcast_to(x[:, None], (n, n)), copy=True) for s, x in zip(SPACES[""], pair)]
        expected, refused = outcome(g, wide[1], pair[1])
        if not refused:
            agree(f(wide[0], pair[0]), expected)


WITH = {  # what the expressions below may use
    "x": np.asarray([[3.0, -1.0, 2.5], [0.5, 2.0, -1.0]]),
    "y": np.asarray([[1.0, 4.0], [-2.0, 0.5], [3.0, 1.0]]),
    "z": np.asarray([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, math.nan]),
    "v": np.asarray([3.0, -1.0, 2.5]),
    "t": np.arange(24.0).reshape(2, 3, 4),
    "o": np.zeros((0, 3)),
    "i": np.asarray([[3, 1, 2], [2, 0, 2]]),
    "k": np.asarray([2, 0, 1, 0]),
    "s": np.asarray([100, 100, 27], dtype="int8"),
    "u": np.asarray([200, 100, 27], dtype="uint8"),
    "f": np.asarray([1.5, -2.0, 0.25], dtype="float32"),
    "b": np.asarray([[True, False, True], [False, False, True]]),
    "c": np.asarray([[1 + 2j, -1j, 0.5], [2, 1j, -3]]),
    "m": np.asarray([[4.0, 1.0, 0.5], [1.0, 3.0, -0.5], [0.5, -0.5, 2.0]]),
    "n": np.asarray([[[2.0, 1.0], [1.0, 3.0]], [[-1.0, 0.5], [0.5, 0.25]]]),
}
EXPRESSIONS = """
xp.asarray(3), xp.asarray(2.5), xp.asarray(True), xp.asarray(1j), xp.asarray([[1, 2], [3, 4]])
xp.asarray([1, 2.5, True]), xp.asarray([]), xp.asarray(x, copy=True), xp.asarray(x, copy=False)
xp.asarray([1, 2], dtype=xp.uint8), xp.asarray(x, dtype=xp.float32)
xp.arange(5), xp.arange(1, 7, 2), xp.arange(5, 0, -2), xp.arange(0.0, 1.0, 0.25), xp.arange(3, dtype=xp.float32)
xp.arange(3, 3), xp.linspace(0, 1, 5), xp.linspace(0, 1, 5, endpoint=False), xp.linspace(2, 2, 1)
xp.linspace(1, 2, 0), xp.linspace(0, 1j, 3)
xp.eye(3), xp.eye(2, 3), xp.eye(2, 3, k=1), xp.eye(3, k=-1, dtype=xp.int32), xp.eye(0), xp.zeros(3)
xp.ones((2, 0)), xp.full((2, 2), 7), xp.full(2, 2.5), xp.full((), True), xp.full(3, 1j)
xp.full(2, 1, dtype=xp.float32), xp.zeros_like(f), xp.ones_like(i, dtype=xp.float32), xp.full_like(u, 7)
xp.empty_like(t).shape, xp.empty((2, 3)).shape
xp.tril(x), xp.triu(t), xp.tril(x, k=-1), xp.triu(i, k=1), xp.tril(b), xp.meshgrid(k, k[:2])
xp.meshgrid(k, k[1:], indexing='ij'), xp.meshgrid(k), xp.from_dlpack(x), xp.from_dlpack(x, copy=True)
xp.from_dlpack(i),
xp.astype(z[:4], xp.int32), xp.astype(i, xp.float32), xp.astype(x, xp.float64, copy=False)
xp.astype(b, xp.int8), xp.astype(f, xp.complex64), xp.broadcast_to(k, (2, 4))
xp.broadcast_arrays(x, v, x[:, :1]), xp.broadcast_shapes((3, 1), (1, 4), ()), xp.broadcast_to(o, (2, 0, 3))
x[0, ...], x[-1, 1], x[:, ::-1], x[..., 0], x[None, 1, :], t[1, :, 2:], t[..., None, 0], x[b], z[z > 0]
o[:, 1:], v[1], v[-1:], v[::-2], t[k[:2] % 2, k[1:3], 0], k[k], t[1, k[1], k[2]], x[i % 2, i % 3], v[i % 3]
xp.concat([x, x[:1, :]]), xp.concat([x, y], axis=None), xp.concat([x, o]), xp.concat([s, u])
xp.stack([x, x], axis=-1), xp.stack([s, u]), xp.expand_dims(x, axis=1), xp.expand_dims(x, axis=-1)
xp.squeeze(x[None, ...], 0), xp.squeeze(x[None, :, None, :], (0, -2)), xp.squeeze(x, ())
xp.flip(t), xp.flip(t, axis=1), xp.flip(t, axis=(0, -1)), xp.flip(o), xp.moveaxis(t, 0, -1)
xp.moveaxis(t, (0, 1), (1, 0)), xp.permute_dims(t, (2, 0, 1)), xp.repeat(x, 2), xp.repeat(x, 2, axis=1)
xp.repeat(k, k), xp.repeat(x, k[:2], axis=0), xp.repeat(o, 3, axis=1)
xp.reshape(t, (4, -1)), xp.reshape(t, (24,)), xp.reshape(o, (3, 0)), xp.reshape(x, (3, 2), copy=True)
xp.reshape(x, (6,), copy=False), xp.roll(x, 1), xp.roll(x, -2, axis=1), xp.roll(t, (1, 2), axis=(0, 2))
xp.roll(k, 9), xp.tile(x, (2,)), xp.tile(x, (2, 1, 2)), xp.tile(k, (0,)), xp.unstack(x), xp.unstack(t, axis=-1)
xp.unstack(o), xp.matrix_transpose(t)
xp.argmax(x), xp.argmax(x, axis=0), xp.argmin(x, axis=1, keepdims=True), xp.argmax(z), xp.argmin(z)
xp.argmax(i, keepdims=True), xp.nonzero(i), xp.nonzero(b), xp.nonzero(o), xp.count_nonzero(i)
xp.count_nonzero(i, axis=0), xp.count_nonzero(z), xp.count_nonzero(b, axis=(0, 1), keepdims=True)
xp.searchsorted(f[1:], f), xp.searchsorted(xp.sort(k), k, side='right')
xp.searchsorted(k, i, sorter=xp.argsort(k)), xp.searchsorted(xp.sort(k), 1), xp.where(b, x, 0.0)
xp.where(b, 1, i), xp.where(b, x, -x), xp.where(b[0, :], x, v), xp.where(b, f, x), xp.where(b, s[:1], u)
xp.take(k, k), xp.take(x, k[:2], axis=1), xp.take(t, k, axis=-1), xp.take(o, k, axis=1)
xp.take_along_axis(x, i % 3), xp.take_along_axis(x, i[:1, :] % 2, axis=0), xp.isin(k, i), xp.isin(i, 2)
xp.isin(2, i), xp.isin(u, u[:1])
xp.unique_all(i), xp.unique_counts(i), xp.unique_inverse(k), xp.unique_values(k), xp.unique_values(z)
xp.unique_counts(z), xp.unique_all(z), xp.unique_values(o), xp.unique_inverse(t)
xp.sort(x), xp.sort(x, axis=0), xp.sort(x, descending=True), xp.sort(z), xp.sort(o), xp.sort(u, descending=True)
xp.sort(k, stable=False), xp.argsort(k), xp.argsort(k, descending=True), xp.argsort(x, axis=0)
xp.argsort(i, axis=1, descending=True), xp.argsort(o), xp.argsort(i * 0, descending=True), xp.argsort(z)
xp.sum(x), xp.sum(s), xp.sum(u), xp.sum(f), xp.sum(x, axis=0), xp.sum(t, axis=(0, 2), keepdims=True), xp.sum(o)
xp.sum(o, axis=0), xp.sum(s, dtype=xp.int8), xp.sum(c), xp.sum(z), xp.sum(x, axis=()), xp.prod(x), xp.prod(s)
xp.prod(u), xp.prod(i, axis=1), xp.prod(o, axis=0), xp.prod(i, dtype=xp.float32), xp.prod(c, keepdims=True)
xp.prod(z),
xp.max(x), xp.max(i, axis=0), xp.max(z), xp.max(t, axis=(0, 1), keepdims=True), xp.min(x, axis=1), xp.min(z)
xp.min(s), xp.min(u, keepdims=True), xp.mean(x), xp.mean(x, axis=0), xp.mean(t, axis=(1, 2), keepdims=True)
xp.mean(f), xp.mean(c), xp.mean(z), xp.var(x), xp.var(x, axis=0, correction=1)
xp.std(t, axis=(0, 1), keepdims=True), xp.std(f, correction=0.5), xp.std(z), xp.var(x, axis=1)
xp.cumulative_sum(k), xp.cumulative_sum(x, axis=0), xp.cumulative_sum(s, include_initial=True)
xp.cumulative_sum(o, axis=0), xp.cumulative_sum(u), xp.cumulative_sum(k, dtype=xp.float32)
xp.cumulative_prod(k), xp.cumulative_prod(x, axis=1), xp.cumulative_prod(f, include_initial=True)
xp.cumulative_prod(c, axis=-1), xp.cumulative_prod(s)
xp.diff(x), xp.diff(x, axis=0), xp.diff(k, n=2), xp.diff(k, prepend=k[:1], append=k[:2])
xp.diff(t, axis=1, n=3), xp.diff(u), xp.diff(k, n=0), xp.all(b), xp.all(b, axis=0)
xp.any(b, axis=1, keepdims=True), xp.all(x), xp.any(z), xp.all(o), xp.any(o), xp.any(o, axis=0), xp.all(c)
xp.any(i * 0),
xp.clip(x, 0, 2), xp.clip(x, 0.5), xp.clip(x, None, 1.0), xp.clip(x), xp.clip(z, -1.0, 1.0)
xp.clip(i, 1, xp.asarray([2, 1, 3])), xp.clip(x, x[:1, :], None), xp.clip(f, -1.0, math.nan), xp.clip(s, -5, 30)
x @ y, xp.matmul(t, xp.ones((4, 2))), v @ y, x @ v, v @ v, i @ i.T, c @ c.T, xp.matmul(o, y), f @ f
s[:2] @ s[:2], xp.tensordot(x, y, axes=1), xp.tensordot(t, t, axes=((0, 1), (0, 1))), xp.tensordot(x, x, axes=2)
xp.tensordot(k, k, axes=0), xp.tensordot(t, x, axes=((0, 1), (0, 1))), xp.vecdot(x, x), xp.vecdot(c, c)
xp.vecdot(x, x, axis=-2), xp.vecdot(t, t[0, ...]), xp.vecdot(i, i), xp.vecdot(c, c[0, :])
xp.linalg.cholesky(m), xp.linalg.cholesky(m, upper=True), xp.linalg.cross(x, x[::-1, :]), xp.linalg.cross(x, v)
xp.linalg.cross(y, y * y, axis=-2), xp.linalg.det(m), xp.linalg.det(n), xp.linalg.diagonal(x)
xp.linalg.diagonal(t, offset=1), xp.linalg.diagonal(b, offset=-1), xp.linalg.diagonal(x, offset=9)
xp.linalg.eigh(m), xp.linalg.eigvalsh(m), xp.linalg.inv(m), xp.linalg.inv(n), xp.linalg.slogdet(m)
xp.linalg.slogdet(n), xp.linalg.matmul(x, y), xp.linalg.matrix_transpose(x), xp.linalg.tensordot(x, y, axes=1)
xp.linalg.vecdot(x, x), xp.linalg.outer(k, k)
xp.linalg.matrix_power(n, 3), xp.linalg.matrix_power(m, 0), xp.linalg.matrix_power(m, 1)
xp.linalg.matrix_rank(m), xp.linalg.matrix_rank(t), xp.linalg.matrix_rank(m, rtol=0.5), xp.linalg.pinv(x)
xp.linalg.pinv(t, rtol=1e-3), xp.linalg.qr(x), xp.linalg.qr(y, mode='complete'), xp.linalg.solve(m, v)
xp.linalg.solve(m, y), xp.linalg.solve(m[None, ...], t[:, :, :2])
xp.linalg.svd(x), xp.linalg.svd(y, full_matrices=False), xp.linalg.svdvals(t), xp.linalg.trace(x)
xp.linalg.trace(t, offset=1), xp.linalg.trace(i, dtype=xp.float32), xp.linalg.trace(s[:, None] * s)
xp.linalg.vector_norm(x), xp.linalg.vector_norm(x, axis=0, ord=1)
xp.linalg.vector_norm(t, axis=(0, 2), keepdims=True), xp.linalg.vector_norm(f, ord=math.inf)
xp.linalg.vector_norm(c, ord=0),
xp.linalg.matrix_norm(m), xp.linalg.matrix_norm(t, ord=1)
xp.linalg.matrix_norm(c, ord=-math.inf, keepdims=True),
xp.fft.fft(c), xp.fft.fft(c, n=5, axis=0, norm='ortho'), xp.fft.ifft(c), xp.fft.rfft(x), xp.fft.irfft(c)
xp.fft.irfft(c, n=5), xp.fft.hfft(c), xp.fft.ihfft(x), xp.fft.rfft(f), xp.fft.fftn(c)
xp.fft.ifftn(c, axes=(0,), norm='forward'), xp.fft.rfftn(t), xp.fft.irfftn(c)
xp.fft.fftn(c, s=(2, 2), axes=(0, 1)), xp.fft.fftshift(v), xp.fft.ifftshift(x, axes=1), xp.fft.fftfreq(5)
xp.fft.fftfreq(4, d=0.5), xp.fft.rfftfreq(5), xp.fft.rfftfreq(6, dtype=xp.float32)
"""


def evaluate(xp, expression):
    arrays = {name: xp.asarray(value.copy()) for name, value in WITH.items()}
    return eval(expression, {"xp": xp, "math": math, **arrays})


@pytest.mark.parametrize("line", EXPRESSIONS.strip().splitlines())
def test_values(line):
    agree(evaluate(weft, line), evaluate(strict, line))


REFUSED = """
ValueError: xp.squeeze(x, 0)
IndexError: xp.expand_dims(x, axis=3)
IndexError: xp.expand_dims(x, axis=-4)
IndexError: xp.unstack(x, axis=2)
IndexError: xp.concat([x], axis=2)
IndexError: xp.stack([x], axis=-4)
IndexError: xp.sum(x, axis=2)
ValueError: xp.cumulative_sum(x)
IndexError: xp.cumulative_prod(x, axis=2)
ValueError: xp.nonzero(xp.asarray(1.0))
ValueError: xp.reshape(x, (4, 2))
ValueError: xp.reshape(x.T, (-1,), copy=False)
ValueError: xp.asarray([1.0, 2.0], copy=False)
ValueError: xp.broadcast_to(x, (2, 4))
ValueError: xp.broadcast_arrays(x, y)
ValueError: xp.broadcast_shapes((2,), (3,))
ValueError: xp.meshgrid(k, k, indexing='yx')
ValueError: x + y
ValueError: x @ x
IndexError: x[xp.asarray([True, False, True])]
IndexError: x[2, 0]
ValueError: xp.linalg.vecdot(x, y)
ValueError: xp.linalg.cross(y, y)
ValueError: bool(x)
TypeError: float(x)
TypeError: int(c[0, 0])
TypeError: len(xp.asarray(1))
TypeError: k.__index__()
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines())
def test_refused(line):
    kind, _, expression = line.partition(": ")
    with pytest.raises({"ValueError": ValueError, "IndexError": IndexError, "TypeError": TypeError}[kind]):
        evaluate(weft, expression)


class TestBeyondStrict:
    """What array_api_strict does not get right, or NumPy does not."""

    def test_isin(self):
        assert weft.isin(weft.arange(4), weft.asarray([1, 3]), invert=True).tolist() == [True, False, True, False]

    def test_sign_of_zero(self):
        for dtype in ("float32", "complex64"):
            found = weft.sign(weft.asarray([0.0, -0.0], dtype=dtype))
            assert not weft.signbit(weft.real(found)).any()

    def test_repeats_of_any_integer_dtype(self):
        assert weft.repeat(weft.arange(2), weft.asarray([1, 2], dtype=weft.uint64)).tolist() == [0, 1, 1]

    @pytest.mark.parametrize("bound", ["int8", "int16", "int64"])
    def test_clip_compares_integers_exactly(self, bound):
        x = weft.asarray([0, 5, 2**63 + 1], dtype=weft.uint64)
        y = weft.clip(x, weft.asarray([1, -3, 7], dtype=bound))
        assert y.dtype == weft.uint64
        assert y.tolist() == [1, 5, 2**63 + 1]

    def test_bounds_of_clip_do_not_promote(self):
        x, low, high = (
            weft.asarray([-1.0, 0.25, 9.0], dtype="float32"),
            weft.asarray(0.1),
            weft.asarray([2, math.nan, 2]),
        )
        y = weft.clip(x, low, high)
        assert y.dtype == weft.float32
        np.testing.assert_array_equal(y.numpy(), np.asarray([0.1, np.nan, 2], "float32"))
