"""Pooling against loops in NumPy over the definition; most gradients are tested with the primitives."""

import itertools

import numpy as np
import pytest

import weft
from weft.layers import functional as F


def windows(x, kernel, stride, padding, dilation, ceil_mode):
    """(output sizes, an output position, the positions in x that it sees along each axis), padding included."""
    n = x.ndim - 2
    sizes = []
    for size, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation):
        reach = size + 2 * p - d * (k - 1) - 1
        out = (-(-reach // s) if ceil_mode else reach // s) + 1
        sizes.append(out - 1 if ceil_mode and (out - 1) * s >= size + p else out)
    for at in itertools.product(*map(range, sizes)):
        grids = [np.arange(k) * d + i * s - p for i, k, s, p, d in zip(at, kernel, stride, padding, dilation)]
        yield sizes, at, grids[:n]


def max_pool(x, kernel, stride, padding, dilation, ceil_mode):
    y = None
    for sizes, at, grids in windows(x, kernel, stride, padding, dilation, ceil_mode):
        if y is None:
            y, where = np.zeros((*x.shape[:2], *sizes)), np.zeros((*x.shape[:2], *sizes), int)
        inside = [g[(g >= 0) & (g < size)] for g, size in zip(grids, x.shape[2:])]
        part = x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1)
        y[(..., *at)] = part.max(-1)
        flat = np.ravel_multi_index(np.meshgrid(*inside, indexing="ij"), x.shape[2:]).reshape(-1)
        where[(..., *at)] = flat[part.argmax(-1)]
    return y, where


def avg_pool(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor=None):
    y = None
    for sizes, at, grids in windows(x, kernel, stride, padding, [1] * len(kernel), ceil_mode):
        y = np.zeros((*x.shape[:2], *sizes)) if y is None else y
        inside = [g[(g >= 0) & (g < size)] for g, size in zip(grids, x.shape[2:])]
        counted = [g[g < size + p] for g, size, p in zip(grids, x.shape[2:], padding)] if count_include_pad else inside
        part = x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1)
        y[(..., *at)] = part.sum(-1) / (divisor or np.prod([len(g) for g in counted]))
    return y


CASES = [(2, None, 0, 1), (3, 2, 1, 1), (3, 1, 0, 2), (2, 3, 1, 1)]  # kernel, stride, padding, dilation


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), CASES)
class TestWindows:
    def test_max(self, rng, n, kernel, stride, padding, dilation, ceil_mode):
        x = rng.standard_normal((2, 3, 9, 8, 7)[: n + 2])
        expected, where = max_pool(x, [kernel] * n, [stride or kernel] * n, [padding] * n, [dilation] * n, ceil_mode)
        f = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[n]
        got, indices = f(weft.tensor(x), kernel, stride, padding, dilation, ceil_mode, return_indices=True)
        np.testing.assert_array_equal(got.numpy(), expected)
        np.testing.assert_array_equal(indices.numpy(), where)
        plain = f(weft.tensor(x), kernel, stride, padding, dilation, ceil_mode)
        np.testing.assert_array_equal(plain.numpy(), expected)
        one, at = f(weft.tensor(x[0]), kernel, stride, padding, dilation, ceil_mode, True)
        np.testing.assert_array_equal(one.numpy(), expected[0])
        np.testing.assert_array_equal(at.numpy(), where[0])

    @pytest.mark.parametrize("count_include_pad", [False, True])
    def test_mean(self, rng, n, kernel, stride, padding, dilation, ceil_mode, count_include_pad):
        x = rng.standard_normal((2, 3, 9, 8, 7)[: n + 2])
        expected = avg_pool(x, [kernel] * n, [stride or kernel] * n, [padding] * n, ceil_mode, count_include_pad)
        f = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[n]
        got = f(weft.tensor(x), kernel, stride, padding, ceil_mode, count_include_pad)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
        one = f(weft.tensor(x[0]), kernel, stride, padding, ceil_mode, count_include_pad)
        np.testing.assert_allclose(one.numpy(), expected[0], atol=1e-12)


@pytest.mark.parametrize("f", [F.lp_pool1d, F.lp_pool2d, F.lp_pool3d])
class TestNorms:
    @pytest.mark.parametrize(("p", "kernel", "stride"), [(2, 2, None), (3, 3, 1), (1.5, 2, 2)])
    def test_values(self, rng, f, p, kernel, stride):
        n = int(f.__name__[-2])
        x = rng.random((2, 3, 6, 5, 4)[: n + 2])
        means = avg_pool(x**p, [kernel] * n, [stride or kernel] * n, [0] * n, False, True)
        expected = (means * kernel**n) ** (1 / p)
        np.testing.assert_allclose(f(weft.tensor(x), p, kernel, stride).numpy(), expected, rtol=1e-12)

    def test_the_largest_and_the_smallest(self, rng, f):
        n = int(f.__name__[-2])
        x = rng.standard_normal((2, 3, 6, 5, 4)[: n + 2])
        for p, sign in ((np.inf, 1), (-np.inf, -1)):
            expected, _ = max_pool(sign * abs(x), [2] * n, [2] * n, [0] * n, [1] * n, True)
            np.testing.assert_array_equal(f(weft.tensor(x), p, 2, ceil_mode=True).numpy(), sign * expected)

    def test_zero_has_a_gradient_of_zero(self, f):
        x = weft.zeros((1, 1, *[2] * int(f.__name__[-2])), requires_grad=True)
        f(x, 2, 2).sum().backward()
        assert not weft.any(x.grad != 0)

    def test_errors(self, f):
        with pytest.raises(ValueError, match="`norm_type` must not be 0, got 0"):
            f(weft.ones((1, 1, *[2] * int(f.__name__[-2]))), 0, 2)


