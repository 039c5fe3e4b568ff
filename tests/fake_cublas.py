"""cuBLAS and cublasLt as C functions that Python answers: what reaches them has passed through ctypes.

They keep the libraries' books (handles, descriptors, attributes of the right size, the workspace that a new stream takes
away, the algorithm that was found for this very request) and leave the arithmetic to `cublas_numpy.multiply`.
"""

import ctypes
import itertools
import threading
from ctypes import c_double, c_float, c_int, c_int64, c_size_t, c_uint64, c_void_p

import numpy as np

from weft.kernels.emulator import cublas_numpy
from weft.kernels.toolchain.cublas import Matrices

P, I = c_void_p, c_int
OPERAND = (P, I, I, c_int64)
HEADER = {  # the parameters in cublas_api.h and cublasLt.h of CUDA 13; enumerations are ints, handles are pointers
    "cublasCreate_v2": (P,),
    "cublasDestroy_v2": (P,),
    "cublasSetStream_v2": (P, P),
    "cublasSetWorkspace_v2": (P, P, c_size_t),
    "cublasSetMathMode": (P, I),
    "cublasSetAtomicsMode": (P, I),
    "cublasGemmStridedBatchedEx": (P, I, I, I, I, I, P, *OPERAND, *OPERAND, P, *OPERAND, I, I, I),
    "cublasLtMatmul": (P, P, P, P, P, P, P, P, P, P, P, P, P, P, c_size_t, P),
    "cublasLtMatmulAlgoGetHeuristic": (P, P, P, P, P, P, P, I, P, P),
    "cublasLtMatmulDescCreate": (P, I, I),
    "cublasLtMatmulDescSetAttribute": (P, I, P, c_size_t),
    "cublasLtMatmulDescDestroy": (P,),
    "cublasLtMatrixLayoutCreate": (P, I, c_uint64, c_uint64, c_int64),
    "cublasLtMatrixLayoutDestroy": (P,),
    "cublasLtMatmulPreferenceCreate": (P,),
    "cublasLtMatmulPreferenceSetAttribute": (P, I, P, c_size_t),
    "cublasLtMatmulPreferenceDestroy": (P,),
}
TRANSA, TRANSB, EPILOGUE, BIAS_POINTER, AUX_POINTER, AUX_LD = 3, 4, 7, 8, 11, 12
MAX_WORKSPACE, REDUCTIONS, ALIGNMENTS = 1, 3, (5, 6, 7, 8)  # of A, B, C and D
SIZES = {"MatmulDesc": {TRANSA: 4, TRANSB: 4, EPILOGUE: 4, BIAS_POINTER: 8, AUX_POINTER: 8, AUX_LD: 8},
         "MatmulPreference": {MAX_WORKSPACE: 8, REDUCTIONS: 4, **dict.fromkeys(ALIGNMENTS, 4)}}  # fmt: skip
SUCCESS, NOT_SUPPORTED = 0, 15
RESULT, STATE = 96, 72  # bytes of a cublasLtMatmulHeuristicResult_t, and where in it `state` is


