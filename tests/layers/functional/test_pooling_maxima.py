"""Adaptive and fractional maxima, and the way back, against loops in NumPy over the definition."""

import itertools

import numpy as np
import pytest

import weft
from weft.layers import functional as F

ADAPTIVE = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}
ADAPTIVE_BOTH = {
    1: F.adaptive_max_pool1d_with_indices, 2: F.adaptive_max_pool2d_with_indices, 3: F.adaptive_max_pool3d_with_indices,
}  # fmt: skip
FRACTIONAL = {2: F.fractional_max_pool2d, 3: F.fractional_max_pool3d}
FRACTIONAL_BOTH = {2: F.fractional_max_pool2d_with_indices, 3: F.fractional_max_pool3d_with_indices}
POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
POOL_BOTH = {1: F.max_pool1d_with_indices, 2: F.max_pool2d_with_indices, 3: F.max_pool3d_with_indices}
UNPOOL = {1: F.max_unpool1d, 2: F.max_unpool2d, 3: F.max_unpool3d}
SIZE = (7, 6, 5)
dimensions = pytest.mark.parametrize("n", [1, 2, 3])


def maxima(x, windows):
    """Of the windows windows[n][c][axis] = [slice, …] of x (N, C, …): values and places."""
    sizes = [len(axis) for axis in windows[0][0]]
    y, where = np.zeros((*x.shape[:2], *sizes)), np.zeros((*x.shape[:2], *sizes), int)
    every = np.arange(np.prod(x.shape[2:])).reshape(x.shape[2:])
    for n, c, *at in np.ndindex(y.shape):
        window = tuple(axis[i] for axis, i in zip(windows[n][c], at))
        part = x[n, c][window]
        y[(n, c, *at)], where[(n, c, *at)] = part.max(), every[window].reshape(-1)[part.argmax()]
    return y, where