class TestOptions:
    def test_one_number_for_each_axis(self, rng):
        x = rng.standard_normal((1, 2, 9, 8))
        expected, _ = max_pool(x, (2, 3), (3, 1), (1, 0), (1, 2), False)
        got = F.max_pool2d(weft.tensor(x), (2, 3), (3, 1), (1, 0), (1, 2)).numpy()
        np.testing.assert_array_equal(got, expected)

    def test_divisor(self, rng):
        x = rng.standard_normal((1, 2, 6, 6))
        expected = avg_pool(x, (2, 3), (2, 3), (0, 0), False, True, divisor=5)
        got = F.avg_pool2d(weft.tensor(x), (2, 3), divisor_override=5).numpy()
        np.testing.assert_allclose(got, expected, atol=1e-12)

    @pytest.mark.parametrize("f", [F.max_pool1d, F.avg_pool1d])
    def test_gradient_of_sequences(self, f):
        """The detour through two dimensions must be differentiated too."""
        x = weft.tensor([[[1.0, 3.0, 2.0, 4.0, 9.0]]], requires_grad=True)
        f(x, 2).sum().backward()
        assert x.grad.tolist() == [[[0.0, 1.0, 0.0, 1.0, 0.0] if f is F.max_pool1d else [0.5, 0.5, 0.5, 0.5, 0.0]]]


