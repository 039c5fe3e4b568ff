"""What reaches the libraries through ctypes, by C functions that Python answers (`fake_cublas.py`); where they are installed,
that their headers and their descriptors agree; and where there is a GPU, what they compute."""

import contextlib
import ctypes
import gc
import importlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fake_cublas
import ml_dtypes
import numpy as np
import pytest

import weft
from weft.kernels import gemm
from weft.kernels.toolchain import cublas
from weft.kernels.toolchain.cublas import AUX, BIAS, COMPUTE_32F, DTYPES, GELU, RELU, Cublas, Matrices, N, T
from weft.kernels.toolchain.settings import settings


@pytest.fixture
def fake():
    fake = fake_cublas.Fake()
    yield fake
    assert fake.error is None


@pytest.fixture
def library(fake, monkeypatch):
    there = Cublas(fake, fake, fake_cublas.workspace)
    monkeypatch.setattr(there, "_current_stream", lambda: there.now)
    there.now = 11
    return there


def matrices(rows=8, columns=8, offset=0):
    """Columns first, at an address that is a multiple of 256, and then 4 bytes for each step of `offset`."""
    memory = np.zeros(4096, np.float32)
    start = -memory.ctypes.data // 4 % 64 + offset
    return Matrices(memory[start : start + rows * columns], 0, rows)


def ask(library, epilogue=BIAS, offsets=(0, 0, 0, 0)):
    a, b, c = (matrices(offset=o) for o in offsets[:3])
    return library.fused((N, T, 8, 8, 8), a, b, c, COMPUTE_32F, epilogue, matrices(8, 1, offsets[3]).array, None)


def test_types_are_those_of_the_header():
    assert cublas.PROTOTYPES == fake_cublas.HEADER


def test_each_stream_has_a_handle_and_a_workspace(fake, library):
    call = (N, N, 8, 8, 8), matrices(), matrices(), matrices(), 1, COMPUTE_32F, 0.0
    places = []
    for stream in (11, 12, 11, 12):
        library.now = stream
        fake.calls.clear()
        library.gemm(*call)
        assert fake.stream == stream
        places.append(fake.workspace)
        if len(places) <= 2:
            assert fake.calls[-3:] == ["cublasSetStream_v2", "cublasSetWorkspace_v2", "cublasGemmStridedBatchedEx"]
        else:
            assert fake.calls == ["cublasGemmStridedBatchedEx"]
    assert places[:2] == places[2:]
    assert places[0] != places[1]
    library.forget(12)
    library.forget(12)
    assert fake.calls[-1:] == ["cublasDestroy_v2"]
    assert fake.calls.count("cublasDestroy_v2") == 1
    assert list(library.places) == [11]


def test_threads_have_streams_of_one_name(fake, library):
    """cudaStreamPerThread: the same value in each thread, and another stream."""
    library.now = 2
    first = library.place()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(library.place).result()
    assert other is not first
    assert library.place() is first


def test_threads_on_streams_of_their_own(fake, monkeypatch):
    """All products of a thread are done with its stream's handle, in its stream's workspace."""
    found = []
    fake.multiply = lambda *request: found.append((fake.stream, fake.workspace))
    there, own = Cublas(fake, fake, fake_cublas.workspace), threading.local()
    monkeypatch.setattr(there, "_current_stream", lambda: own.stream)
    call = (N, N, 8, 8, 8), matrices(), matrices(), matrices(), 1, COMPUTE_32F, 0.0

    def work(stream):
        own.stream = stream
        for _ in range(20):
            there.gemm(*call)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(10, 18)))
    assert len(found) == 160
    assert len(set(found)) == len({place for _, place in found}) == len(there.places) == 8


def test_threads_that_need_a_place_at_once(fake, library):
    """One makes it, and the other takes that: a second handle would never be given back."""
    looked = threading.Barrier(2)

    class Places(dict):
        def get(self, key):
            found = super().get(key)
            if not library.lock._is_owned():
                looked.wait(120)
            return found

    library.places = Places()
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: library.place(), range(2))
    assert one is other
    assert fake.calls.count("cublasCreate_v2") == 1


