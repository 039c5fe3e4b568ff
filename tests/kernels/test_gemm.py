"""Products of matrices as cuBLAS is asked for them, against NumPy's: layouts, stacks, dtypes, β, epilogues. cuBLAS itself is
played by NumPy, from the same pointers, flags and distances, asked directly and through ctypes."""

import itertools

import fake_cublas
import ml_dtypes
import numpy as np
import pytest

import weft
from weft.kernels import emulator
from weft.kernels import gemm as module
from weft.kernels.gemm import fused, gemm, suits
from weft.kernels.toolchain import cublas
from weft.kernels.toolchain.cublas import AUX, BGRADB, BIAS, GELU, RELU

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
rng = np.random.default_rng(0)


@pytest.fixture(params=["NumPy", "ctypes"], autouse=True)
def library(request, monkeypatch):
    """Both ways to the arithmetic: `cublas_numpy`, and `cublas` with C functions that lead there."""
    if request.param == "NumPy":
        yield module.engine_of(np.zeros(1)).blas()
        return
    fake = fake_cublas.Fake()
    there = cublas.Cublas(fake, fake, fake_cublas.workspace)
    monkeypatch.setattr(there, "_current_stream", lambda: 11)
    monkeypatch.setattr(module, "_library", lambda c: there)
    yield there
    assert fake.error is None


def device(a):
    return emulator.namespace.asarray(a)


def laid_out(a, layout):
    """The same matrices on the device: as they are, transposed in memory, with gaps, or backwards."""
    if layout == "plain":
        return device(a)
    if layout == "transposed":
        return device(np.ascontiguousarray(a.mT)).mT
    if layout == "gaps":
        wide = device(np.zeros((*a.shape[:-2], a.shape[-2] + 2, a.shape[-1] + 3), a.dtype))
        view = wide[..., 1 : a.shape[-2] + 1, 2 : a.shape[-1] + 2]
    elif layout == "scattered":
        view = device(np.zeros([2 * n for n in a.shape], a.dtype))[tuple(slice(None, None, 2) for _ in a.shape)]
    else:
        view = device(np.zeros(a.shape, a.dtype))[..., ::-1, :]
    view[...] = device(a)
    return view


def tolerance(dtype):
    return {"float32": 1e-5, "float64": 1e-13, "float16": 2e-3, "bfloat16": 2e-2}[np.dtype(dtype).name]


def check(got, expected, dtype):
    got = got.get().astype(np.float64)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=tolerance(dtype) * max(1, np.abs(expected).max(initial=0)))


SHAPES = [
    ((3, 4), (4, 5)), ((1, 4), (4, 1)), ((33, 31), (31, 32)), ((3, 0), (0, 5)), ((0, 4), (4, 5)), ((3, 4), (4, 0)),
    ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((3, 4), (2, 4, 5)), ((1, 3, 4), (6, 4, 5)), ((6, 1, 3, 4), (2, 4, 5)),
    ((2, 6, 3, 4), (2, 6, 4, 5)), ((0, 3, 4), (0, 4, 5)), ((5, 1, 1), (5, 1, 7)), ((2, 3, 0), (0, 5)), ((2, 3, 4), (4, 0)),
    ((2, 3, 0), (2, 0, 5)), ((3, 1, 2, 2), (2, 0)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)), ((0,), (0,)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("s", "t"), SHAPES)
def test_shapes(s, t, dtype):
    a, b = rng.standard_normal(s).astype(dtype), rng.standard_normal(t).astype(dtype)
    expected = a.astype(float) @ b.astype(float)
    got = gemm(device(a), device(b))
    assert got.dtype == dtype
    check(got, expected, dtype)


@pytest.mark.parametrize(
    "layouts", list(itertools.product(["plain", "transposed", "gaps", "scattered", "backwards"], repeat=2))
)
@pytest.mark.parametrize(("s", "t"), [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((1, 4), (4, 3)), ((3, 1), (1, 4))])
def test_layouts(s, t, layouts):
    a, b = rng.standard_normal(s).astype("f"), rng.standard_normal(t).astype("f")
    check(gemm(laid_out(a, layouts[0]), laid_out(b, layouts[1])), a.astype(float) @ b, "float32")