class TestAdaptive:
    @pytest.mark.parametrize("sizes", [(1, 1), (3, 4), (9, 8), (5, 7), (12, 3)])
    def test_values(self, rng, sizes):
        x = rng.standard_normal((2, 3, 9, 8))
        expected = np.zeros((2, 3, *sizes))
        for i, j in itertools.product(*map(range, sizes)):
            rows, columns = (slice(k * n // m, -(-(k + 1) * n // m)) for k, n, m in zip((i, j), (9, 8), sizes))
            expected[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
        np.testing.assert_allclose(F.adaptive_avg_pool2d(weft.tensor(x), sizes).numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(F.adaptive_avg_pool2d(weft.tensor(x[0]), sizes).numpy(), expected[0], atol=1e-12)

    def test_none_keeps_an_axis(self, rng):
        x = rng.standard_normal((2, 3, 9, 8))
        got = F.adaptive_avg_pool2d(weft.tensor(x), (None, 1)).numpy()
        np.testing.assert_allclose(got, x.mean(3, keepdims=True), atol=1e-12)

    def test_volumes(self, rng):
        x = rng.standard_normal((2, 3, 4, 6, 5))
        expected = x.reshape(2, 3, 2, 2, 2, 3, 5).mean((3, 5))
        np.testing.assert_allclose(F.adaptive_avg_pool3d(weft.tensor(x), (2, 2, None)).numpy(), expected, atol=1e-12)

    def test_sequences(self, rng):
        x = rng.standard_normal((2, 3, 6))
        expected = x.reshape(2, 3, 2, 3).mean(-1)
        np.testing.assert_allclose(F.adaptive_avg_pool1d(weft.tensor(x), 2).numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(F.adaptive_avg_pool1d(weft.tensor(x[0]), (2,)).numpy(), expected[0], atol=1e-12)


class TestErrors:
    def test_shapes(self):
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, H, W\) or \(C, H, W\), got \(4, 4\)"):
            F.max_pool2d(weft.ones((4, 4)), 2)
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, L\) or \(C, L\), got \(4,\)"):
            F.adaptive_avg_pool1d(weft.ones(4), 2)
        with pytest.raises(ValueError, match=r"the window, which spans 5, got 2 \+ 2 of padding, in shape \(1, 2, 2\)"):
            F.max_pool2d(weft.ones((1, 2, 2)), 3, padding=1, dilation=2)
        with pytest.raises(
            ValueError, match=r"must not be empty along the axes that are averaged, got shape \(1, 0, 3\)"
        ):
            F.adaptive_avg_pool2d(weft.ones((1, 0, 3)), 1)
        with pytest.raises(TypeError, match="`input` must have a real floating-point dtype, got int64"):
            F.avg_pool1d(weft.tensor([[1, 2]]), 2)

    def test_options(self):
        x = weft.ones((1, 4, 4))
        with pytest.raises(ValueError, match=r"`padding` must be at most half of `kernel_size` \(2, 2\), got \(2, 2\)"):
            F.max_pool2d(x, 2, padding=2)
        with pytest.raises(ValueError, match="`kernel_size` must be an int or 2 ints, each at least 1, got 0"):
            F.avg_pool2d(x, 0)
        with pytest.raises(ValueError, match="`divisor_override` must not be 0, got 0"):
            F.avg_pool2d(x, 2, divisor_override=0)
        with pytest.raises(ValueError, match=r"`output_size` must be an int or None, or 2 of them, got \(1, 2, 3\)"):
            F.adaptive_avg_pool2d(x, (1, 2, 3))
        with pytest.raises(ValueError, match=r"`output_size` must be an int or 2 ints, each at least 1, got \(0, 0\)"):
            F.adaptive_avg_pool2d(x, 0)


class TestWindowsLargerThanTheInput:
    """`ceil_mode`: the first window counts wherever it starts inside, however far it sticks out; PyTorch's rule."""

    @staticmethod
    def reference(x, k, s, p, d, kind):
        n = len(x)
        count = max(-(-(n + 2 * p - d * (k - 1) - 1) // s) + 1, 0)
        starts = [o * s - p for o in range(count) if o * s < n + p]
        y, gradient = [], np.zeros(n)
        for start in starts:
            taps = [i for i in range(start, start + d * k, d) if 0 <= i < n]
            if kind == "max":
                y.append(max((x[i] for i in taps), default=-np.inf))
                gradient[[i for i in taps if x[i] == y[-1]][:1]] += 1
            else:
                share = 1 / (min(start + k, n + p) - start)
                y.append(share * sum(x[i] for i in taps))
                gradient[taps] += share
        return y, gradient

    @pytest.mark.parametrize("device", [d for d in weft.devices() if d in ("cpu", "emulator")])
    @pytest.mark.parametrize("kind", ["max", "avg"])
    def test_every_size(self, device, kind):
        pool = {"max": lambda x, k, s, p, d: F.max_pool1d(x, k, s, p, d, ceil_mode=True),
                "avg": lambda x, k, s, p, d: F.avg_pool1d(x, k, s, p, ceil_mode=True)}[kind]  # fmt: skip
        found = refused = 0
        for n, k, s, p, d in itertools.product(range(1, 5), range(1, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
            if 2 * p > k or (kind == "avg" and d > 1):
                continue
            x = np.arange(1.0, n + 1)
            t = weft.asarray(x.reshape(1, 1, n).astype(np.float32), device=device).requires_grad_()
            expected, gradient = self.reference(x, k, s, p, d, kind)
            if not expected:
                with pytest.raises(ValueError, match="`input` must be at least as large as the window"):
                    pool(t, k, s, p, d)
                refused += 1
                continue
            y = pool(t, k, s, p, d)
            y.sum().backward()
            np.testing.assert_allclose(y.tolist()[0][0], expected, rtol=1e-6)
            np.testing.assert_allclose(t.grad.tolist()[0][0], gradient, rtol=1e-6)
            found += 1
        assert found > refused > 0

    @pytest.mark.parametrize("axes", [1, 2, 3])
    def test_inputs_smaller_than_the_window(self, axes):
        """Padding makes up for it, and so does a window that may stick out; but not for means of volumes, as in PyTorch."""
        x = weft.ones((1, 1, *[4] * (axes - 1), 3))
        max_pool, avg_pool, lp_pool = (getattr(F, f"{kind}_pool{axes}d") for kind in ("max", "avg", "lp"))
        shape = (1, 1, *[1] * axes)
        assert max_pool(x, 4, padding=1).shape == max_pool(x, 4, ceil_mode=True).shape == shape
        for pool in (
            lambda: avg_pool(x, 4, padding=1),
            lambda: avg_pool(x, 4, ceil_mode=True),
            lambda: lp_pool(x, 2, 4, ceil_mode=True),
        ):
            if axes < 3:
                assert pool().shape == shape
                continue
            with pytest.raises(
                ValueError,
                match=r"as large as the window, \(4, 4, 4\), without its padding, got shape \(1, 1, 4, 4, 3\)",
            ):
                pool()
        assert avg_pool(F.pad(x, (0, 1)), 4, padding=1).shape == shape

    def test_two_axes(self):
        x = weft.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        assert F.max_pool2d(x, 3, 2, ceil_mode=True).tolist() == [[[[4.0]]]]
        assert F.avg_pool2d(x, 3, 2, ceil_mode=True).tolist() == [[[[2.5]]]]
        y, where = F.max_pool2d(x, 3, 2, ceil_mode=True, return_indices=True)
        assert (y.item(), where.item()) == (4.0, 3)


def test_an_empty_stride_is_the_kernel_size():
    x = weft.randn(1, 2, 4, 4)
    assert F.avg_pool2d(x, 2, ()).tolist() == F.avg_pool2d(x, 2).tolist()
    assert F.max_pool2d(x, 2, []).tolist() == F.max_pool2d(x, 2).tolist()
