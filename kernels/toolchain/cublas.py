"""cuBLAS and cublasLt, called directly: for each stream a handle of our own, with a workspace of its own.

CuPy's handle takes no part in a capture, and its wrappers know no epilogues. Both libraries count columns first, so that
`gemm.py` asks for cᵀ = bᵀ aᵀ. `cublas_numpy.py` has the same two methods, on the same pointers, for machines with no GPU.
Numbers and prototypes are those of NVIDIA's headers cublas_api.h and cublasLt.h (CUDA 13).
"""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_int64, c_size_t, c_uint64, c_void_p, sizeof
from typing import Any, NamedTuple

import numpy as np

from .settings import settings

__all__ = ["Cublas", "Matrices", "cublas"]

DTYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}  # cudaDataType_t: CUDA_R_32F, 64F, 16F, 16BF
COMPUTE_32F, COMPUTE_64F, COMPUTE_TF32 = 68, 70, 77  # cublasComputeType_t: sums in this; factors rounded to TF32
N, T = 0, 1  # cublasOperation_t
RELU, BIAS, GELU, AUX, BGRADB = 2, 4, 32, 128, 512  # cublasLtEpilogue_t; the first four add up

_WORKSPACE = 32 << 20  # bytes; what NVIDIA recommends for Hopper
_OF_THREAD = 2  # cudaStreamPerThread: one value, and a stream for each thread
_PLANS = 4096  # that are kept: a model has a few for each layer and batch size
_DECLINED = 7, 15  # cublasStatus_t: INVALID_VALUE and NOT_SUPPORTED, after which nothing has been done
_FULL_SUMS = 16  # cublasMath_t: the parts of a long sum, too, are added in float32, for half precision
_ONE, _ZERO = c_float(1), c_float(0)

# cublasLtMatmulDescAttributes_t, cublasLtMatmulPreferenceAttributes_t, cublasLtReductionScheme_t
_TRANSA, _TRANSB, _EPILOGUE, _BIAS_POINTER, _AUX_POINTER, _AUX_LD = 3, 4, 7, 8, 11, 12
_MAX_WORKSPACE, _REDUCTIONS, _ALIGNMENT_A, _ALIGNMENT_B, _ALIGNMENT_C, _ALIGNMENT_D = 1, 3, 5, 6, 7, 8
_IN_FLOAT32, _IN_ANY = 2, 7  # how the parts of a long sum are added, see _FULL_SUMS

_OPERAND = (c_void_p, c_int, c_int, c_int64)
PROTOTYPES: dict[str, tuple] = {
    "cublasCreate_v2": (c_void_p,),
    "cublasDestroy_v2": (c_void_p,),
    "cublasSetStream_v2": (c_void_p, c_void_p),
    "cublasSetWorkspace_v2": (c_void_p, c_void_p, c_size_t),
    "cublasSetMathMode": (c_void_p, c_int),
    "cublasSetAtomicsMode": (c_void_p, c_int),
    "cublasGemmStridedBatchedEx": (
        c_void_p, *(c_int,) * 5, c_void_p, *_OPERAND, *_OPERAND, c_void_p, *_OPERAND, c_int, c_int, c_int
    ),
    "cublasLtMatmul": (c_void_p,) * 14 + (c_size_t, c_void_p),
    "cublasLtMatmulAlgoGetHeuristic": (*(c_void_p,) * 7, c_int, c_void_p, c_void_p),
    "cublasLtMatmulDescCreate": (c_void_p, c_int, c_int),
    "cublasLtMatmulDescSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "cublasLtMatmulDescDestroy": (c_void_p,),
    "cublasLtMatrixLayoutCreate": (c_void_p, c_int, c_uint64, c_uint64, c_int64),
    "cublasLtMatrixLayoutDestroy": (c_void_p,),
    "cublasLtMatmulPreferenceCreate": (c_void_p,),
    "cublasLtMatmulPreferenceSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "cublasLtMatmulPreferenceDestroy": (c_void_p,),
}  # fmt: skip


class Matrices(NamedTuple):
    """Matrices in memory, columns first, as the libraries are told of them."""

    array: Any
    kind: int  # of number, see DTYPES
    distance: int  # of columns, in elements
    step: int = 0  # from one matrix of a stack to the next; 0 for the same again


class Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = [("algorithm", c_uint64 * 8), ("workspace", c_size_t), ("state", c_int), ("waves", c_float),
                ("reserved", c_int * 4)]  # fmt: skip