@dimensions
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 2, 4), (7, 9, 5)])
def test_adaptive(rng, n, size):
    x = rng.standard_normal((2, 3, *SIZE[:n]))
    axes = [[slice(i * k // o, -(-(i + 1) * k // o)) for i in range(o)] for k, o in zip(SIZE, size[:n])]
    expected, where = maxima(x, [[axes] * 3] * 2)
    for y, indices in (ADAPTIVE[n](weft.tensor(x), size[:n], True), ADAPTIVE_BOTH[n](weft.tensor(x), size[:n])):
        np.testing.assert_array_equal(y.numpy(), expected)
        np.testing.assert_array_equal(indices.numpy(), where)
    np.testing.assert_array_equal(ADAPTIVE[n](weft.tensor(x[0]), size[:n]).numpy(), expected[0])


def test_adaptive_gradient():
    """A maximum of two windows gets the gradients of both."""
    x = weft.tensor([[1.0, 2.0, 4.0, 3.0, 0.0]], requires_grad=True)
    F.adaptive_max_pool1d(x, 2).backward(weft.tensor([[1.0, 10.0]]))
    assert x.grad.tolist() == [[0.0, 0.0, 11.0, 0.0, 0.0]]


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_fractional(rng, n, kernel):
    x, samples, size = rng.standard_normal((2, 3, *SIZE[:n])), rng.random((2, 3, n)), (2, 3, 1)[:n]

    def starts(u, length, o):
        alpha = (length - kernel) / max(1, o - 1)
        return [int((i + u) * alpha) - int(u * alpha) for i in range(o - 1)] + [length - kernel]

    def windows(u):
        u = u[::-1] if n == 2 else u  # PyTorch's order
        return [[slice(s, s + kernel) for s in starts(*axis)] for axis in zip(u, SIZE, size)]

    expected, where = maxima(x, [[windows(u) for u in of_image] for of_image in samples])
    options = {"_random_samples": weft.tensor(samples)}
    for y, indices in (
        FRACTIONAL[n](weft.tensor(x), kernel, size, return_indices=True, **options),
        FRACTIONAL_BOTH[n](weft.tensor(x), kernel, size, **options),
    ):
        np.testing.assert_array_equal(y.numpy(), expected)
        np.testing.assert_array_equal(indices.numpy(), where)
    drawn = FRACTIONAL[n](weft.tensor(x[0]), kernel, output_ratio=0.4)
    assert drawn.shape == (3, *(int(0.4 * s) for s in SIZE[:n]))


def test_fractional_has_pytorchs_numbers():
    """torch.nn.functional.fractional_max_pool2d(x, 2, (3, 4), return_indices=True, _random_samples=u), 2.13."""
    x = weft.tensor(np.arange(42.0).reshape(1, 1, 6, 7) * [1, -1, 1, -1, 1, -1, 1])
    u = weft.tensor([[[0.3, 0.9]]], dtype=weft.float64)
    y, indices = F.fractional_max_pool2d(x, 2, (3, 4), return_indices=True, _random_samples=u)
    assert y.tolist() == FRACTIONAL_NUMBERS
    assert indices.tolist() == [[[[int(v) for v in row] for row in FRACTIONAL_NUMBERS[0][0]]]]


FRACTIONAL_NUMBERS = [[[[7.0, 9.0, 11.0, 13.0], [21.0, 23.0, 25.0, 27.0], [35.0, 37.0, 39.0, 41.0]]]]


@dimensions
def test_the_way_back(rng, n):
    x = rng.standard_normal((2, 3, *SIZE[:n]))
    y, indices = POOL_BOTH[n](weft.tensor(x), 2)
    np.testing.assert_array_equal(indices.numpy(), POOL[n](weft.tensor(x), 2, return_indices=True)[1].numpy())
    expected = np.zeros((2, 3, np.prod(SIZE[:n])))
    np.put_along_axis(expected, indices.numpy().reshape(2, 3, -1), y.numpy().reshape(2, 3, -1), -1)
    for size in (SIZE[:n], x.shape):
        back = UNPOOL[n](y, indices, 2, output_size=size)
        np.testing.assert_array_equal(back.numpy(), expected.reshape(x.shape))
    np.testing.assert_array_equal(UNPOOL[n](y[0], indices[0], 2, None, 0, SIZE[:n]).numpy(), back.numpy()[0])
    even = weft.tensor(x[(..., *(slice(s // 2 * 2) for s in SIZE[:n]))])
    assert UNPOOL[n](*POOL_BOTH[n](even, 2), 2).shape == even.shape


def test_the_way_back_is_differentiated():
    x = weft.tensor([[1.0, 4.0, 3.0, 2.0]], requires_grad=True)
    F.max_unpool1d(*F.max_pool1d(x, 2, return_indices=True), 2).backward(weft.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert x.grad.tolist() == [[0.0, 2.0, 3.0, 0.0]]


class TestErrors:
    def test_adaptive(self):
        with pytest.raises(ValueError, match=r"`output_size` must be an int or 2 ints, each at least 1, got \(0, 0\)"):
            F.adaptive_max_pool2d(weft.ones((1, 4, 4)), 0)
        with pytest.raises(ValueError, match=r"empty along no axis but the batch's, got shape \(1, 0, 4\)"):
            F.adaptive_max_pool1d(weft.ones((1, 0, 4)), 1)
        assert F.adaptive_max_pool1d(weft.ones((0, 1, 4)), 1).shape == (0, 1, 1)
        with pytest.raises(
            ValueError, match=r"`input` must have shape \(N, C, D, H, W\) or \(C, D, H, W\), got \(1, 0, 4\)"
        ):
            F.adaptive_max_pool3d(weft.ones((1, 0, 4)), 1)

    def test_fractional(self):
        x = weft.ones((1, 2, 5, 5))
        with pytest.raises(ValueError, match="`output_size` or `output_ratio` must be given, got None for both"):
            F.fractional_max_pool2d(x, 2)
        with pytest.raises(ValueError, match=r"`output_ratio` must be a number in \(0, 1\), or 2 of them, got 1.5"):
            F.fractional_max_pool2d(x, 2, output_ratio=1.5)
        with pytest.raises(
            ValueError, match=r"`kernel_size` \(3, 3\) \+ `output_size` \(4, 4\) − 1 long, .*, got shape"
        ):
            F.fractional_max_pool2d(x, 3, 4)
        with pytest.raises(ValueError, match=r"`_random_samples` must have shape \(1, 2, 2\), got \(1, 2, 3\)"):
            F.fractional_max_pool2d(x, 2, 2, _random_samples=weft.ones((1, 2, 3)))

    def test_unpool(self):
        y, indices = F.max_pool2d(weft.ones((1, 6, 6)), 2, return_indices=True)
        with pytest.raises(TypeError, match="`indices` must have dtype int64, got int32; convert it"):
            F.max_unpool2d(y, indices.to(weft.int32), 2)
        with pytest.raises(ValueError, match=r"`indices` must have shape \(1, 3, 3\), got \(3, 3\)"):
            F.max_unpool2d(y, indices[0], 2)
        with pytest.raises(ValueError, match=r"less than the stride \(2, 2\) away from \(6, 6\), got \(8, 6\)"):
            F.max_unpool2d(y, indices, 2, output_size=(8, 6))
        with pytest.raises(ValueError, match=r"must hold 2 sizes, or 4 with batch and channels, got \(1, 6, 6\)"):
            F.max_unpool2d(y, indices, 2, output_size=(1, 6, 6))
        with pytest.raises(
            IndexError, match=r"`indices` must be in \[0, 36\), the result's \(6, 6\), flattened; .* got 100"
        ):
            F.max_unpool2d(y, indices + 100, 2)


def test_nothing_waits_for_the_values_of_an_even_cover():
    """Where windows lie follows from the sizes: a step with adaptive maxima can be recorded."""
    if "emulator" not in weft.devices():
        pytest.skip("the emulator needs a C++ compiler")
    x = weft.asarray(np.arange(12, dtype=np.float32).reshape(1, 2, 6), device="emulator")
    step = weft.capture(lambda x: F.adaptive_max_pool1d(x, 4), warmup=1, strict=True)
    for _ in range(3):
        assert step(x).tolist() == [[[1.0, 2.0, 4.0, 5.0], [7.0, 8.0, 10.0, 11.0]]]


def test_products_of_ranges_cover_everything():
    """Each element is in a window, whatever the sizes."""
    for length, output in itertools.product(range(1, 9), range(1, 9)):
        x = weft.tensor(np.eye(length)[:, None])
        assert (F.adaptive_max_pool1d(x, output).numpy().max(-1) == 1).all()
