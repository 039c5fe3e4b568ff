"""Against loops over the definitions in float64; the adjoint by differences, twice; PyTorch's numbers with the functions."""

import math

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft.backend.nn import resampling as R


def cubic(t, a):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def lanczos(t):
    return np.sinc(t) * np.sinc(t / 3) if abs(t) < 3 else 0.0


KERNELS = {
    "bilinear": (lambda t: max(0.0, 1 - abs(t)), 1),
    "bicubic": (lambda t: cubic(t, -0.5), 2),
    "lanczos": (lanczos, 3),
}


def row(o, n, out, mode, scale, align_corners, antialias):
    """The weights that one output gives to n inputs."""
    w = np.zeros(n)
    ratio = ((n - 1) / max(out - 1, 1) if align_corners else 1 / scale) if align_corners or scale else n / out
    if mode == "area":
        first, last = math.floor(o * n / out), math.ceil((o + 1) * n / out)
        w[first:last] = 1 / (last - first)
    elif mode.startswith("nearest"):
        w[min(int((o + 0.5 * (mode != "nearest")) * ratio), n - 1)] = 1
    elif antialias:
        kernel, radius = KERNELS[mode]
        width = max(ratio, 1)
        centre = ratio * (o + 0.5)
        for i in range(max(int(centre - radius * width + 0.5), 0), min(int(centre + radius * width + 0.5), n)):
            w[i] = kernel((i - centre + 0.5) / width)
        w /= w.sum()
    else:
        at = ratio * o if align_corners else ratio * (o + 0.5) - 0.5
        if mode == "bicubic":
            for i in range(math.floor(at) - 1, math.floor(at) + 3):
                w[min(max(i, 0), n - 1)] += cubic(at - i, -0.75)
        else:
            at = max(at, 0)
            first = min(int(at), n - 1)
            w[first] += 1 - min(at - first, 1)
            w[min(first + 1, n - 1)] += min(at - first, 1)
    return w


def resample(x, size, mode="nearest", scales=(None,) * 3, align_corners=False, antialias=False):
    for axis, (out, scale) in enumerate(zip(size, scales), x.ndim - len(size)):
        n = x.shape[axis]
        matrix = np.stack([row(o, n, out, mode, scale, align_corners, antialias) for o in range(out)])
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ matrix.T, -1, axis)
    return x


def a(*shape):
    return np.random.default_rng([7, *shape]).standard_normal(shape)


OPTIONS = [
    ((2, 3, 7), {"size": (11,)}), ((2, 3, 7), {"size": (3,), "mode": "nearest-exact"}),
    ((1, 2, 5, 6), {"size": (3, 13), "mode": "nearest-exact"}), ((1, 2, 3, 4, 2), {"size": (5, 2, 6)}),
    ((2, 1, 7), {"size": (3,), "mode": "area"}), ((1, 2, 5, 7), {"size": (7, 2), "mode": "area"}),
    ((2, 3, 6), {"size": (10,), "mode": "linear"}), ((2, 3, 6), {"size": (4,), "mode": "linear", "align_corners": True}),
    ((1, 2, 5, 4), {"size": (3, 9), "mode": "bilinear"}),
    ((1, 2, 5, 4), {"size": (7, 6), "mode": "bilinear", "scales": (1.5, 1.7)}),
    ((1, 1, 2, 3, 4), {"size": (4, 2, 5), "mode": "trilinear", "align_corners": True}),
    ((1, 2, 5, 4), {"size": (8, 3), "mode": "bicubic"}), ((1, 2, 5, 4), {"size": (8, 1), "mode": "bicubic", "align_corners": True}),
    *[((1, 2, 7, 5), {"size": (3, 8), "mode": mode, "antialias": True}) for mode in KERNELS],
    ((1, 1, 9, 5), {"size": (4, 3), "mode": "bilinear", "scales": (0.45, 0.7), "antialias": True}),
    ((0, 2, 4), {"size": (3,), "mode": "linear"}),
]  # fmt: skip
CASES = [Case(R.resample, (a(*shape),), resample, options) for shape, options in OPTIONS]
test_primitive = harness.over(CASES)


@pytest.mark.parametrize("mode", ["linear", "area", "nearest"])
@pytest.mark.parametrize("n", [1, 2, 31])
def test_the_same_size_is_a_copy(mode, n):
    x = weft.tensor(a(2, n))
    y = R.resample(x, size=(n,), mode=mode)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    assert not np.shares_memory(y.numpy(), x.numpy())


def test_what_is_not_read_has_no_gradient():
    x = weft.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True)
    R.resample(x, size=(2,)).sum().backward()
    assert x.grad.tolist() == [[1, 0, 1, 0]]


def test_infinity_stays_where_it_is():
    """Outputs that do not touch it are finite: no product with a matrix that is mostly zeros."""
    x = np.zeros((1, 9))
    x[0, 0] = np.inf
    y = R.resample(weft.tensor(x), size=(18,), mode="linear").numpy()
    assert np.isfinite(y[0, 4:]).all()


def test_integers_are_moved():
    x = weft.tensor([[1, 2]])
    assert R.resample(x, size=(4,)).tolist() == [[1, 1, 2, 2]]
    assert R.resample(x, size=(4,)).dtype == weft.int64


@pytest.mark.skipif(not harness.EMULATOR, reason="needs a C++ compiler")
def test_a_recorded_step_has_its_tables():
    """They are on the device since the first call: a recording may not copy from the host."""

    step = weft.value_and_grad(lambda x: (R.resample(x, size=(5, 9), mode="bilinear") ** 2).sum())
    captured = weft.capture(lambda x: step(x), warmup=1, strict=True)
    for seed in range(5):
        x = weft.asarray(a(2, 3, 4).astype(np.float32) + seed, device="emulator")
        if seed > 2:  # of the replays
            R._placed.cache_clear()
        for got, wanted in zip(captured(x), step(x)):
            np.testing.assert_array_equal(got.numpy(), wanted.numpy())
