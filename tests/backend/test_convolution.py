"""Against explicit loops over output positions in float64; derivatives by central differences."""

import tracemalloc

import harness
import numpy as np
import pytest
import weft
from harness import Case
from weft.backend.convolution import conv2d, conv_transpose2d

rng = np.random.default_rng(0)


def a(*shape):
    return np.asarray(rng.standard_normal(shape))


def sides(padding):
    return [(p, p) if isinstance(p, int) else p for p in padding]


def correlate(x, w, b=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """One output position at a time."""
    x = np.pad(x, ((0, 0), (0, 0), *sides(padding)))
    out, per_group = w.shape[0] // groups, w.shape[1]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:])]
    size = [max((n - r) // s + 1, 0) for n, r, s in zip(x.shape[2:], reach, stride)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    for h, v in np.ndindex(*size):
        rows, columns = [slice(o * s, o * s + r, d) for o, s, r, d in zip((h, v), stride, reach, dilation)]
        for g in range(groups):
            window = x[:, g * per_group : (g + 1) * per_group, rows, columns]
            y[:, g * out : (g + 1) * out, h, v] = np.tensordot(window, w[g * out : (g + 1) * out], ([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + b[:, None, None]


def spread(x, w, b=None, stride=(1, 1), padding=(0, 0), output_padding=(0, 0), dilation=(1, 1), groups=1):
    """Every input pixel adds its multiple of the kernel to the output."""
    out, per_group = w.shape[1], w.shape[0] // groups
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(x.shape[2:], stride, dilation, w.shape[2:], output_padding)]
    y = np.zeros((x.shape[0], out * groups, *full))
    for h, v in np.ndindex(*x.shape[2:]):
        rows, columns = [slice(o * s, o * s + d * (k - 1) + 1, d) for o, s, d, k in zip((h, v), stride, dilation, w.shape[2:])]
        for g in range(groups):
            part = slice(g * per_group, (g + 1) * per_group)
            y[:, g * out : (g + 1) * out, rows, columns] += np.tensordot(x[:, part, h, v], w[part], 1)
    (top, bottom), (left, right) = sides(padding)
    y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
    return y if b is None else y + b[:, None, None]


def options(stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, **more):
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, **more}


# x, weight, options: few and many channels, kernels that are tall, wide, even, 1×1; rows that do and do not pair up
FORWARD = [
    ((2, 3, 8, 8), (4, 3, 3, 3), options(padding=(1, 1))),
    ((2, 3, 7, 9), (5, 3, 3, 2), options()),
    ((1, 2, 9, 8), (3, 2, 5, 3), options((2, 3), (2, 1))),
    ((2, 2, 9, 10), (2, 2, 3, 3), options(dilation=(2, 3), padding=(2, 1))),
    ((2, 4, 6, 6), (6, 2, 3, 3), options(groups=2, padding=(1, 1))),
    ((2, 4, 6, 5), (4, 1, 3, 3), options(groups=4, padding=(1, 1))),
    ((2, 3, 5, 5), (4, 3, 1, 1), options()),
    ((2, 3, 7, 7), (4, 3, 1, 1), options((2, 2))),
    ((1, 2, 6, 6), (2, 2, 2, 4), options(padding=((0, 1), (1, 2)))),
    ((1, 2, 3, 3), (2, 2, 3, 3), options((2, 2), (3, 3))),
    ((1, 1, 1, 1), (1, 1, 1, 1), options()),
    ((0, 3, 6, 6), (4, 3, 3, 3), options(padding=(1, 1))),
    ((1, 32, 6, 7), (32, 32, 3, 3), options(padding=(1, 1))),
    ((1, 32, 7, 5), (32, 32, 3, 3), options()),
    ((1, 20, 5, 6), (18, 20, 2, 3), options(padding=(1, 0))),
    ((2, 17, 6, 6), (16, 17, 3, 3), options((2, 1), (1, 1))),
    ((1, 32, 5, 5), (32, 16, 3, 3), options(groups=2, padding=(1, 1), dilation=(1, 2))),
]
TRANSPOSED = [
    ((2, 3, 5, 5), (3, 4, 3, 3), options(padding=(1, 1), output_padding=(0, 0))),
    ((2, 3, 4, 5), (3, 2, 3, 2), options((2, 3), (1, 0), output_padding=(1, 2))),
    ((1, 4, 5, 4), (4, 2, 3, 3), options((2, 2), groups=2, output_padding=(0, 1))),
    ((1, 2, 4, 4), (2, 3, 3, 2), options(dilation=(2, 2), padding=(1, 1), output_padding=(0, 0))),
    ((2, 2, 3, 3), (2, 2, 2, 2), options((3, 3), output_padding=(0, 0))),
    ((0, 2, 3, 3), (2, 2, 2, 2), options(output_padding=(0, 0))),
    ((1, 32, 5, 6), (32, 32, 3, 3), options(padding=(1, 1), output_padding=(0, 0))),
    ((1, 17, 4, 4), (17, 16, 4, 4), options((2, 2), (1, 1), output_padding=(0, 0))),
]


def cases(primitive, reference, table, axis):
    """With and without bias; second derivatives for the small ones (the arithmetic of the large ones is the same)."""
    out = []
    for x, w, static in table:
        channels = w[axis] * (static["groups"] if axis == 1 else 1)
        for b in (a(channels), None) if np.prod(x) < 500 else (a(channels),):
            out.append(Case(primitive, (a(*x), a(*w), b), reference, static, tolerance=10, nested=np.prod(w) < 500))
    return out


CASES = cases(conv2d, correlate, FORWARD, 0) + cases(conv_transpose2d, spread, TRANSPOSED, 1)
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("channels", [3, 40])
def test_memory_order_of_the_input_changes_nothing(channels):
    x, w = a(2, channels, 9, 8).astype(np.float32), a(24, channels, 3, 3).astype(np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    first, second = (conv2d(weft.asarray(v), weft.asarray(w), padding=(1, 1)).numpy() for v in (x, last))
    np.testing.assert_array_equal(first, second)


def test_result_does_not_depend_on_threads():
    x, w = weft.tensor(a(7, 24, 20, 20), dtype=weft.float32, requires_grad=True), weft.tensor(a(40, 24, 3, 3), dtype=weft.float32, requires_grad=True)
    before, results = weft.num_threads(), []
    try:
        for n in (1, 2, 3):
            weft.set_num_threads(n)
            x.grad = w.grad = None
            y = conv2d(x, w, padding=(1, 1))
            (y * y).sum().backward()
            results.append([v.numpy().copy() for v in (y.detach(), x.grad, w.grad)])
    finally:
        weft.set_num_threads(before)
    for other in results[1:]:
        for mine, theirs in zip(results[0], other):
            np.testing.assert_array_equal(mine, theirs)


def test_workspace_does_not_grow_with_the_batch():
    w = weft.asarray(a(16, 16, 3, 3).astype(np.float32))
    extra = []
    for n in (32, 128):
        x = weft.asarray(np.zeros((n, 16, 32, 32), np.float32))
        conv2d(x, w, padding=(1, 1))
        tracemalloc.start()
        y = conv2d(x, w, padding=(1, 1))
        extra.append(tracemalloc.get_traced_memory()[1] - y.data.nbytes - x.data.nbytes)  # the input is copied once
        tracemalloc.stop()
    assert extra[1] < extra[0] + (1 << 20)