def address(x: Any) -> int:
    """Where an array's first element is."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


class _Place:
    """What products on one stream have to themselves: a handle that is set to it, and the memory that they work in."""

    def __init__(self, library: Cublas, stream: int):
        self.workspace = library.make_workspace()
        self.handle = c_void_p()  # which cublasLt takes for one of its own
        library.call("cublasCreate_v2", byref(self.handle))
        library.call("cublasSetMathMode", self.handle, _FULL_SUMS)
        library.call("cublasSetStream_v2", self.handle, stream)  # before the workspace, which it takes away
        library.call("cublasSetWorkspace_v2", self.handle, address(self.workspace), self.workspace.nbytes)
        self.atomics = False  # as cuBLAS has it


class Cublas:
    """Both libraries for one device.

    Products on different streams run at the same time, and so may the threads that ask for them: each stream has a `_Place`
    from its first product on, until `forget`. `make_workspace()` allocates on the current stream.
    """

    def __init__(self, cublas: Any, cublas_lt: Any, make_workspace: Callable[[], Any]):
        self.make_workspace = make_workspace
        self.places: dict[Any, _Place] = {}
        self.lock = threading.RLock()  # around what is made once for all, and changed for a call
        self.functions: dict[str, Any] = {}
        for name, types in PROTOTYPES.items():
            self.functions[name] = function = getattr(cublas_lt if name.startswith("cublasLt") else cublas, name)
            function.argtypes = types
        self.plan = functools.lru_cache(_PLANS)(functools.partial(_plan, self))

    def call(self, name: str, *args: Any, may_decline: bool = False) -> bool:
        """Whether it was done; it may be declined, or RuntimeError says what failed."""
        status = self.functions[name](*args)
        if status and not (may_decline and status in _DECLINED):
            raise RuntimeError(f"`{name}` failed with status {status} (cublasStatus_t in NVIDIA's documentation)")
        return status == 0

    def gemm(self, sizes: tuple, a: Matrices, b: Matrices, c: Matrices, count: int, compute: int, beta: float) -> None:
        """C = op(A) op(B) + β C for stacks of `count`; `sizes` are (op of A, op of B, m, n, k), C being m × n."""
        place = self.place()
        if place.atomics == settings.deterministic:
            place.atomics = not settings.deterministic
            self.call("cublasSetAtomicsMode", place.handle, place.atomics)
        number = ctypes.c_double if compute == COMPUTE_64F else c_float
        operands = [(address(x), kind, distance, step) for x, kind, distance, step in (a, b, c)]
        self.call(
            "cublasGemmStridedBatchedEx",
            place.handle,
            *sizes,
            byref(number(1)),
            *operands[0],
            *operands[1],
            byref(number(beta)),
            *operands[2],
            count,
            compute,
            -1,
        )

    def fused(
        self, sizes: tuple, a: Matrices, b: Matrices, c: Matrices, compute: int, epilogue: int, vector: Any, aux: Any
    ) -> bool:
        """C = epilogue(op(A) op(B)), one matrix each; False, and nothing done, where cublasLt has no algorithm for that.

        BIAS adds `vector` (m) to each column, RELU and GELU (the form with tanh) come after it, and AUX writes the input of
        GELU to `aux` (m × n). BGRADB is another thing: `vector` (n) becomes the sum of op(B) over k.
        """
        pointers = {"vector": vector, "aux": aux}
        places = {name: address(x) for name, x in pointers.items() if x is not None}
        at = [address(x.array) for x in (a, b, c)]
        shapes = tuple((x.kind, x.distance, _alignment(place)) for x, place in zip((a, b, c), at))
        with self.lock:  # a plan has one description, which each call completes
            plan = self.plan(sizes, shapes, compute, epilogue, tuple((k, _alignment(v)) for k, v in places.items()))
            return plan is not None and plan.run(at, places, self._current_stream())

    def place(self) -> _Place:
        """The current stream's, made where it has none: before a recording begins, which may not allocate."""
        stream = self._current_stream()
        key = (stream, threading.get_ident()) if stream == _OF_THREAD else stream
        if (found := self.places.get(key)) is None:
            with self.lock:  # another thread may have made it while this one waited
                if (found := self.places.get(key)) is None:
                    found = self.places[key] = _Place(self, stream)
        return found

    def forget(self, stream: int) -> None:
        """Give back what a stream had, as it is no more: another may get its address."""
        with self.lock:
            if (place := self.places.pop(stream, None)) is not None:
                self.call("cublasDestroy_v2", place.handle)

    @staticmethod
    def _current_stream() -> int:
        import cupy

        return cupy.cuda.get_current_stream().ptr


def _alignment(place: int) -> int:
    """The largest power of two that divides an address, up to the 256 beyond which it makes no difference."""
    return min(place & -place, 256)


