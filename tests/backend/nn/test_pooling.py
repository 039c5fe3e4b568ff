"""Against explicit loops over windows in float64; derivatives by central differences."""

import itertools

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn.pooling import adaptive_avg_pool, avg_pool, max_pool, max_unpool, window_argmax
from weft.layers import functional as F

rng = np.random.default_rng(0)


def a(*shape):
    return rng.permutation(np.prod(shape, dtype=int)).reshape(shape) / 10.0  # no ties, no two values close


def sizes(shape, kernel, stride, padding, dilation, ceil):
    out = []
    for n, k, s, p, d in zip(shape, kernel, stride, padding, dilation):
        reach = n + 2 * p - d * (k - 1) - 1
        o = (-(-reach // s) if ceil else reach // s) + 1
        out.append(o - 1 if ceil and (o - 1) * s >= n + p else o)
    return out


def windows(x, kernel, stride, padding, dilation, ceil):
    """Every output position with the places along each axis that its window takes, padding included."""
    for at in np.ndindex(*sizes(x.shape[2:], kernel, stride, padding, dilation, ceil)):
        axes = zip(at, kernel, stride, padding, dilation)
        yield at, [[o * s - p + i * d for i in range(k)] for o, k, s, p, d in axes]


def largest(x, kernel_size, stride, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    n = x.ndim - 2
    padding, dilation = ((v,) * n if isinstance(v, int) else v for v in (padding, dilation))
    shape = (*x.shape[:2], *sizes(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode))
    y, where = np.full(shape, -np.inf), np.zeros(shape, np.int64)
    for at, places in windows(x, kernel_size, stride, padding, dilation, ceil_mode):
        for place in itertools.product(*places):
            if all(0 <= i < n for i, n in zip(place, x.shape[2:])):
                better = x[(..., *place)] > y[(..., *at)]
                y[(..., *at)] = np.where(better, x[(..., *place)], y[(..., *at)])
                where[(..., *at)] = np.where(better, np.ravel_multi_index(place, x.shape[2:]), where[(..., *at)])
    return (y, where) if return_indices else y


def average(x, kernel_size, stride, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    n = x.ndim - 2
    padding = (padding,) * n if isinstance(padding, int) else padding
    y = np.zeros((*x.shape[:2], *sizes(x.shape[2:], kernel_size, stride, padding, (1,) * n, ceil_mode)))
    for at, places in windows(x, kernel_size, stride, padding, (1,) * n, ceil_mode):
        inside = [[i for i in index if 0 <= i < n] for index, n in zip(places, x.shape[2:])]
        padded = [[i for i in index if i < n + p] for index, n, p in zip(places, x.shape[2:], padding)]
        total = x[(slice(None), slice(None), *np.ix_(*inside))].sum(tuple(range(2, x.ndim)))
        counted = padded if count_include_pad else inside
        y[(..., *at)] = total / (divisor_override or np.prod([len(c) for c in counted]))
    return y


def adaptive(x, output_size):
    y = np.zeros((*x.shape[:2], *output_size))
    for at in np.ndindex(*output_size):
        window = [slice(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip(at, x.shape[2:], output_size)]
        y[(..., *at)] = x[(slice(None), slice(None), *window)].mean(tuple(range(2, x.ndim)))
    return y


def places(length, output, *planes):
    """Where three neighbours in `output` windows of an axis lie, at random; (1, 1, output, 3) or (*planes, output, 3)."""
    starts = np.random.default_rng(length).integers(0, length - 2, (*(planes or (1, 1)), output))
    return starts[..., None] + np.arange(3)


def argmax(x, *places):
    where = np.zeros((*x.shape[:2], *(p.shape[2] for p in places)), np.int64)
    for n, c, *at in np.ndindex(where.shape):
        axes = [np.broadcast_to(p, (*x.shape[:2], *p.shape[2:]))[n, c, o] for p, o in zip(places, at)]
        part = x[(n, c, *np.ix_(*axes))]
        best = np.unravel_index(part.argmax(), part.shape)
        where[(n, c, *at)] = np.ravel_multi_index([axis[i] for axis, i in zip(axes, best)], x.shape[2:])
    return where


def unpooled(x, indices, output_size):
    y = np.zeros((*x.shape[:2], int(np.prod(output_size))))
    for n, c, *at in np.ndindex(x.shape):
        y[n, c, indices[(n, c, *at)]] = x[(n, c, *at)]
    return y.reshape(*x.shape[:2], *output_size)


def options(k, s, p=0, **more):
    return {"kernel_size": k, "stride": s, "padding": p, **more}


CASES = [
    *[Case(max_pool, (a(*shape),), largest, options(*o), nested=shape[0] < 3)
      for shape in [(2, 3, 8, 8), (1, 1, 7, 9), (3, 2, 6, 5)]
      for o in [((2, 2), (2, 2)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 2)), ((1, 1), (1, 1)), ((2, 3), (3, 1), (1, 1))]],
    Case(max_pool, (a(2, 2, 7, 7),), largest, options((2, 2), (2, 2), ceil_mode=True)),
    Case(max_pool, (a(2, 2, 7, 6),), largest, options((3, 3), (2, 2), (1, 1), ceil_mode=True)),
    Case(max_pool, (a(1, 2, 9, 9),), largest, options((3, 2), (2, 1), (1, 0), dilation=(2, 3))),
    Case(max_pool, (a(2, 2, 7, 7),), largest, options((3, 3), (2, 2), (1, 1), return_indices=True)),
    Case(max_pool, (a(0, 2, 4, 4),), largest, options((2, 2), (2, 2))),
    Case(max_pool, (a(2, 0, 4, 4),), largest, options((2, 2), (2, 2))),
    *[Case(avg_pool, (a(*shape),), average, options(*o, count_include_pad=include)) for shape in [(2, 3, 8, 8), (1, 2, 7, 9)]
      for o in [((2, 2), (2, 2)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 2))] for include in (True, False)],
    Case(avg_pool, (a(1, 2, 7, 6),), average, options((3, 3), (2, 2), (1, 1), ceil_mode=True)),
    Case(avg_pool, (a(1, 2, 7, 6),), average, options((3, 3), (2, 2), (1, 1), ceil_mode=True, count_include_pad=False)),
    Case(avg_pool, (a(1, 2, 6, 6),), average, options((2, 2), (2, 2), divisor_override=3)),
    Case(avg_pool, (a(0, 2, 6, 6),), average, options((2, 2), (2, 2))),
    *[Case(adaptive_avg_pool, (a(2, 3, 7, 10),), adaptive, {"output_size": o})
      for o in [(1, 1), (7, 10), (3, 4), (5, 2), (9, 12)]],
    # --- sequences and volumes
    Case(max_pool, (a(2, 3, 9),), largest, options((3,), (2,), (1,), ceil_mode=True)),
    Case(max_pool, (a(2, 3, 9),), largest, options((2,), (2,), return_indices=True)),
    Case(max_pool, (a(2, 2, 5, 4, 6),), largest, options((2, 3, 2), (2, 1, 2), (1, 1, 0))),
    Case(max_pool, (a(1, 2, 6, 5, 4),), largest, options((2, 2, 2), (2, 2, 2), dilation=(2, 1, 1), ceil_mode=True)),
    Case(max_pool, (a(1, 2, 4, 4, 5),), largest, options((2, 2, 3), (2, 2, 2), (1, 0, 1), return_indices=True)),
    Case(max_pool, (a(1, 1, 3, 2, 3, 2),), largest, options((2, 1, 2, 2), (1, 1, 1, 2))),
    *[Case(avg_pool, (a(2, 3, 9),), average, options((3,), (2,), (1,), ceil_mode=True, count_include_pad=include))
      for include in (True, False)],
    *[Case(avg_pool, (a(1, 2, 5, 4, 6),), average, options((2, 3, 2), (2, 1, 2), (1, 1, 0), ceil_mode=True, **more))
      for more in ({}, {"count_include_pad": False}, {"divisor_override": 5})],
    Case(window_argmax, (a(2, 3, 7), places(7, 3)), argmax, grad=()),
    Case(window_argmax, (a(2, 2, 5, 6), places(5, 2), places(6, 4)), argmax, grad=()),
    Case(window_argmax, (a(2, 2, 5, 4, 6), places(5, 2, 2, 2), places(4, 1), places(6, 3, 1, 2)), argmax, grad=()),
    Case(max_unpool, (a(2, 3, 3), np.array([[[0, 3, 5], [1, 2, 4], [5, 4, 0]]] * 2)), unpooled, {"output_size": (6,)}),
    Case(max_unpool, (a(1, 2, 2, 1, 2), np.array([[[[[0, 3]], [[5, 11]]], [[[7, 4]], [[1, 2]]]]])), unpooled,
         {"output_size": (2, 3, 2)}),
    Case(adaptive_avg_pool, (a(2, 3, 7),), adaptive, {"output_size": (3,)}),
    *[Case(adaptive_avg_pool, (a(2, 2, 5, 4, 6),), adaptive, {"output_size": o}) for o in [(1, 1, 1), (3, 4, 7)]],
]  # fmt: skip
test_primitive = harness.over(CASES)


def channel_last(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.mark.parametrize("stride", [1, 2])
def test_memory_order_is_kept_and_changes_nothing(stride):
    x, g = a(2, 4, 8, 8), rng.standard_normal((2, 4, 8 // stride - (stride == 1), 8 // stride - (stride == 1)))
    results = []
    for layout in (np.ascontiguousarray, channel_last):
        t = weft.tensor(x, requires_grad=True)
        t.data = layout(t.data)
        y = max_pool(t, kernel_size=(2, 2), stride=(stride, stride))
        y.backward(weft.asarray(g))
        results.append((y.detach().numpy(), t.grad.numpy()))
        assert (abs(y.data.strides[1]) < abs(y.data.strides[3])) == (layout is channel_last)
    for first, second in zip(*results):
        np.testing.assert_array_equal(first, second)


def test_indices_where_nothing_exceeds_minus_infinity():
    """They point at the first element that the window has: torch.nn.functional.max_pool2d(x, 2, 2, 1, return_indices=True)."""
    y, where = max_pool(
        weft.full((1, 1, 3, 3), -np.inf), kernel_size=(2, 2), stride=(2, 2), padding=1, return_indices=True
    )
    assert where.tolist() == [[[[0, 1], [3, 4]]]]
    y, where = max_pool(
        weft.ones((1, 1, 1, 2)), kernel_size=(2, 2), stride=(3, 2), padding=1, dilation=2, return_indices=True
    )
    assert (y.tolist(), where.tolist()) == ([[[[-np.inf]]]], [[[[1]]]])  # windows of padding alone


@pytest.mark.parametrize("form", ["generic", "cpu"])
def test_a_maximum_of_several_windows_comes_back_once(form):
    """Its gradient goes to each of them, as in PyTorch."""
    unpool = max_unpool if form == "cpu" else harness.generic_only(max_unpool)
    x = weft.tensor([[[3.0, 3.0, 5.0]]], requires_grad=True)
    y = unpool(x, weft.tensor([[[1, 1, 2]]]), output_size=(4,))
    y.backward(weft.tensor([[[1.0, 2.0, 3.0, 4.0]]]))
    assert (y.tolist(), x.grad.tolist()) == ([[[0.0, 3.0, 5.0, 0.0]]], [[[2.0, 2.0, 3.0]]])


@pytest.mark.parametrize("form", ["generic", "cpu"])
def test_ties_go_to_the_first_and_nan_wins(form):
    pool = max_pool if form == "cpu" else harness.generic_only(max_pool)
    x = weft.ones((1, 1, 2, 4), requires_grad=True)
    pool(x, kernel_size=(2, 2), stride=(2, 2)).sum().backward()
    assert x.grad.tolist() == [[[[1, 0, 1, 0], [0, 0, 0, 0]]]]
    y = pool(weft.tensor([[[[1.0, np.nan], [3.0, 2.0]]]]), kernel_size=(2, 2), stride=(2, 2))
    assert np.isnan(y.item())


NAN, INF = np.nan, np.inf
MAXIMA = [  # x, options, indices, gradient of the sum: torch.nn.functional.max_pool{1,2}d(x, …, return_indices=True)
    ([1.0, NAN, NAN, 3.0], options(2, 2), [1, 2], [0, 1, 1, 0]),
    ([NAN, NAN, 1.0, NAN, 5.0, NAN], options(3, 3), [1, 5], [0, 1, 0, 0, 0, 1]),
    ([NAN, 1.0, NAN, 2.0], options(3, 1), [2, 2], [0, 0, 2, 0]),
    ([-INF, 1.0, 2.0, 3.0], options(2, 2, 1), [0, 2, 3], [1, 0, 1, 1]),
    ([-INF] * 4, options(3, 1, 1), [0, 0, 1, 2], [2, 1, 1, 0]),
    ([-INF, -INF, INF], {**options(2, 2), "ceil_mode": True}, [0, 2], [1, 0, 1]),
    ([[1.0, NAN], [2.0, 3.0]], options((2, 2), (2, 2)), [[1]], [[0, 1], [0, 0]]),
    ([[-INF] * 3] * 3, options((2, 2), (2, 2), 1), [[0, 1], [3, 4]], [[1, 1, 0], [1, 1, 0], [0, 0, 0]]),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("form", ["generic", "cpu", "emulator"])
def test_the_gradient_goes_where_the_index_points(form, dtype):
    """To the last NaN, and for −∞ into the image, never its padding."""
    pool, device = harness.generic_only(max_pool) if form == "generic" else max_pool, form.replace("generic", "cpu")
    for x, how, indices, grad in MAXIMA:
        how = {k: v if isinstance(v, tuple | bool) or k == "padding" else (v,) for k, v in how.items()}
        for more in ({}, {"return_indices": True}):
            t = weft.tensor([[x]], dtype=dtype, device=device).requires_grad_()
            y = pool(t, **how, **more)
            y, where = y if more else (y, None)
            y.backward(weft.ones(y.shape, dtype=dtype, device=device))
            assert t.grad.tolist() == [[grad]], (x, how, more)
            assert where is None or where.tolist() == [[indices]], (x, how)


@pytest.mark.parametrize("device", ["cpu", "emulator"])
def test_windows_that_differ_have_the_last_nan_too(device):
    """torch.nn.functional.adaptive_max_pool2d(x, (1, 2), return_indices=True)."""
    x = weft.tensor([[[[NAN, 1.0, NAN], [NAN, 2.0, 9.0]]]], device=device)
    assert F.adaptive_max_pool2d(x, (1, 2), return_indices=True)[1].tolist() == [[[[3, 2]]]]
    assert F.adaptive_max_pool1d(x[0], 2, return_indices=True)[1].tolist() == [[[0, 2], [0, 2]]]


@pytest.mark.parametrize("form", ["generic", "cpu", "emulator"])
def test_means_of_windows_know_nothing_of_what_is_beside_them(form):
    """torch.nn.functional.adaptive_avg_pool1d and its gradient, for the gradient [inf, 1, …] too."""
    pool = harness.generic_only(adaptive_avg_pool) if form == "generic" else adaptive_avg_pool
    device = form.replace("generic", "cpu")
    for x, output, y, grad in [
        ([1.0, 2.0, INF, 4.0], 2, [1.5, INF], [INF, INF, 0.5, 0.5]),
        ([NAN, 2.0, 1.0, 4.0], 4, [NAN, 2, 1, 4], [INF, 1, 1, 1]),
        ([NAN, 2.0, 4.0], 2, [NAN, 3], [INF, INF, 0.5]),
        ([1.0, -INF], 3, [1, -INF, -INF], [INF, 1.5]),
        ([NAN, 3.0], 1, [NAN], [INF, INF]),
        ([1.0] * 128 + [INF] * 128, 2, [1, INF], [INF] * 128 + [1 / 128] * 128),
    ]:
        t = weft.tensor([[x]], dtype=weft.float32, device=device).requires_grad_()
        found = pool(t, output_size=(output,))
        found.backward(weft.tensor([[[INF, *[1.0] * (output - 1)]]], device=device))
        np.testing.assert_array_equal(found.detach().numpy(), [[y]])
        np.testing.assert_array_equal(t.grad.numpy(), [[grad]])


def test_result_does_not_depend_on_threads():
    x = weft.tensor(rng.standard_normal((40, 8, 32, 32)), requires_grad=True)
    before, grads = weft.num_threads(), []
    for n in (1, 2):
        weft.set_num_threads(n)
        x.grad = None
        max_pool(x, kernel_size=(3, 3), stride=(1, 1)).sum().backward()
        grads.append(x.grad.numpy().copy())
    weft.set_num_threads(before)
    np.testing.assert_array_equal(*grads)


@pytest.mark.parametrize("return_indices", [False, True])
def test_a_nan_of_bfloat16_wins_without_a_warning(return_indices):
    """Its comparisons raise the flag of invalid operations, which NumPy tells of."""
    x = np.random.default_rng(0).standard_normal((2, 3, 40, 40)).astype(np.float32)
    x[:, :, ::7, ::3] = np.nan
    half = weft.tensor(x).astype(weft.bfloat16)
    y = F.max_pool2d(half, 2, return_indices=return_indices)  # warnings are errors here
    y = np.asarray((y[0] if return_indices else y).astype(weft.float32))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x.reshape(2, 3, 20, 2, 20, 2).sum((3, 5))))
