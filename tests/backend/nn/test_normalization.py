"""Against the definitions in float64 NumPy (mean, biased variance, scale); derivatives by central differences."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import normalization as N

rng = np.random.default_rng(0)


def a(*shape, mean=0.5):
    return np.asarray(rng.standard_normal(shape) + mean)


def standardised(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def affine(x, w, b, shape):
    return x * (1 if w is None else w.reshape(shape)) + (0 if b is None else b.reshape(shape))


def per_channel(x):
    return (1, x.shape[1], *[1] * (x.ndim - 2))


def batch_norm(x, w=None, b=None, eps=1e-5):
    axes = (0, *range(2, x.ndim))
    n = x.size // x.shape[1]
    return affine(standardised(x, axes, eps), w, b, per_channel(x)), x.mean(axes), x.var(axes) * n / (n - 1)


def sync_batch_norm(x, w=None, b=None, eps=1e-5, reduce=None):
    return batch_norm(x, w, b, eps)  # of one process


def batch_norm_inference(x, mean, var, w=None, b=None, eps=1e-5):
    shape = per_channel(x)
    return affine((x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps), w, b, shape)


def layer_norm(x, w=None, b=None, normalized_ndim=1, eps=1e-5):
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    return affine(standardised(x, axes, eps) if x.size else x, w, b, x.shape[x.ndim - normalized_ndim :])


def group_norm(x, w=None, b=None, num_groups=1, eps=1e-5):
    groups = x.reshape(x.shape[0], num_groups, int(np.prod(x.shape[1:])) // num_groups)
    return affine(standardised(groups, 2, eps).reshape(x.shape), w, b, per_channel(x))


def rms_norm(x, w=None, normalized_ndim=1, eps=None):
    axes = tuple(range(x.ndim - normalized_ndim, x.ndim))
    square = (x * x).mean(axes, keepdims=True) if x.size else 0
    return x / np.sqrt(square + eps) * (1 if w is None else w)


def channels(c):
    """weight and bias, present or not"""
    return [(a(c), a(c)), (a(c), None), (None, a(c)), (None, None)]


BATCHES = [(5, 3), (4, 3, 5), (2, 3, 4, 5), (33, 2), (32, 1), (2, 31, 3)]
ROWS = [(5,), (3, 4), (2, 3, 31), (33, 32), (0, 4)]
GROUPS = [((3, 4), 2), ((2, 6, 5), 3), ((2, 4, 3, 3), 1), ((2, 4, 3, 3), 4), ((0, 4, 2), 2)]
# beyond the size where the tiled forms for the CPU begin; second derivatives are the generic form's, and slow here
LARGE = {"tolerance": 10, "nested": False}
LARGE_BATCHES = [(2, 3, 64, 48), (9, 129, 16), (1025, 17), (1, 5, 60, 60)]
LARGE_ROWS = [(2, 20000), (1025, 33)]
LARGE_GROUPS = [((3, 6, 40, 40), 2), ((2, 3, 64, 48), 3), ((2, 4, 140, 140), 2), ((700, 32), 4)]

CASES = [
    *[Case(N.batch_norm, (a(*s), *wb), batch_norm, {"eps": 1e-3}, tolerance=10)
      for s in BATCHES for wb in channels(s[1])],
    *[Case(N.batch_norm, (a(*s), *wb), batch_norm, **LARGE) for s in LARGE_BATCHES for wb in channels(s[1])[::3]],
    *[Case(N.sync_batch_norm, (a(*s), *wb), sync_batch_norm, {"eps": 1e-3, "reduce": lambda sums: sums}, tolerance=10)
      for s in [(5, 3), (2, 3, 4, 5)] for wb in channels(s[1])],
    *[Case(N.batch_norm_inference, (a(*s), a(s[1]), rng.uniform(0.5, 2, s[1]), *wb), batch_norm_inference, grad=g)
      for s in [(5, 3), (2, 3, 4, 5), (2, 3, 64, 48)]
      for wb, g in zip(channels(s[1]), [(0, 3, 4), (0, 3), (0, 4), (0,)])],
    *[Case(N.layer_norm, (a(*s), *wb), layer_norm, tolerance=4) for s in ROWS for wb in channels(s[-1])],
    *[Case(N.layer_norm, (a(*s), *wb), layer_norm, **LARGE) for s in LARGE_ROWS for wb in channels(s[-1])[::3]],
    *[Case(N.layer_norm, (a(2, 3, 4, 5), a(*w), a(*w)), layer_norm, {"normalized_ndim": len(w), "eps": 0.1})
      for w in [(4, 5), (3, 4, 5)]],
    *[Case(N.group_norm, (a(*s), *wb), group_norm, {"num_groups": g, "eps": 1e-3}, tolerance=4)
      for s, g in GROUPS for wb in channels(s[1])],
    *[Case(N.group_norm, (a(*s), *wb), group_norm, {"num_groups": g}, **LARGE)
      for s, g in LARGE_GROUPS for wb in channels(s[1])[::3]],
    *[Case(N.rms_norm, (a(*s), *w), rms_norm, {"eps": 1e-6}, tolerance=4) for s in ROWS for w in [(a(s[-1]),), ()]],
    *[Case(N.rms_norm, (a(*s), *w), rms_norm, {"eps": 0.1}, **LARGE)
      for s in LARGE_ROWS for w in [(a(s[-1]),), ()]],
    Case(N.rms_norm, (a(2, 3, 4), a(3, 4)), rms_norm, {"normalized_ndim": 2, "eps": 0.1}),
]  # fmt: skip
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_default_eps_of_rms_norm_is_that_of_the_dtype(dtype):
    x = np.full((1, 4), 1e-4, dtype)
    expected = 1e-4 / np.sqrt(1e-8 + np.finfo(dtype).eps)
    np.testing.assert_allclose(N.rms_norm(weft.asarray(x)).numpy(), expected, rtol=1e-6)


def channel_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


FORMS = {
    "batch_norm": (N.batch_norm, {}),
    "batch_norm_inference": (N.batch_norm_inference, {}),
    "layer_norm": (N.layer_norm, {"normalized_ndim": 3}),
    "group_norm": (N.group_norm, {"num_groups": 4}),
}


class TestTiles:
    """Arrays of several tiles, in channel-first and channel-last memory, on any number of threads."""

    def arguments(self, name, shape):
        per = shape[1:] if name == "layer_norm" else shape[1:2]
        statistics = [a(shape[1]), rng.uniform(0.5, 2, shape[1])] if name == "batch_norm_inference" else []
        return [v.astype(np.float32) for v in (a(*shape), *statistics, a(*per), a(*per))]

    def outputs(self, form, name, x, rest, g):
        y, vjp = form(x, *rest, **FORMS[name][1])
        ys = y if isinstance(y, tuple) else (y,)
        gs = (g, *[np.ones_like(s) for s in ys[1:]]) if isinstance(y, tuple) else g
        need = [v.shape != () for v in (x, *rest)]
        return [*ys, *[v for v in vjp(gs, need, [None] * len(need)) if v is not None]]

    @pytest.mark.parametrize("shape", [(4, 8, 30, 40), (3, 16, 7, 51), (2, 4, 129, 130), (40, 12, 6, 6)])
    @pytest.mark.parametrize("layout", ["channel-first", "channel-last"])
    @pytest.mark.parametrize("name", FORMS)
    def test_same_as_generic(self, name, layout, shape):
        x, *rest = self.arguments(name, shape)
        g = rng.standard_normal(shape).astype(np.float32)
        if layout == "channel-last":
            x, g = channel_last(x), channel_last(g)
        before, primitive = x.copy(), FORMS[name][0]
        got = self.outputs(primitive.impls["cpu"], name, x, rest, g)
        wide = [v.astype(np.float64) for v in (x, *rest, g)]
        expected = self.outputs(
            lambda *args, **kw: primitive.generic(np, *args, **kw), name, wide[0], wide[1:-1], wide[-1]
        )
        assert len(got) == len(expected)
        for i, (one, two) in enumerate(zip(got, expected)):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5 * np.abs(two).max(), err_msg=f"output {i}")
        np.testing.assert_array_equal(x, before)
        if layout == "channel-last" and name.startswith("batch"):
            assert got[0].strides == x.strides

    @pytest.mark.parametrize("name", FORMS)
    def test_threads(self, name):
        x, *rest = self.arguments(name, (6, 8, 50, 40))
        results, before = [], weft.num_threads()
        try:
            for n in (1, 2):
                weft.set_num_threads(n)
                results.append(self.outputs(FORMS[name][0].impls["cpu"], name, x, rest, x))
        finally:
            weft.set_num_threads(before)
        for one, two in zip(*results):
            np.testing.assert_array_equal(one, two)


class TestStability:
    """A mean of 10³ standard deviations: of E[x²] − E[x]², float32 would keep no digit."""

    @pytest.mark.parametrize("shape", [(8, 4, 5, 5), (8, 4, 40, 40)])
    @pytest.mark.parametrize("layout", [np.ascontiguousarray, channel_last])
    def test_batch_norm(self, shape, layout):
        x = layout((1e2 + 0.1 * rng.standard_normal(shape)).astype(np.float32))
        y, mean, var = N.batch_norm(weft.asarray(x))
        exact = batch_norm(x.astype(np.float64))
        np.testing.assert_allclose(mean.numpy(), exact[1], rtol=1e-6)
        np.testing.assert_allclose(var.numpy(), exact[2], rtol=1e-3)
        np.testing.assert_allclose(y.numpy(), exact[0], atol=5e-3)

    @pytest.mark.parametrize("shape", [(4, 50), (40, 500)])
    def test_layer_norm(self, shape):
        x = (1e2 + 0.1 * rng.standard_normal(shape)).astype(np.float32)
        np.testing.assert_allclose(N.layer_norm(weft.asarray(x)).numpy(), layer_norm(x.astype(np.float64)), atol=5e-3)
