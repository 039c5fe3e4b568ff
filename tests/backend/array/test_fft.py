"""Against numpy.fft in float64."""

import harness
import numpy as np
import pytest
from harness import Case

import weft
from weft import fft

rng = np.random.default_rng(0)
x = rng.standard_normal((3, 4, 5))
z = x + 1j * rng.standard_normal((3, 4, 5))
STATIC = [{}, {"n": 4}, {"n": 7, "norm": "ortho"}, {"axis": 0, "norm": "forward"}, {"axis": -2, "n": 3}]
STATIC_N = [{}, {"axes": (0, 2)}, {"axes": (1,), "norm": "ortho"}, {"s": (2, 6), "axes": (0, 1), "norm": "forward"}]


def cases(name, argument, static):
    strict = argument.dtype.kind == "c" or name not in (
        "fft",
        "ifft",
        "fftn",
        "ifftn",
    )  # real input there is NumPy's extension
    return [Case(getattr(fft, name), (argument,), getattr(np.fft, name), s, strict=strict) for s in static]


test_primitive = harness.over(
    [
        *[c for name in ("fft", "ifft") for c in cases(name, x, STATIC) + cases(name, z, STATIC)],
        *[c for name in ("rfft", "ihfft") for c in cases(name, x, STATIC)],
        *[c for name in ("irfft", "hfft") for c in cases(name, z, STATIC)],
        *[c for name in ("fftn", "ifftn") for c in cases(name, x, STATIC_N) + cases(name, z, STATIC_N)],
        *cases("rfftn", x, STATIC_N),
        *cases("irfftn", z, STATIC_N),
        *[c for name in ("fftshift", "ifftshift") for c in cases(name, x, [{}, {"axes": 1}, {"axes": (0, 2)}])],
        *cases("fftshift", z, [{}]),
        *cases("fft", np.ones((0, 3)), [{}]),
    ]
)


@pytest.mark.parametrize("name", ["fftn", "rfftn"])
def test_lengths_without_axes(name):
    """`s` alone is for the last axes (the standard's rule; NumPy is about to drop its own)."""
    got = getattr(fft, name)(weft.asarray(x), s=(2, 6)).numpy()
    np.testing.assert_allclose(got, getattr(np.fft, name)(x, s=(2, 6), axes=(-2, -1)), atol=1e-12)


@pytest.mark.parametrize("n", [1, 4, 5])
@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_frequencies(name, n):
    for dtype in (None, weft.float64):
        got = getattr(fft, name)(n, d=0.5, dtype=dtype)
        assert got.dtype == (dtype or weft.float32)
        np.testing.assert_array_equal(got.numpy(), getattr(np.fft, name)(n, d=0.5).astype(got.dtype))
    assert getattr(fft, name)(n, device="strict").device == "strict"


def test_dtypes():
    """Single precision stays single, integers become the default."""
    assert (
        fft.fft(weft.ones(3)).dtype == fft.rfft(weft.arange(3)).dtype == fft.ihfft(weft.ones(3)).dtype == weft.complex64
    )
    assert fft.irfft(weft.ones(3, dtype=weft.complex64)).dtype == fft.hfft(weft.ones(3)).dtype == weft.float32
    assert fft.fftn(weft.ones(3, dtype=weft.float64)).dtype == weft.complex128


REAL = ("rfft", "ihfft", "rfftn")  # take real numbers alone
GRADIENTS = [
    *[(name, st) for name in ("fft", "ifft", "rfft", "ihfft", "irfft", "hfft") for st in STATIC],
    *[(name, st) for name in ("fftn", "ifftn", "rfftn", "irfftn") for st in [*STATIC_N, {"s": (5, 6)}, {"axes": -2}]],
    *[(name, st) for name in ("fftshift", "ifftshift") for st in ({}, {"axes": 1})],
]


@pytest.mark.parametrize(
    ("name", "static", "argument"),
    [(*row, kind) for row in GRADIENTS for kind in ("real", "complex") if kind == "real" or row[0] not in REAL],
)
def test_gradients(name, static, argument):
    """Along a direction, by central differences; the loss is quadratic, so that they are exact."""
    direction = np.random.default_rng(2).standard_normal(x.shape)

    def loss(t):
        y = getattr(fft, name)(t + 1j * weft.asarray(z.imag) if argument == "complex" else t, **static)
        weights = weft.asarray(np.random.default_rng(1).standard_normal(y.shape))
        return (weft.real(y) * weights).sum() + (weft.imag(y) * weights).sum() + (weft.abs(y) ** 2).sum()

    t = weft.asarray(x).requires_grad_()
    loss(t).backward()
    ahead, behind = (loss(weft.asarray(x + sign * direction)).item() for sign in (1, -1))
    np.testing.assert_allclose((t.grad.numpy() * direction).sum(), (ahead - behind) / 2, rtol=1e-9)
    assert t.grad.dtype == t.dtype


def test_second_derivatives():
    """By Parseval, Σ |fft x|² is n Σ x²."""
    slope = weft.grad(lambda t: (weft.abs(fft.fft(t)) ** 2).sum())
    found = weft.grad(lambda t: (slope(t) ** 2).sum())(weft.asarray(x[0, 0])).numpy()
    np.testing.assert_allclose(found, 8 * 25 * x[0, 0], rtol=1e-10)


def test_single_precision_stays_single():
    t = weft.ones(4, requires_grad=True)
    weft.abs(fft.rfft(t)).sum().backward()
    assert t.grad.dtype == weft.float32
