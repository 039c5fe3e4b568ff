"""Products of matrices as cuBLAS is asked for them, against NumPy's: layouts, stacks, dtypes, β; cuBLAS itself is played
by NumPy, from the same pointers, flags and distances."""

import ctypes
import itertools

import ml_dtypes
import numpy as np
import pytest

import weft
from weft.kernels import emulator
from weft.kernels import gemm as module
from weft.kernels.gemm import gemm, suits

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
rng = np.random.default_rng(0)


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


def test_transposed_views_are_not_copied(monkeypatch):
    a, b = (laid_out(rng.standard_normal((2, 7, 7)).astype("f"), "transposed") for _ in range(2))
    seen = []
    monkeypatch.setattr(
        module._Emulated, "gemm", lambda self, sizes, alpha, x, y, *rest: seen.append((sizes, x[0], y[0]))
    )
    gemm(a, b)
    ((sizes, x, y),) = seen
    assert sizes[:2] == (module._T, module._T)
    assert np.shares_memory(np.asarray(x), np.asarray(b))
    assert np.shares_memory(np.asarray(y), np.asarray(a))


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


def test_is_captured():
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


class TestCublas:
    """What the library is called with, by a library that notes it down."""

    @pytest.fixture
    def library(self, monkeypatch):
        class Library:
            calls = []

            def __getattr__(self, name):
                def call(*args):
                    self.calls.append((name, args))
                    return 7 if name == "fails" else 0

                return call

        class Pointer(np.ndarray):
            @property
            def data(self):
                return type("Memory", (), {"ptr": self.ctypes.data})()

        cublas = object.__new__(module._Cublas)
        cublas.library, cublas.handle, cublas.stream = Library(), ctypes.c_void_p(5), None
        cublas.workspace = np.zeros(4, np.uint8).view(Pointer)
        stream = type("Stream", (), {"ptr": 11})
        cupy = type("cupy", (), {"cuda": type("cuda", (), {"get_current_stream": staticmethod(lambda: stream)})})
        monkeypatch.setitem(__import__("sys").modules, "cupy", cupy)
        return cublas, [np.zeros((2, 3, 3), np.float16).view(Pointer) for _ in range(3)]

    def test_arguments(self, library):
        cublas, (a, b, c) = library
        for _ in range(2):
            cublas.gemm((0, 1, 3, 3, 3), 1.0, (a, 2, 3, 9), (b, 2, 4, 0), 1.0, (c, 2, 3, 9), 2, 68)
        names = [name for name, _ in cublas.library.calls]
        # the stream once, and the workspace after it: setting a stream takes the workspace away
        assert names == ["cublasSetStream_v2", "cublasSetWorkspace_v2", *["cublasGemmStridedBatchedEx"] * 2]
        args = cublas.library.calls[-1][1]
        plain = [getattr(v, "value", v) for v in args]
        assert plain[:6] == [5, 0, 1, 3, 3, 3]
        assert plain[7:11] == [a.ctypes.data, 2, 3, 9]
        assert plain[11:15] == [b.ctypes.data, 2, 4, 0]
        assert plain[16:] == [c.ctypes.data, 2, 3, 9, 2, 68, -1]
        assert [ctypes.cast(v, ctypes.POINTER(ctypes.c_float))[0] for v in (args[6], args[15])] == [1.0, 1.0]

    def test_failure_is_named(self):
        with pytest.raises(RuntimeError, match="`cublasGemm` failed with status 7"):
            module._Cublas._check(7, "cublasGemm")