class Fake:
    """The two libraries. `calls` are the names called; `has_algorithm` says what the heuristic answers."""

    def __init__(self, multiply=cublas_numpy.multiply):
        self.multiply = multiply
        self.calls, self.things, self.ids = [], {}, itertools.count(1000)
        self.error, self.lock = None, threading.RLock()
        self.stream = self.workspace = self.atomics = None  # of the last product
        self.has_algorithm = True
        self.functions = {name: ctypes.CFUNCTYPE(I, *types)(self.answer(name)) for name, types in HEADER.items()}

    def __getattr__(self, name):
        return self.functions[name]

    def answer(self, name):
        method = name.removeprefix("cublas").removesuffix("_v2")

        def answered(*args):
            with self.lock:  # threads may call, each for itself
                self.calls.append(name)
                try:
                    return getattr(type(self), method)(self, *args) or 0
                except Exception as error:  # which could not cross C
                    self.error = error
                    return 13

        return answered

    # --- books --------------------------------------------------------------------------------------------------------
    def new(self, where, **thing):
        number = next(self.ids)
        self.things[number] = thing
        c_void_p.from_address(where).value = number

    def set(self, what, number, attribute, value, size):
        assert size == SIZES[what][attribute], (what, attribute, size)
        self.things[number][attribute] = int.from_bytes(ctypes.string_at(value, size), "little")

    def Create(self, where):
        self.new(where, handle=True, stream=None, workspace=None, atomics=0)

    def Destroy(self, handle):
        assert self.things.pop(handle)["handle"]

    def SetStream(self, handle, stream):
        self.handle(handle).update(stream=stream, workspace=None)

    def SetWorkspace(self, handle, place, size):
        self.handle(handle)["workspace"] = place, size

    def handle(self, number):
        assert self.things[number]["handle"]
        return self.things[number]

    def SetMathMode(self, handle, mode):
        assert mode == 16  # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION

    def SetAtomicsMode(self, handle, mode):
        self.handle(handle)["atomics"] = mode

    def LtMatmulDescCreate(self, where, compute, scale):
        self.new(where, compute=compute, scale=scale)

    def LtMatrixLayoutCreate(self, where, kind, rows, columns, distance):
        assert distance >= rows > 0
        assert columns > 0
        self.new(where, kind=kind, shape=(rows, columns), distance=distance)

    def LtMatmulPreferenceCreate(self, where):
        self.new(where)

    def LtMatmulDescSetAttribute(self, *args):
        self.set("MatmulDesc", *args)

    def LtMatmulPreferenceSetAttribute(self, *args):
        self.set("MatmulPreference", *args)

    def LtMatmulDescDestroy(self, number):
        del self.things[number]

    LtMatrixLayoutDestroy = LtMatmulPreferenceDestroy = LtMatmulDescDestroy

    # --- products -----------------------------------------------------------------------------------------------------
    def GemmStridedBatchedEx(self, handle, op_a, op_b, m, n, k, alpha, *rest):
        a, b, (beta,), c, (count, compute, algorithm) = rest[:4], rest[4:8], rest[8:9], rest[9:13], rest[13:]
        own = self.handle(handle)
        self.stream, self.workspace, self.atomics = own["stream"], own["workspace"], own["atomics"]
        assert self.workspace is not None, "the stream was set, and the workspace not after it"
        assert algorithm == -1
        number = c_double if compute == 70 else c_float
        assert number.from_address(alpha).value == 1
        a, b, c = (Matrices(*x) for x in (a, b, c))
        sizes = op_a, op_b, m, n, k
        self.multiply(sizes, a, b, c, count, compute, number.from_address(beta).value)

    def request(self, operation, *layouts):
        """All that an algorithm is chosen by, but for pointers."""
        fixed = {k: v for k, v in self.things[operation].items() if k not in (BIAS_POINTER, AUX_POINTER)}
        return repr((sorted(fixed.items(), key=str), [self.things[x] for x in layouts]))

    def LtMatmulAlgoGetHeuristic(self, handle, operation, a, b, c, d, preference, wanted, results, found):
        wishes = self.things[preference]
        assert wanted == 1
        assert c == d
        assert self.handle(handle)
        if not self.has_algorithm:
            return NOT_SUPPORTED
        if self.things[c]["kind"] != 0:
            assert wishes[REDUCTIONS] == 2  # CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
        ctypes.memset(results, 0xFF, RESULT)
        pointers = {k: alignment(v) for k, v in self.things[operation].items() if k in (BIAS_POINTER, AUX_POINTER)}
        number = next(self.ids)
        self.things[number] = {
            "request": self.request(operation, a, b, c), "alignments": [wishes[k] for k in ALIGNMENTS[:3]],
            "pointers": pointers, "workspace": wishes[MAX_WORKSPACE],
        }  # fmt: skip
        assert wishes[ALIGNMENTS[2]] == wishes[ALIGNMENTS[3]]
        c_uint64.from_address(results).value = number
        c_int.from_address(results + STATE).value = 0
        c_int.from_address(found).value = 1
        return SUCCESS

    def LtMatmul(
        self, handle, operation, alpha, a, of_a, b, of_b, beta, c, of_c, d, of_d, algorithm, place, size, stream
    ):
        assert self.handle(handle)["stream"] == stream, "the handle of another stream"
        assert (c, of_c) == (d, of_d)
        assert (c_float.from_address(alpha).value, c_float.from_address(beta).value) == (1, 0)
        chosen, what = self.things[c_uint64.from_address(algorithm).value], self.things[operation]
        assert chosen["request"] == self.request(operation, of_a, of_b, of_c), "the algorithm of another product"
        for x, required in zip((a, b, c), chosen["alignments"]):
            assert x % required == 0, "less aligned than what the algorithm was chosen for"
        for k, required in chosen["pointers"].items():
            assert what[k] % required == 0, "less aligned than what the algorithm was chosen for"
        assert size >= chosen["workspace"]
        assert place % 256 == 0
        self.lt_stream, self.workspace = stream, (place, size)
        m, n = self.things[of_c]["shape"]
        k = self.things[of_a]["shape"][what[TRANSA] == 0]
        assert self.things[of_a]["shape"] == ((k, m) if what[TRANSA] else (m, k))
        assert self.things[of_b]["shape"] == ((n, k) if what[TRANSB] else (k, n))
        epilogue, aux = what[EPILOGUE], what.get(AUX_POINTER)
        if epilogue & 128:
            assert what[AUX_LD] == m
            assert m % 8 == 0
        operands = [
            Matrices(x, self.things[of]["kind"], self.things[of]["distance"])
            for x, of in ((a, of_a), (b, of_b), (c, of_c))
        ]
        sizes = what[TRANSA], what[TRANSB], m, n, k
        assert what["scale"] == 0
        self.multiply(sizes, *operands, 1, what["compute"], 0.0, epilogue, what.get(BIAS_POINTER), aux)


def alignment(place):
    return min(place & -place, 256)


def workspace():
    """1 KiB, aligned as CUDA's allocator does it."""
    raw = np.zeros(1024 + 256, np.uint8)
    start = -raw.ctypes.data % 256
    return raw[start : start + 1024]