def test_transposed_views_are_not_copied(library, monkeypatch):
    a, b = (laid_out(rng.standard_normal((2, 7, 7)).astype("f"), "transposed") for _ in range(2))
    seen = []
    monkeypatch.setattr(type(library), "gemm", lambda self, sizes, x, y, *rest: seen.append((sizes, x, y)))
    gemm(a, b)
    ((sizes, x, y),) = seen
    assert sizes[:2] == (cublas.T, cublas.T)
    assert np.shares_memory(np.asarray(x.array), np.asarray(b))
    assert np.shares_memory(np.asarray(y.array), np.asarray(a))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("layout", ["plain", "transposed", "gaps", "scattered"])
@pytest.mark.parametrize(("s", "t"), [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5))])
@pytest.mark.parametrize(
    ("dtype", "to"), [("f", "f"), (np.float16, np.float16), (np.float16, "f"), (ml_dtypes.bfloat16, "f")]
)
def test_out(s, t, layout, accumulate, dtype, to):
    a, b = rng.standard_normal(s).astype(dtype), rng.standard_normal(t).astype(dtype)
    product = a.astype(float) @ b.astype(float)
    before = rng.standard_normal(product.shape).astype(to)
    out = laid_out(before, layout)
    assert gemm(device(a), device(b), out=out, accumulate=accumulate) is out
    check(out, product + before.astype(float) * accumulate, dtype)


def test_nan_in_out_does_not_count_unless_added():
    out = device(np.full((2, 2), np.nan, "f"))
    gemm(device(np.eye(2, dtype="f")), device(np.eye(2, dtype="f")), out=out)
    assert out.get().tolist() == [[1, 0], [0, 1]]


def test_half_precision_is_summed_in_float32():
    a = np.concatenate([np.full((1, 1), 2048), np.ones((1, 256))], axis=1).astype(np.float16)
    assert gemm(device(a), device(np.ones((257, 1), np.float16))).item() == 2304


@pytest.mark.parametrize("library", ["NumPy"], indirect=True)
def test_is_captured(library):
    a, b = device(np.ones((2, 3), "f")), device(np.ones((3, 2), "f"))
    with emulator.capture() as graph:
        c = gemm(a, b)
        gemm(a, b, out=c, accumulate=True)
    a[...] = 2.0
    graph.launch()
    assert c.get().tolist() == [[12, 12], [12, 12]]


def test_what_suits():
    x = device(np.zeros((2, 2), "f"))
    assert suits(x, x)
    assert suits(x.astype(np.float16), x.astype(np.float16), x)
    assert not suits(x, x.astype(np.float16))
    assert suits(x[0], x)
    assert not suits(x[0], x, x[0])
    assert not suits(x.astype(np.int32), x.astype(np.int32))
    assert not suits(x, x, x.astype(np.float64))


@pytest.mark.parametrize("precision", ["high", "medium"])
class TestTF32:
    @pytest.fixture(autouse=True)
    def allowed(self, precision):
        weft.set_float32_matmul_precision(precision)
        yield
        weft.set_float32_matmul_precision("highest")

    def test_factors_are_rounded_sums_are_not(self):
        fine, coarse = 1 + 2.0**-11, 1 + 2.0**-10  # the first lies halfway between two numbers of TF32
        a = device(np.array([[fine, -fine, 2048.0], [coarse, 0, 0]], "f"))
        b = device(np.array([[1, 0], [0, 1], [fine, 0.25]], "f"))
        assert gemm(a, b).get().tolist() == [[coarse + 2048 * coarse, -coarse + 512], [coarse, 0]]

    def test_error(self):
        a, b = rng.standard_normal((64, 256)).astype("f"), rng.standard_normal((256, 64)).astype("f")
        error = np.abs(gemm(device(a), device(b)).get() - a.astype(float) @ b).max() / 16
        assert 1e-5 < error < 2e-3

    @pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
    def test_other_dtypes_are_not_concerned(self, dtype, library, monkeypatch):
        asked = []
        monkeypatch.setattr(type(library), "gemm", lambda self, *args: asked.append(args[5]))
        for kind in (dtype, np.float32):
            gemm(device(np.ones((5, 7), kind)), device(np.ones((7, 3), kind)))
        assert asked == [cublas.COMPUTE_64F if dtype == np.float64 else cublas.COMPUTE_32F, cublas.COMPUTE_TF32]


