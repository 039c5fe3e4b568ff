"""Against the definition with the generator's mask, in float64; on the device, the CPU's masks bit for bit."""

import math

import numpy as np
import pytest
from kernel_harness import SIZES, close, dtypes, every_schedule, no_worse, rounded

import weft
from weft.backend.tape import autograd
from weft.kernels import dropout as kernels
from weft.layers import functional as F

P = 0.3
KEEP = {"threshold": round((1 - P) * 2**32), "scale": 1 / (1 - P)}


def generator(counter=9):
    found = weft.Generator()
    found.set_state({"seed": 5, "counter": counter})
    return found


def check(got, x, mask, exact, residual=None, exact_residual=0.0):
    """got = residual + x · mask/(1 − P), for float64 values of x and the residual."""
    expected = exact_residual + exact * mask / (1 - P)
    if got.dtype == np.float32:
        close(got, expected)
    else:
        plain = x * (mask.astype(x.dtype) * x.dtype.type(1 / (1 - P)))
        no_worse(got, plain if residual is None else residual + plain, expected, factor=1)


@dtypes
class TestLauncher:
    @pytest.mark.parametrize("n", [*SIZES, 4099, 8199])  # the last: a block of threads that is whole, and some more
    @pytest.mark.parametrize("with_residual", [False, True])
    def test_elements(self, rng, dtype, n, with_residual):
        x, exact = rounded(rng.standard_normal(n), dtype)
        r, exact_r = rounded(rng.standard_normal(n), dtype) if with_residual else (None, 0.0)
        got = every_schedule(lambda: kernels.dropout(x, r, **KEEP, stream=(5, 9, None)))
        check(got, x, generator().bernoulli((n,), 1 - P), exact, r, exact_r)

    @pytest.mark.parametrize("shared", [2, 3, 7, 8, 9, 49, 1000])
    @pytest.mark.parametrize("with_residual", [False, True])
    def test_neighbours_that_share_their_fate(self, rng, dtype, shared, with_residual):
        shape = (2311 // shared + 1, shared)
        x, exact = rounded(rng.standard_normal(shape), dtype)
        r, exact_r = rounded(rng.standard_normal(shape), dtype) if with_residual else (None, 0.0)
        got = every_schedule(lambda: kernels.dropout(x, r, **KEEP, shared=shared, stream=(5, 9, None)))
        check(got, x, generator().bernoulli((len(x), 1), 1 - P), exact, r, exact_r)

    def test_views(self, rng, dtype):
        x, exact = rounded(rng.standard_normal((33, 40)), dtype)
        for view in (lambda a: a.T, lambda a: a[:, 1:], lambda a: a[::2, ::3], lambda a: a.reshape(-1)[1:]):
            a, e = view(x), view(exact)
            got = kernels.dropout(a, a, **KEEP, stream=(5, 9, None))
            check(got, a, generator().bernoulli(a.shape, 1 - P), e, a, e)

    def test_advance(self, rng, dtype):
        x = np.ones(100, dtype)
        got = kernels.dropout(x, None, **KEEP, stream=(5, 9, np.array([33], np.uint64)))
        np.testing.assert_array_equal(got != 0, generator(42).bernoulli((100,), 1 - P))


def test_what_is_not_finite_stays_visible():
    x = np.array([np.inf, np.nan] * 50, np.float32)
    got = kernels.dropout(x, None, **KEEP, stream=(5, 9, None))
    assert not np.isfinite(got).any()


class TestOnTheDevice:
    CALLS = (
        (lambda x, r: F.dropout(x, P), (5, 33)),
        (lambda x, r: F.dropout_add(x, r, P), (5, 33)),
        (lambda x, r: F.dropout1d(x, P), (4, 3, 5)),
        (lambda x, r: F.dropout2d(x, P), (4, 3, 5, 2)),
        (lambda x, r: F.drop_shared(x, (4, 1, 1), P, r), (4, 3, 5)),
        (lambda x, r: F.drop_shared(x, (1, 1), P), (4, 3)),
        (lambda x, r: F.dropout(x, 1.0), (40,)),
        (lambda x, r: F.dropout_add(x, r, P), (0, 3)),
        (lambda x, r: F.dropout(x, P), ()),
    )

    def results(self, call, shape, device, dtype=np.float32):
        rng = np.random.default_rng(0)
        x, r, g = (np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(3))
        x, r = (weft.asarray(a, device=device).requires_grad_() for a in (x, r))
        weft.manual_seed(3)
        for _ in range(2):  # the second draw goes on from the first
            y = call(x, r)
        y.backward(weft.asarray(g, device=device))
        assert y.device == device
        return [None if t is None else t.detach().numpy() for t in (y, x.grad, r.grad)]

    @pytest.mark.parametrize("i", range(len(CALLS)))
    def test_as_on_a_cpu(self, i, monkeypatch):
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        for got, expected in zip(self.results(*self.CALLS[i], "emulator"), self.results(*self.CALLS[i], "cpu")):
            assert (got is None) == (expected is None)
            if got is not None:
                np.testing.assert_allclose(got, expected, rtol=3e-7, atol=2e-7)
                np.testing.assert_array_equal(got == 0, expected == 0)

    @pytest.mark.parametrize("dtype", [weft.float16, weft.bfloat16], ids=str)
    def test_half_precision_has_the_same_mask(self, dtype):
        call, shape = self.CALLS[0]
        here, there = (self.results(call, shape, device, dtype) for device in ("cpu", "emulator"))
        for got, expected in zip(there[:2], here[:2]):
            assert got.dtype == dtype
            np.testing.assert_array_equal(got == 0, expected == 0)

    @pytest.mark.parametrize(("call", "shape", "dtype"), [
        (lambda x, r: F.dropout(x, P), (5, 7), np.float64),
        (lambda x, r: F.drop_shared(x, (1, 7), P), (5, 7), np.float32),
        (lambda x, r: F.dropout_add(x, r[0], P), (5, 7), np.float32),
    ])  # fmt: skip
    def test_falls_back_visibly(self, call, shape, dtype, monkeypatch):
        expected = self.results(call, shape, "cpu", dtype)
        monkeypatch.setattr(autograd, "report_fallbacks", True)
        with pytest.warns(UserWarning, match="`dropout` on emulator fell back to the generic form"):
            got = self.results(call, shape, "emulator", dtype)
        for a, b in zip(got, expected):
            np.testing.assert_array_equal(a, b)

    def test_backward_draws_again(self):
        x = weft.ones((64, 64), device="emulator", requires_grad=True)
        y = F.dropout(x, P)
        weft.rand(7)  # the generator moves on; the mask does not
        weft.manual_seed(99)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())

    def test_second_derivative(self):
        def f(x):
            weft.manual_seed(1)
            return (F.dropout(x, P) ** 3).sum()

        x = weft.arange(1.0, 9.0)
        expected = weft.grad(lambda x: weft.grad(f)(x).sum())(x)
        got = weft.grad(lambda x: weft.grad(f)(x).sum())(x.to("emulator"))
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-6)

    def test_in_a_checkpoint(self):
        weft.manual_seed(5)
        x = weft.ones((50,), device="emulator", requires_grad=True)
        y = weft.checkpoint(lambda x: F.dropout(x, P) * x, x)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * y.detach().numpy(), rtol=1e-6)


def test_the_rate():
    y = kernels.dropout(np.ones(200_000, np.float32), None, **KEEP, stream=(1, 0, None))
    assert abs((y == 0).mean() - P) < 5 * math.sqrt(P * (1 - P) / y.size)
