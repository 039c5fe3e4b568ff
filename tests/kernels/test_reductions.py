"""Norms and scaling against NumPy in float64; on the device, clipping as on a CPU."""

import math

import numpy as np
import pytest
from kernel_harness import SIZES, close, dtypes, every_schedule, no_worse, rounded

import weft
from weft import optimizers as optim
from weft.kernels import reductions as kernels
from weft.kernels.toolchain.launch import FLOATS
from weft.kernels.toolchain.settings import multiprocessors
from weft.optimizers.clipping import scale_

ORDERS = (2.0, 1.0, 3.0, 0.5, math.inf)
FLOAT = np.float32


def reference(arrays, p):
    flat = np.abs(np.concatenate([a.astype(np.float64).ravel() for a in arrays]))
    return np.asarray(flat.max(initial=0.0) if p == math.inf else (flat**p).sum() ** (1 / p))


@pytest.mark.parametrize("p", ORDERS)
@dtypes
class TestNorm:
    @pytest.mark.parametrize("n", [*SIZES, 8191, 8192, 8193, 40_001])
    def test_one_vector(self, rng, dtype, p, n):
        x, exact = rounded(rng.standard_normal(n) * 10, dtype)
        got = every_schedule(lambda: kernels.norm([x], p))
        assert (got.shape, got.dtype) == ((), FLOAT)
        close(got, reference([exact], p))

    def test_many(self, rng, dtype, p):
        pairs = [rounded(rng.standard_normal(shape), dtype) for shape in [(300, 40), (), (0, 3), (7,), (3, 2, 2)]]
        close(every_schedule(lambda: kernels.norm([x for x, _ in pairs], p)), reference([e for _, e in pairs], p))

    @pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
    @pytest.mark.parametrize("at", [0, 5000, 20_000])
    def test_what_is_not_finite_stays_so(self, dtype, p, bad, at):
        x = np.ones(20_001, dtype)
        x[at] = bad
        got = kernels.norm([x], p)
        assert np.isnan(got) if np.isnan(bad) else got == np.inf


class TestNormOfAll:
    def test_dtypes_may_differ(self, rng):
        pairs = [rounded(rng.standard_normal(1000), dtype) for dtype in FLOATS]
        close(kernels.norm([x for x, _ in pairs]), reference([e for _, e in pairs], 2.0))

    def test_views(self, rng):
        x = rng.standard_normal((40, 50)).astype(FLOAT)
        for view in (x.T, x[:, ::2], x.ravel()[1:], x[3]):
            close(kernels.norm([view]), reference([view], 2.0))

    @pytest.mark.parametrize("p", ORDERS)
    def test_where_a_vector_begins_changes_no_bit(self, rng, p):
        x = rng.standard_normal(20_001).astype(FLOAT)[1:]
        assert kernels.norm([x], p) == kernels.norm([x.copy()], p)

    def test_nan_beats_infinity(self):
        for p in (2.0, math.inf):
            assert np.isnan(kernels.norm([np.array([np.inf, 1, np.nan], FLOAT)], p))
            assert np.isnan(kernels.norm([np.array([np.nan, 1, np.inf], FLOAT)], p))


def check(got, x, exact, factor):
    """got = factor · x, for x = exact in a dtype."""
    if got.dtype == FLOAT:
        close(got, exact * factor)
    else:
        no_worse(got, x * x.dtype.type(factor), exact * factor, factor=1)


@dtypes
@pytest.mark.parametrize("n", [*SIZES, 5003])
class TestScale:
    def test_scale(self, rng, dtype, n):
        x, exact = rounded(rng.standard_normal(n), dtype)
        factor = np.array([0.3], FLOAT)

        def run():
            y = x.copy()
            kernels.scale(y, factor)
            return y

        check(every_schedule(run), x, exact, float(factor[0]))

    def test_clip(self, rng, dtype, n):
        x, exact = rounded(rng.standard_normal(n), dtype)
        for norm, max_norm in ((8.0, 2.0), (1.0, 2.0), (np.inf, 1.0), (np.nan, 1.0), (0.0, 0.0)):
            y = x.copy()
            kernels.clip(y, np.asarray(norm, FLOAT), max_norm)
            check(y, x, exact, 1.0 if np.isnan(norm) else min(1.0, max_norm / (norm + 1e-6)))


@dtypes
def test_more_than_the_blocks_have_at_once(rng, dtype):
    """Each goes on to further parts, the last of which is no whole one."""
    n = kernels.BUSY * kernels.THREADS * 16 + 3
    x = rng.standard_normal(n).astype(dtype)
    expected = (x.astype(FLOAT) * FLOAT(0.5)).astype(dtype)
    with multiprocessors(1):
        assert kernels._grid(x) == kernels.BUSY
        kernels.scale(x, np.array(0.5, FLOAT))
    np.testing.assert_array_equal(x, expected)


