"""Convolutions against loops in NumPy over the definition; most gradients are tested with the primitives."""

import itertools

import numpy as np
import pytest

import weft
from weft.layers import functional as F


def correlate(x, w, b, stride, padding, dilation, groups):
    """The definition, for any number of axes; `padding` holds (before, after) of each."""
    n = w.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *padding])
    sizes = [(s - d * (k - 1) - 1) // t + 1 for s, k, t, d in zip(x.shape[2:], w.shape[2:], stride, dilation)]
    y = np.zeros((x.shape[0], w.shape[0], *sizes))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for o in range(w.shape[0]):
        group = x[:, o // per_out * per_in : (o // per_out + 1) * per_in]
        for at in itertools.product(*map(range, sizes)):
            window = tuple(
                slice(i * t, i * t + d * (k - 1) + 1, d) for i, t, d, k in zip(at, stride, dilation, w.shape[2:])
            )
            y[(slice(None), o, *at)] = (group[(slice(None), slice(None), *window)] * w[o]).sum(
                axis=tuple(range(1, n + 2))
            )
    return y if b is None else y + b.reshape(-1, *[1] * n)


def spread(x, w, b, stride, padding, output_padding, dilation, groups):
    """The definition of the transposed convolution: every x adds itself times the kernel to a window."""
    n, per_in, per_out = w.ndim - 2, x.shape[1] // groups, w.shape[1]
    spans = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation)]
    full = [(s - 1) * t + span + extra for s, t, span, extra in zip(x.shape[2:], stride, spans, output_padding)]
    y = np.zeros((x.shape[0], per_out * groups, *full))
    for c in range(x.shape[1]):
        out = slice(c // per_in * per_out, (c // per_in + 1) * per_out)
        for at in itertools.product(*map(range, x.shape[2:])):
            window = tuple(slice(i * t, i * t + span, d) for i, t, span, d in zip(at, stride, spans, dilation))
            value = x[(slice(None), c, *at)].reshape(-1, *[1] * (n + 1))
            y[(slice(None), out, *window)] += value * w[c]
    y = y[(slice(None), slice(None), *[slice(p, s - p) for p, s in zip(padding, full)])]
    return y if b is None else y + b.reshape(-1, *[1] * n)


def tensors(*arrays):
    return [None if a is None else weft.tensor(a) for a in arrays]


CONVOLUTIONS = [  # stride, padding, dilation, groups, bias
    (1, 0, 1, 1, True), (2, 1, 1, 1, False), (1, 2, 2, 1, True), (2, 1, 1, 2, True), (1, 1, 1, 4, False),
]  # fmt: skip


class TestConv:
    @pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "bias"), CONVOLUTIONS)
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_values(self, rng, n, stride, padding, dilation, groups, bias):
        x, w = rng.standard_normal((2, 4, 8, 7, 5)[: n + 2]), rng.standard_normal((8, 4 // groups, 3, 2, 2)[: n + 2])
        b = rng.standard_normal(8) if bias else None
        expected = correlate(x, w, b, [stride] * n, [(padding, padding)] * n, [dilation] * n, groups)
        conv = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[n]
        got = conv(*tensors(x, w, b), stride, padding, dilation, groups)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
        one = conv(*tensors(x[0], w, b), stride=stride, padding=padding, dilation=dilation, groups=groups)
        np.testing.assert_allclose(one.numpy(), expected[0], atol=1e-12)

    def test_one_number_for_each_axis(self, rng):
        x, w = rng.standard_normal((1, 2, 9, 8)), rng.standard_normal((3, 2, 2, 3))
        expected = correlate(x, w, None, (2, 1), [(0, 0), (2, 2)], (1, 2), 1)
        np.testing.assert_allclose(F.conv2d(*tensors(x, w), None, (2, 1), [0, 2], (1, 2)).numpy(), expected, atol=1e-12)

    @pytest.mark.parametrize("kernel", [1, 2, 3, 4])
    @pytest.mark.parametrize("dilation", [1, 2])
    def test_same_padding_puts_the_odd_zero_at_the_end(self, rng, kernel, dilation):
        x, w = rng.standard_normal((1, 2, 9)), rng.standard_normal((3, 2, kernel))
        total = dilation * (kernel - 1)
        expected = correlate(x, w, None, [1], [(total // 2, total - total // 2)], [dilation], 1)
        got = F.conv1d(*tensors(x, w), padding="same", dilation=dilation).numpy()
        assert got.shape[-1] == 9
        np.testing.assert_allclose(got, expected, atol=1e-12)
        valid = F.conv1d(*tensors(x, w), padding="valid", dilation=dilation).numpy()
        np.testing.assert_array_equal(valid, F.conv1d(*tensors(x, w), dilation=dilation).numpy())

    @pytest.mark.parametrize("pad", [0, 2])
    def test_time_first(self, rng, pad):
        x, w, b = rng.standard_normal((6, 2, 3)), rng.standard_normal((3, 3, 4)), rng.standard_normal(4)
        expected = correlate(x.transpose(1, 2, 0), w.transpose(2, 1, 0), b, [1], [(pad, pad)], [1], 1)
        np.testing.assert_allclose(F.conv_tbc(*tensors(x, w, b), pad).numpy(), expected.transpose(2, 0, 1), atol=1e-12)

    def test_an_empty_batch(self):
        assert F.conv2d(weft.ones((0, 3, 5, 5)), weft.ones((2, 3, 3, 3))).shape == (0, 2, 3, 3)

    def test_gradients_of_sequences(self, rng):
        x, w, d = rng.standard_normal((2, 3, 6)), rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 3, 2))
        g = weft.grad(lambda v: (F.conv1d(weft.tensor(x), v, stride=2) ** 2).sum())(weft.tensor(w)).numpy()

        def loss(v):
            return (correlate(x, v, None, [2], [(0, 0)], [1], 1) ** 2).sum()

        assert (g * d).sum() == pytest.approx((loss(w + 1e-6 * d) - loss(w - 1e-6 * d)) / 2e-6, rel=1e-6)

    def test_errors(self):
        x, w = weft.ones((1, 4, 5, 5)), weft.ones((6, 2, 3, 3))
        with pytest.raises(TypeError, match=r"`input` must be a weft.Tensor, got ndarray"):
            F.conv2d(x.numpy(), w)
        with pytest.raises(ValueError, match=r"`weight` must have shape \(O, C/groups, KH, KW\), got \(6, 2, 3\)"):
            F.conv2d(x, weft.ones((6, 2, 3)))
        with pytest.raises(ValueError, match=r"`weight` must have shape \(O, C/groups, K\), got \(6, 2, 3, 3\)"):
            F.conv1d(x, w)
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, H, W\) or \(C, H, W\), got \(4, 5\)"):
            F.conv2d(weft.ones((4, 5)), w)
        with pytest.raises(
            ValueError,
            match=r"must have 2 channels for `weight` \(6, 2, 3, 3\) and groups=1, got 4, in shape \(1, 4, 5, 5\)",
        ):
            F.conv2d(x, w)
        with pytest.raises(
            ValueError, match="`groups` must be a positive int that divides 6, the first axis of `weight`, got 4"
        ):
            F.conv2d(x, w, groups=4)
        with pytest.raises(TypeError, match="`input` must have the dtype of `weight`, float32, got float64"):
            F.conv2d(x.double(), w, groups=2)
        with pytest.raises(ValueError, match=r"`bias` must have shape \(6,\), got \(5,\)"):
            F.conv2d(x, w, weft.ones(5), groups=2)
        with pytest.raises(ValueError, match="which spans 9, got 5 \\+ 2 of padding, in shape"):
            F.conv2d(x, w, groups=2, dilation=4, padding=1)
        with pytest.raises(ValueError, match="`stride` must be an int or 2 ints, each at least 1, got 0"):
            F.conv2d(x, w, groups=2, stride=0)
        with pytest.raises(ValueError, match=r"`padding` must be an int or 2 ints, each at least 0, got \(1, 2, 3\)"):
            F.conv2d(x, w, groups=2, padding=(1, 2, 3))
        with pytest.raises(ValueError, match=r"`dilation` must be an int, at least 1, got 1.5"):
            F.conv1d(weft.ones((1, 2, 5)), weft.ones((6, 2, 3)), dilation=1.5)
        with pytest.raises(
            ValueError, match=r"`weight` must have shape \(O, C/groups, KD, KH, KW\), got \(6, 2, 3, 3\)"
        ):
            F.conv3d(x, w)
        with pytest.raises(
            ValueError, match=r"`input` must have shape \(N, C, D, H, W\) or \(C, D, H, W\), got \(4, 5\)"
        ):
            F.conv3d(weft.ones((4, 5)), weft.ones((6, 4, 1, 1, 1)))
        with pytest.raises(ValueError, match=r"`weight` must have shape \(K, C, O\), got \(2, 3\)"):
            F.conv_tbc(weft.ones((5, 2, 3)), weft.ones((2, 3)), weft.ones(3))
        with pytest.raises(ValueError, match="`padding` must be one of 'valid', 'same', got 'full'"):
            F.conv2d(x, w, groups=2, padding="full")
        with pytest.raises(ValueError, match=r"`padding` may be 'same' with stride 1 alone, got stride \(2, 2\)"):
            F.conv2d(x, w, groups=2, padding="same", stride=2)


TRANSPOSED = [  # stride, padding, output_padding, dilation, groups, bias
    (1, 0, 0, 1, 1, True), (2, 1, 1, 1, 1, False), (3, 0, 2, 1, 2, True), (2, 1, 0, 2, 1, True), (2, 0, 0, 1, 4, False),
]  # fmt: skip


class TestConvTranspose:
    @pytest.mark.parametrize(("stride", "padding", "extra", "dilation", "groups", "bias"), TRANSPOSED)
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_values(self, rng, n, stride, padding, extra, dilation, groups, bias):
        x, w = rng.standard_normal((2, 4, 5, 4, 3)[: n + 2]), rng.standard_normal((4, 2, 3, 2, 2)[: n + 2])
        b = rng.standard_normal(2 * groups) if bias else None
        expected = spread(x, w, b, [stride] * n, [padding] * n, [extra] * n, [dilation] * n, groups)
        conv = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[n]
        got = conv(*tensors(x, w, b), stride, padding, extra, groups, dilation)
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)
        np.testing.assert_allclose(
            conv(*tensors(x[0], w, b), stride, padding, extra, groups, dilation).numpy(), expected[0], atol=1e-12
        )

    def test_errors(self):
        x, w = weft.ones((1, 4, 5, 5)), weft.ones((4, 2, 3, 3))
        with pytest.raises(ValueError, match=r"`weight` must have shape \(C, O/groups, KH, KW\), got \(4, 2\)"):
            F.conv_transpose2d(x, weft.ones((4, 2)))
        with pytest.raises(ValueError, match=r"must have 4 channels .*, got 3"):
            F.conv_transpose2d(weft.ones((1, 3, 5, 5)), w)
        with pytest.raises(
            ValueError,
            match=r"`output_padding` must be less than the stride or the dilation, got \(2, 2\) with stride \(2, 2\)",
        ):
            F.conv_transpose2d(x, w, stride=2, output_padding=2)
        with pytest.raises(
            ValueError,
            match=r"`padding` must leave something of the output, got \(4, 4\), which gives the size \(-1, -1\)",
        ):
            F.conv_transpose2d(x, w, padding=4)


@pytest.mark.parametrize("device", [d for d in weft.devices() if d in ("cpu", "emulator")])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("size", "kernel", "options", "expected"),
    [
        ((1,), 2, {"padding": 1}, (0,)),
        ((2,), 1, {"padding": 1}, (0,)),
        ((1, 3), 2, {"padding": 1}, (0, 2)),
        ((1, 1), 2, {"padding": 1}, (0, 0)),
        ((2, 3), 1, {"padding": (1, 0)}, (0, 3)),
        ((1, 2), 2, {"padding": (1, 0), "stride": 2}, (0, 4)),
    ],
)
def test_transposed_to_nothing(device, dtype, size, kernel, options, expected):
    """An output of size 0 is empty, and its gradients are zeros."""
    f = F.conv_transpose1d if len(size) == 1 else F.conv_transpose2d
    x = weft.ones((2, 4, *size), device=device, dtype=dtype, requires_grad=True)
    w = weft.ones((4, 3, *[kernel] * len(size)), device=device, dtype=dtype, requires_grad=True)
    b = weft.ones(3, device=device, dtype=dtype, requires_grad=True)
    y = f(x, w, b, **options)
    assert (y.shape, str(y.dtype)) == ((2, 3, *expected), dtype)
    y.sum().backward()
    for t in (x, w, b):
        assert t.grad.shape == t.shape
        assert not weft.any(t.grad != 0)