def tanh_gelu(z):
    return z * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


@pytest.mark.parametrize("dtype", ["f", np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("layouts", [("plain", "transposed"), ("gaps", "plain"), ("scattered", "gaps")])
class TestFused:
    M, N, K = 5, 16, 7

    @pytest.fixture
    def factors(self, layouts, dtype):
        a, b = rng.standard_normal((self.M, self.K)), rng.standard_normal((self.K, self.N))
        a, b = a.astype(dtype), b.astype(dtype)
        return laid_out(a, layouts[0]), laid_out(b, layouts[1]), a.astype(float) @ b.astype(float)

    @pytest.mark.parametrize(
        ("name", "f", "has_bias"),
        [
            (0, lambda z: z, True), (RELU, lambda z: np.maximum(z, 0), True), (GELU, tanh_gelu, True),
            (RELU, lambda z: np.maximum(z, 0), False), (GELU, tanh_gelu, False),
        ],
    )  # fmt: skip
    def test_bias_and_activation(self, factors, dtype, name, f, has_bias):
        a, b, product = factors
        vector = rng.standard_normal(self.N).astype(dtype)
        z = product + vector.astype(float) * has_bias
        out = emulator.poisoned((self.M, self.N), dtype).view(emulator.Array)
        assert fused(a, b, name | BIAS * has_bias, device(vector) if has_bias else None, out=out)
        check(out, f(z), dtype)

    def test_what_gelu_is_applied_to_is_kept(self, factors, dtype):
        a, b, product = factors
        vector = rng.standard_normal(self.N).astype(dtype)
        out, aux = (emulator.poisoned((self.M, self.N), dtype).view(emulator.Array) for _ in range(2))
        assert fused(a, b, GELU | AUX | BIAS, device(vector), aux, out=out)
        check(aux, product + vector.astype(float), dtype)
        check(out, tanh_gelu(product + vector.astype(float)), dtype)

    def test_sums_of_rows(self, factors, dtype):
        a, b, product = factors
        out = emulator.poisoned((self.M, self.N), dtype).view(emulator.Array)
        vector = emulator.poisoned(self.M, dtype).view(emulator.Array)
        assert fused(a, b, BGRADB, vector, out=out)
        check(out, product, dtype)
        check(vector, a.get().astype(float).sum(axis=1), dtype)

    def test_halves_into_float32(self, factors, dtype):
        a, b, product = factors
        out = emulator.poisoned((self.M, self.N), np.float32).view(emulator.Array)
        vector = emulator.poisoned(self.M, np.float32).view(emulator.Array)
        assert fused(a, b, BGRADB, vector, out=out)
        check(out, product, "float32")
        check(vector, a.get().astype(float).sum(axis=1), "float32")


def test_fused_declines_what_it_has_no_way_for():
    a, b, v = (device(np.ones(s, "f")) for s in ((3, 4), (4, 5), 5))
    assert not fused(a, b, BIAS, v, out=laid_out(np.ones((3, 5), "f"), "transposed"))
    for m, k, n in ((0, 4, 5), (3, 0, 5), (3, 4, 0)):
        assert not fused(a[:m, :k], b[:k, :n], BIAS, v[:n], out=device(np.ones((m, n), "f")))