@dtypes
def test_views_that_begin_anywhere(rng, dtype):
    for offset in range(1, 9):
        x = rng.standard_normal(100).astype(dtype)
        expected = x.copy()
        expected[offset:] *= dtype.type(0.5)
        kernels.scale(x[offset:], np.array(0.5, FLOAT))
        np.testing.assert_array_equal(x, expected)


class TestOnTheDevice:
    """`weft.optimizers.clip_grad_norm_` on a device with kernels, against a CPU."""

    SHAPES = [(30, 7), (7,), (), (100, 50)]

    def parameters(self, device, dtype=FLOAT, *, in_arena, scale=1.0):
        rng = np.random.default_rng(3)
        params = [weft.Parameter(weft.zeros(s, device=device, dtype=dtype)) for s in self.SHAPES]
        optimizer = optim.SGD(params) if in_arena else None
        for p in params:
            p.grad = weft.asarray(np.asarray(scale * rng.standard_normal(p.shape)).astype(dtype), device=device)
            if in_arena:
                p._grad_view[...] = p.grad.data
                p.grad.data = p._grad_view
        return params, optimizer

    @pytest.mark.parametrize("in_arena", [True, False])
    @pytest.mark.parametrize(("max_norm", "p"), [(1.0, 2.0), (1e6, 2.0), (0.3, math.inf), (1.0, 1.5)])
    def test_clip_grad_norm(self, in_arena, max_norm, p):
        here, _a = self.parameters("cpu", in_arena=in_arena)
        there, _b = self.parameters("emulator", in_arena=in_arena)
        norm, expected = (optim.clip_grad_norm_(params, max_norm, p) for params in (there, here))
        assert (norm.device, norm.shape, norm.dtype) == ("emulator", (), FLOAT)
        assert norm.item() == pytest.approx(expected.item(), rel=1e-6)
        for q, r in zip(there, here):
            close(q.grad.numpy(), r.grad.numpy().astype(np.float64))

    def test_kernels_are_used(self, monkeypatch):
        calls = []
        monkeypatch.setattr(kernels, "clip", lambda x, norm, max_norm: calls.append((x.size, norm.shape, max_norm)))
        params, _optimizer = self.parameters("emulator", weft.bfloat16, in_arena=True)
        optim.clip_grad_norm_(params, 2.0)
        assert calls == [(224 + 32 + 32 + 5000, (), 2.0)]  # all gradients at once, each from a multiple of 32

    def test_float64_has_no_kernel(self):
        params, _optimizer = self.parameters("emulator", np.float64, in_arena=True)
        expected = reference([p.grad.numpy() for p in params], 2.0)
        norm = optim.clip_grad_norm_(params, 1.0)
        assert (norm.device, norm.dtype) == ("emulator", np.float64)
        assert norm.item() == pytest.approx(float(expected), rel=1e-14)
        assert optim.get_total_norm([p.grad for p in params]).item() == pytest.approx(1, rel=1e-5)

    @pytest.mark.parametrize("device", ["cpu", "emulator"])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_scaling(self, device, dtype):
        """2⁻²⁶ is 0 in float16, but 2¹⁰ · 2⁻²⁶ is not."""
        params, _optimizer = self.parameters(device, dtype, in_arena=True, scale=2.0**10)
        before = [np.array(p.grad.numpy(), np.float64) for p in params]
        scale_([p.grad for p in params], weft.asarray(np.float32(2.0**-26), device=device))
        for p, b in zip(params, before):
            assert p.grad.data is p._grad_view
            np.testing.assert_array_equal(p.grad.numpy(), (b * 2.0**-26).astype(dtype))

    def test_half_precision_does_not_overflow(self):
        params, _optimizer = self.parameters("emulator", np.float16, in_arena=True, scale=10_000)
        assert math.isfinite(optim.clip_grad_norm_(params, 1.0).item())
        assert optim.get_total_norm([p.grad for p in params]).item() == pytest.approx(1, rel=1e-3)

    def test_gradients_on_two_devices(self):
        here, _a = self.parameters("cpu", in_arena=True)
        there, _b = self.parameters("emulator", in_arena=True)
        every = here + there
        expected = reference([p.grad.numpy() for p in every], 2.0)
        assert optim.clip_grad_norm_(every, 1.0).item() == pytest.approx(float(expected), rel=1e-6)
        assert optim.get_total_norm([p.grad for p in every]).item() == pytest.approx(1, rel=1e-5)

    def test_error_if_nonfinite(self):
        params, _optimizer = self.parameters("emulator", in_arena=True, scale=np.inf)
        with pytest.raises(RuntimeError, match=r"`error_if_nonfinite`: the total norm of order 2\.0 is (inf|nan)"):
            optim.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