def test_threads_with_products_of_one_kind(fake, library, monkeypatch):
    """They share what cublasLt was told of it, but for the addresses, which it is told before each."""
    found, call, told = [], library.call, threading.Barrier(2)
    fake.multiply = lambda sizes, a, b, c, *rest: found.append((a.array, rest[-2]))

    def and_wait(name, *args, **options):
        """Both have told where their vectors are before either multiplies, if nothing keeps them apart."""
        done = call(name, *args, **options)
        if name == "cublasLtMatmulDescSetAttribute":
            with contextlib.suppress(threading.BrokenBarrierError):
                told.wait(0.2)
        return done

    given = [(matrices(), matrices(8, 1).array) for _ in range(2)]

    def work(mine):
        a, vector = mine
        assert library.fused((N, T, 8, 8, 8), a, matrices(), matrices(), COMPUTE_32F, BIAS, vector, None)

    work(given[0])
    monkeypatch.setattr(library, "call", and_wait)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, given))
    assert sorted(found[1:]) == sorted((cublas.address(a.array), cublas.address(vector)) for a, vector in given)


def test_atomics_follow_the_setting(fake, library, monkeypatch):
    """Not allowed by default; said again only when the setting has changed."""
    call = (N, N, 8, 8, 8), matrices(), matrices(), matrices(), 1, COMPUTE_32F, 0.0
    for deterministic in (True, False, False, True):
        monkeypatch.setattr(settings, "deterministic", deterministic)
        library.gemm(*call)
        assert fake.atomics == (not deterministic)
    assert fake.calls.count("cublasSetAtomicsMode") == 2


def test_a_second_call_of_one_kind_is_one_product(fake, library):
    assert ask(library)
    library.now = 12
    library.place()
    fake.calls.clear()
    assert ask(library)
    assert fake.calls == ["cublasLtMatmulDescSetAttribute", "cublasLtMatmul"]  # where the bias is, and the product
    assert fake.lt_stream == 12


