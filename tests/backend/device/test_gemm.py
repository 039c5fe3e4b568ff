"""The one matrix product, against NumPy's."""

import array_api_strict
import ml_dtypes
import numpy as np
import pytest

import weft
from weft.backend.device.gemm import gemm

rng = np.random.default_rng(0)
SHAPES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 6, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)),
    ((1, 1), (1, 1)),
    ((0, 4), (4, 5)),
    ((3, 0), (0, 5)),
    ((3, 4), (4, 0)),
    ((0, 3, 4), (4, 5)),
    ((33, 31), (31, 32)),
    ((2, 3, 0), (0, 4)),
]


@pytest.mark.parametrize(("s", "t"), SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(s, t, dtype):
    a, b = rng.standard_normal(s).astype(dtype), rng.standard_normal(t).astype(dtype)
    expected = a.astype(float) @ b.astype(float)
    got = gemm(np, a, b)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, atol=1e-5 if dtype == "float32" else 1e-13)
    strict = gemm(array_api_strict, array_api_strict.asarray(a), array_api_strict.asarray(b))
    np.testing.assert_allclose(np.asarray(strict), expected, atol=1e-5 if dtype == "float32" else 1e-13)


def test_layouts():
    a, b = rng.standard_normal((5, 4)), rng.standard_normal((6, 5))
    np.testing.assert_allclose(gemm(np, a.T, b.T), a.T @ b.T)
    wide = rng.standard_normal((2, 6, 8))[:, ::2, ::2]
    np.testing.assert_allclose(gemm(np, wide, b[:4]), wide @ b[:4])
    flipped = rng.standard_normal((2, 3, 4)).transpose(1, 0, 2)
    np.testing.assert_allclose(gemm(np, flipped, b[:4]), flipped @ b[:4])


@pytest.mark.parametrize(("s", "t"), [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5))])
def test_out(s, t):
    a, b = rng.standard_normal(s), rng.standard_normal(t)
    out = np.full(np.matmul(a, b).shape, np.nan)
    got = gemm(np, a, b, out=out)
    assert got is out or np.shares_memory(got, out)
    np.testing.assert_allclose(out, a @ b)


@pytest.mark.parametrize(
    ("s", "t"), [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5))]
)
@pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])
def test_accumulate(s, t, xp):
    a, b = (xp.asarray(rng.standard_normal(shape)) for shape in (s, t))
    out = xp.ones(np.matmul(np.asarray(a), np.asarray(b)).shape, dtype=xp.float64)
    assert gemm(xp, a, b, out=out, accumulate=True) is out
    np.testing.assert_allclose(np.asarray(out), 1 + np.asarray(a) @ np.asarray(b))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
class TestHalves:
    """Sums in float32, one rounding at the end."""

    def test_value(self, dtype):
        for s, t in SHAPES:
            a, b = rng.standard_normal(s).astype(dtype), rng.standard_normal(t).astype(dtype)
            got = gemm(np, a, b)
            assert got.dtype == dtype
            exact = a.astype(np.float32) @ b.astype(np.float32)
            np.testing.assert_array_equal(got.astype(np.float32), exact.astype(dtype).astype(np.float32))

    def test_accumulate(self, dtype):
        """To 4096, less than half a unit in the last place is added: it is lost, where float32 keeps it."""
        a, b = np.ones((1, 4), dtype), np.ones((4, 1), dtype)
        low, single = np.full((1, 1), 4096, dtype), np.full((1, 1), 4096, np.float32)
        for _ in range(4):
            assert gemm(np, a[:, :1], b[:1], out=low, accumulate=True) is low
            assert gemm(np, a[:, :1], b[:1], out=single, accumulate=True) is single
        assert low == 4096
        assert single == 4100
        if dtype is np.float16:  # four at once are a unit
            assert gemm(np, a, b, out=low, accumulate=True) == 4100


class TestPrecision:
    """`set_float32_matmul_precision`; the rounding itself is in kernels/test_gemm.py."""

    @pytest.fixture(autouse=True)
    def restore(self):
        yield
        weft.set_float32_matmul_precision("highest")

    def test_default(self):
        assert weft.get_float32_matmul_precision() == "highest"

    @pytest.mark.parametrize("precision", ["high", "medium", "highest"])
    def test_is_remembered_and_no_concern_of_a_cpu(self, precision):
        a, b = rng.standard_normal((5, 7)).astype("f"), rng.standard_normal((7, 3)).astype("f")
        before = gemm(np, a, b)
        weft.set_float32_matmul_precision(precision)
        assert weft.get_float32_matmul_precision() == precision
        assert gemm(np, a, b).tobytes() == before.tobytes()

    def test_unknown(self):
        with pytest.raises(ValueError, match=r"`precision` must be 'highest', 'high' or 'medium', got 'low'"):
            weft.set_float32_matmul_precision("low")

    @pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
    def test_layers_follow_it(self):
        """Forward and backward, with the errors of 10 bits; and what was captured before is not replayed."""
        x = rng.standard_normal((16, 64)).astype("f")
        net = weft.layers.Linear(64, 32)
        exact = net(weft.tensor(x)).detach().numpy()
        net.to("emulator")
        step = weft.capture(lambda x: net(x))
        x = weft.tensor(x, device="emulator")
        for precision, low, high in (("highest", 0, 1e-6), ("high", 1e-5, 2e-3), ("highest", 0, 1e-6)):
            weft.set_float32_matmul_precision(precision)
            for _ in range(4):  # twice as usual, recorded, replayed
                assert low <= np.abs(step(x).detach().numpy() - exact).max() < high
        assert len(step._steps) == 2