# --- cublasLt ---------------------------------------------------------------------------------------------------------
_POINTERS = {"vector": _BIAS_POINTER, "aux": _AUX_POINTER}


class _Plan:
    """What cublasLt is told once for products of one kind: layouts, epilogue, and the algorithm of its choice."""

    def __init__(self, library: Cublas, sizes: tuple, shapes: tuple, compute: int, epilogue: int):
        self.library = library
        op_a, op_b, m, n, k = sizes
        self.operation = self._new("MatmulDesc", compute, DTYPES["float32"])
        for attribute, value in ((_TRANSA, op_a), (_TRANSB, op_b), (_EPILOGUE, epilogue)):
            self.set("MatmulDesc", self.operation, attribute, c_int(value))
        if epilogue & AUX:
            self.set("MatmulDesc", self.operation, _AUX_LD, c_int64(m))
        stored = ((m, k) if op_a == N else (k, m), (k, n) if op_b == N else (n, k), (m, n))
        self.layouts = [
            self._new("MatrixLayout", kind, *shape, distance) for (kind, distance, _), shape in zip(shapes, stored)
        ]
        self.algorithm = Heuristic()

    def _new(self, what: str, *args: Any) -> c_void_p:
        made = c_void_p()
        self.library.call(f"cublasLt{what}Create", byref(made), *args)
        weakref.finalize(self, self.library.functions[f"cublasLt{what}Destroy"], made)
        return made

    def set(self, what: str, of: c_void_p, attribute: int, value: Any) -> None:
        self.library.call(f"cublasLt{what}SetAttribute", of, attribute, byref(value), sizeof(value))

    def search(self, shapes: tuple) -> bool:
        """Ask for the algorithm; whether there is one."""
        preference, found, place = self._new("MatmulPreference"), c_int(), self.library.place()
        (*_, of_a), (*_, of_b), (kind, _, of_c) = shapes
        wanted = {
            _MAX_WORKSPACE: c_uint64(place.workspace.nbytes),
            _REDUCTIONS: c_int(_IN_ANY if kind == DTYPES["float32"] else _IN_FLOAT32),
            _ALIGNMENT_A: c_int(of_a),
            _ALIGNMENT_B: c_int(of_b),
            _ALIGNMENT_C: c_int(of_c),
            _ALIGNMENT_D: c_int(of_c),
        }
        for attribute, value in wanted.items():
            self.set("MatmulPreference", preference, attribute, value)
        done = self.library.call(
            "cublasLtMatmulAlgoGetHeuristic",
            place.handle,
            self.operation,
            *self.layouts,
            self.layouts[2],
            preference,
            1,
            byref(self.algorithm),
            byref(found),
            may_decline=True,
        )
        return done and found.value > 0 and self.algorithm.state == 0

    def run(self, at: list[int], places: dict[str, int], stream: int) -> bool:
        for name, place in places.items():
            self.set("MatmulDesc", self.operation, _POINTERS[name], c_void_p(place))
        (a, b, c), (of_a, of_b, of_c), library, own = at, self.layouts, self.library, self.library.place()
        return library.call(
            "cublasLtMatmul",
            own.handle,
            self.operation,
            byref(_ONE),
            a,
            of_a,
            b,
            of_b,
            byref(_ZERO),
            c,
            of_c,
            c,
            of_c,
            byref(self.algorithm),
            address(own.workspace),
            own.workspace.nbytes,
            stream,
            may_decline=True,
        )


def _plan(library: Cublas, sizes: tuple, shapes: tuple, compute: int, epilogue: int, aligned: tuple) -> _Plan | None:
    """The plan for matrices of (kind, distance, alignment), or None where cublasLt has no algorithm."""
    plan = _Plan(library, sizes, shapes, compute, epilogue)
    for name, alignment in aligned:  # of a pointer, the search looks at nothing else
        plan.set("MatmulDesc", plan.operation, _POINTERS[name], c_void_p(alignment))
    return plan if plan.search(shapes) else None


# --- the library of the current device --------------------------------------------------------------------------------
_opened: dict[int, Cublas] = {}
_opening = threading.Lock()


def cublas() -> Cublas:
    """The libraries for the current device, opened when first asked for."""
    import cupy

    device = cupy.cuda.runtime.getDevice()
    if device not in _opened:
        with _opening:
            if device not in _opened:
                from cuda import pathfinder

                lt, blas = (ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib(n).abs_path) for n in ("cublasLt", "cublas"))
                _opened[device] = Cublas(blas, lt, lambda: cupy.empty(_WORKSPACE, np.uint8))
    return _opened[device]