def test_an_algorithm_is_for_one_alignment(fake, library):
    for offsets in ((0, 0, 0, 0), (4, 0, 0, 0), (0, 2, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (8, 0, 0, 0), (16, 32, 0, 0)):
        assert ask(library, offsets=offsets)
    assert fake.calls.count("cublasLtMatmulAlgoGetHeuristic") == 7


def test_no_algorithm(fake, library):
    fake.has_algorithm = False
    assert not ask(library)
    assert not ask(library)
    assert fake.calls.count("cublasLtMatmulAlgoGetHeuristic") == 1
    assert "cublasLtMatmul" not in fake.calls


@pytest.mark.parametrize("status", [7, 13, 15])
def test_what_is_declined_and_what_fails(fake, library, monkeypatch, status):
    monkeypatch.setattr(fake_cublas.Fake, "LtMatmul", lambda *args: status)
    if status == 13:  # CUBLAS_STATUS_EXECUTION_FAILED
        with pytest.raises(RuntimeError, match="`cublasLtMatmul` failed with status 13"):
            ask(library)
    else:
        assert not ask(library)


def test_descriptors_are_given_back(fake, library):
    before = len(fake.things)
    assert ask(library)
    assert len(fake.things) > before
    library.plan.cache_clear()
    gc.collect()
    left = [thing for thing in fake.things.values() if "request" not in thing]  # algorithms live in the caller's memory
    assert [thing.get("handle") for thing in left] == [True]


def test_failure_is_named(library, monkeypatch):
    monkeypatch.setattr(fake_cublas.Fake, "SetMathMode", lambda *args: 7)
    with pytest.raises(RuntimeError, match="`cublasSetMathMode` failed with status 7"):
        library.place()


class TestInstalled:
    """Against the libraries themselves: their headers, and their descriptors, which need no GPU."""

    @pytest.fixture
    def header(self):
        folder = self.pathfinder().find_nvidia_header_directory("cublas")
        if folder is None:
            pytest.skip("nvidia-cublas is not installed")
        return "".join((Path(folder) / name).read_text() for name in ("cublas_api.h", "cublasLt.h"))

    def pathfinder(self):
        return pytest.importorskip("cuda.pathfinder")

    def test_descriptors(self):
        pathfinder = self.pathfinder()
        try:
            path = pathfinder.load_nvidia_dynamic_lib("cublasLt").abs_path
        except pathfinder.DynamicLibNotFoundError:
            pytest.skip("nvidia-cublas is not installed")
        there = object.__new__(Cublas)  # without a handle, for which a GPU is needed
        there.functions = {n: getattr(ctypes.CDLL(path), n) for n in cublas.PROTOTYPES if n.startswith("cublasLt")}
        for name, function in there.functions.items():
            function.argtypes = cublas.PROTOTYPES[name]
        shapes = (DTYPES["bfloat16"], 8, 16), (DTYPES["bfloat16"], 8, 16), (DTYPES["float32"], 8, 16)
        plan = cublas._Plan(there, (N, T, 8, 8, 8), shapes, COMPUTE_32F, GELU | AUX | BIAS)
        for pointer in cublas._POINTERS.values():
            plan.set("MatmulDesc", plan.operation, pointer, ctypes.c_void_p(256))

    def test_prototypes(self, header):
        assert ctypes.c_size_t is ctypes.c_uint64
        kinds = {"int": "i", "size_t": "u", "uint64_t": "u", "int64_t": "l", "long long int": "l"}
        codes = {fake_cublas.I: "i", fake_cublas.c_uint64: "u", fake_cublas.c_int64: "l"}
        for name, types in cublas.PROTOTYPES.items():
            found = re.search(rf"\b{name}\s*\(([^;]*)\);", re.sub(r"//[^\n]*|/\*.*?\*/", "", header, flags=re.S))
            declared = []
            for parameter in found.group(1).split(","):
                words = re.sub(r"\bconst\b", "", parameter).replace("*", " * ").replace("[]", " * ").split()
                kind = " ".join(words[:-1])
                pointer = "*" in words or kind in ("cublasHandle_t", "cudaStream_t") or kind.startswith("cublasLt")
                pointer = pointer and not kind.endswith("Attributes_t")
                declared.append("p" if pointer else kinds.get(kind, "i"))
            assert "".join(declared) == "".join(codes.get(t, "p") for t in types), name

    def test_numbers(self, header):
        for name, value in {
            "CUBLASLT_EPILOGUE_RELU": RELU,
            "CUBLASLT_EPILOGUE_BIAS": BIAS,
            "CUBLASLT_EPILOGUE_GELU": GELU,
            "CUBLASLT_EPILOGUE_BGRADB": cublas.BGRADB,
            "CUBLAS_COMPUTE_32F": COMPUTE_32F,
            "CUBLAS_COMPUTE_64F": cublas.COMPUTE_64F,
            "CUBLAS_COMPUTE_32F_FAST_TF32": cublas.COMPUTE_TF32,
            "CUBLAS_OP_N": N,
            "CUBLAS_OP_T": T,
            "CUBLASLT_MATMUL_DESC_TRANSA": cublas._TRANSA,
            "CUBLASLT_MATMUL_DESC_TRANSB": cublas._TRANSB,
            "CUBLASLT_MATMUL_DESC_EPILOGUE": cublas._EPILOGUE,
            "CUBLASLT_MATMUL_DESC_BIAS_POINTER": cublas._BIAS_POINTER,
            "CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER": cublas._AUX_POINTER,
            "CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD": cublas._AUX_LD,
            "CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES": cublas._MAX_WORKSPACE,
            "CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK": cublas._REDUCTIONS,
            "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES": cublas._ALIGNMENT_A,
            "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES": cublas._ALIGNMENT_B,
            "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES": cublas._ALIGNMENT_C,
            "CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES": cublas._ALIGNMENT_D,
            "CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE": cublas._IN_FLOAT32,
            "CUBLASLT_REDUCTION_SCHEME_MASK": cublas._IN_ANY,
            "CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION": cublas._FULL_SUMS,
            "CUBLAS_STATUS_INVALID_VALUE": cublas._DECLINED[0],
            "CUBLAS_STATUS_NOT_SUPPORTED": cublas._DECLINED[1],
        }.items():
            assert int(re.search(rf"\b{name}\s*=\s*(\w+)", header).group(1), 0) == value, name
        assert re.search(rf"\bCUBLASLT_EPILOGUE_GELU_AUX = \(CUBLASLT_EPILOGUE_GELU \| {AUX}\)", header)


@pytest.mark.gpu
@pytest.mark.skipif("cuda" not in weft.devices(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
class TestOnAGpu:
    """Sizes that cublasLt has algorithms for: that it takes them, and what comes out."""

    M, N, K = 96, 128, 64
    EXACT = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}

    @pytest.fixture(autouse=True)
    def factors(self, dtype):
        xp, rng = importlib.import_module("cupy"), np.random.default_rng(0)
        self.a, self.b, self.vector = (
            xp.asarray(rng.standard_normal(s).astype(dtype)) for s in ((self.M, self.K), (self.K, self.N), self.N)
        )
        self.product = self.a.get().astype(float) @ self.b.get().astype(float)
        self.out, self.aux = (xp.full((self.M, self.N), np.nan, dtype) for _ in range(2))
        yield
        weft.set_float32_matmul_precision("highest")

    def check(self, got, expected):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got.get().astype(float), expected, rtol=0, atol=self.EXACT[got.dtype.name] * scale)

    @pytest.mark.parametrize("epilogue", [BIAS, RELU, RELU | BIAS, GELU, GELU | BIAS, GELU | AUX, GELU | AUX | BIAS])
    def test_forward(self, epilogue):
        vector, aux = self.vector if epilogue & BIAS else None, self.aux if epilogue & AUX else None
        assert gemm.fused(self.a, self.b, epilogue, vector, aux, out=self.out)
        z = self.product + (0 if vector is None else vector.get().astype(float))
        if epilogue & AUX:
            self.check(aux, z)
        if epilogue & GELU:
            self.check(self.out, z * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))))
        else:
            self.check(self.out, np.maximum(z, 0) if epilogue & RELU else z)

    @pytest.mark.parametrize("to", ["own", np.float32])
    def test_sums(self, to):
        out, sums = (x.astype(self.a.dtype if to == "own" else to) for x in (self.out, self.out[:, 0]))
        assert gemm.fused(self.a, self.b, cublas.BGRADB, sums, out=out)
        self.check(out, self.product)
        self.check(sums, self.a.get().astype(float).sum(axis=1))
        before = out.get().tobytes(), sums.get().tobytes()
        assert gemm.fused(self.a, self.b, cublas.BGRADB, sums, out=out)
        assert before == (out.get().tobytes(), sums.get().tobytes())

    def test_relu_lets_nan_through(self):
        self.vector[3] = np.nan
        assert gemm.fused(self.a, self.b, RELU | BIAS, self.vector, out=self.out)
        assert np.isnan(self.out.get()[:, 3].astype(float)).all()

    def test_tf32(self, dtype):
        weft.set_float32_matmul_precision("high")
        error = np.abs(gemm.gemm(self.a, self.b).get() - self.product).max() / np.abs(self.product).max()
        assert error < self.EXACT[self.a.dtype.name] if dtype != np.float32 else 1e-5 < error < 2e-3

    def test_capture(self):
        f = weft.capture(lambda x: weft.layers.functional.linear(x, *parameters, activation="relu"))
        raw = self.a.get(), np.ascontiguousarray(self.b.get().T), self.vector.get()
        x, *parameters = (weft.asarray(v, device="cuda") for v in raw)
        for _ in range(4):
            self.check(f(x).data, np.maximum(self.product + self.vector.get().astype(float), 0))
        assert next(iter(f._steps.values())).graph is not None
