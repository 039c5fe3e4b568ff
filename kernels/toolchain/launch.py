"""How kernels are named, instantiated and launched: the same call runs on a GPU (CuPy arrays) or in the emulator (NumPy).

    forward = Kernel("normalization.cu", "layer_norm_forward", FLOATS, (128, 256))     # template <typename T, int THREADS>
    forward[x.dtype, 256](grid, 256, x, weight, y, np.int64(rows), np.float32(eps))

What runs a kernel is an *engine*, which registers itself here: `compiler` for CuPy's arrays, the emulator for NumPy's.
Arrays are passed as pointers to their first element, None as the null pointer; numbers must be NumPy scalars of the
declared type, because a launch copies bytes and checks nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np

__all__ = [
    "FLOATS",
    "HALVES",
    "KERNELS",
    "Engine",
    "Instance",
    "Kernel",
    "access_width",
    "contiguous",
    "empty",
    "engine_of",
    "expressions",
    "is_access_width",
    "library_of",
    "on_16_bytes",
    "register_engine",
    "vector_width",
]

HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
FLOATS = (np.dtype(np.float32), *HALVES)

KERNELS: list[Kernel] = []  # every kernel of every family that has been imported
_expressions: dict[str, tuple[str, ...]] = {}  # what `expressions` has found, by source


class Engine(Protocol):
    """What runs kernels on the arrays of one library."""

    def prepare(
        self, instance: Instance, grid: tuple[int, int, int], block: tuple[int, int, int], args: tuple, shared: int
    ) -> Callable[[], None]:
        """The launch as a function without arguments."""

    def library(self, array: Any) -> Any:
        """NumPy, or what has its functions for this array."""

    def empty(self, shape: Any, dtype: Any, like: Any) -> Any:
        """A new array beside `like`."""

    def address(self, array: Any) -> int:
        """Where the array's memory begins."""

    def blas(self) -> Any:
        """What multiplies matrices: an object with the methods of `cublas.Cublas`."""


_engines: dict[str, Engine] = {}
_MODULES = {"numpy": "weft.kernels.emulator", "cupy": "weft.kernels.toolchain.compiler"}


def register_engine(library: str, engine: Engine) -> None:
    """Have kernels run by `engine` on the arrays of "numpy" or "cupy"."""
    _engines[library] = engine


def engine_of(array: Any) -> Engine:
    """What runs kernels on this array; RuntimeError while its module has not been imported."""
    library = "numpy" if isinstance(array, np.ndarray) else "cupy"
    try:
        return _engines[library]
    except KeyError:
        raise RuntimeError(f"nothing runs kernels on {library}'s arrays yet: import {_MODULES[library]}") from None


_CPP = {
    "float32": "float",
    "float64": "double",
    "float16": "__half",
    "bfloat16": "__nv_bfloat16",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "long long",
    "uint64": "unsigned long long",
    "bool": "bool",
}


def cpp(value: Any) -> str:
    """A template argument in C++: dtypes become types, numbers and truth values literals, strings stay as they are."""
    if isinstance(value, np.dtype):
        return _CPP[value.name]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class Kernel:
    """One `__global__` function of a `.cu` file and the instantiations of it that exist.

    Parameters
    ----------
    source
        The file's name among the kernels, or the absolute path of one of your own.
    name
        What the function is called there.
    *axes
        The values that each template parameter takes, in order: dtypes, integers, truth values, or C++ text. All
        combinations exist.
    only
        Where given, those combinations alone for which `only(*values)` is true.
    options
        For the compiler; they are those of the whole source.

    Examples
    --------
    >>> from weft.kernels.toolchain.launch import FLOATS
    >>> from weft.kernels.activation import activation_forward
    >>> activation_forward[FLOATS[0], "Relu"]
    <activation_forward<float, Relu> of activation.cu>
    """

    def __init__(
        self,
        source: str | Path,
        name: str,
        *axes: Iterable[Any],
        only: Callable[..., bool] | None = None,
        options: tuple[str, ...] = (),
    ):
        self.source, self.name, self.options = str(source), name, options
        keys = [key for key in itertools.product(*axes) if only is None or only(*key)]
        self.instances: dict[tuple, Instance] = {key: Instance(self, key) for key in keys}
        KERNELS.append(self)
        _expressions.pop(self.source, None)

    def __getitem__(self, key: Any) -> Instance:
        """The instantiation with these template arguments; KeyError where there is none."""
        try:
            return self.instances[key if isinstance(key, tuple) else (key,)]
        except KeyError:
            raise KeyError(f"`{self.name}` has no instantiation {key!r}; see weft info --kernels") from None

    def __call__(self, grid: Any, block: Any, *args: Any, shared: int = 0) -> None:
        """Launch a kernel that is no template, as `Instance.__call__` does; TypeError of one that is."""
        if () not in self.instances:
            first = ", ".join(map(repr, next(iter(self.instances), ("…",))))
            raise TypeError(
                f"`{self.name}` is a template: choose its arguments first, {self.name}[{first}](grid, block, …)"
            )
        self.instances[()](grid, block, *args, shared=shared)

    def __repr__(self) -> str:
        return f"<Kernel {self.name} of {self.source}: {len(self.instances)} instantiations>"


class Instance:
    """A kernel with its template arguments: what is compiled and launched."""

    def __init__(self, kernel: Kernel, key: tuple):
        self.kernel, self.source, self.options = kernel, kernel.source, kernel.options
        self.expression = f"{kernel.name}<{', '.join(map(cpp, key))}>" if key else kernel.name

    def __call__(self, grid: Any, block: Any, *args: Any, shared: int = 0) -> None:
        """Run. On a GPU this returns at once, in the emulator when the kernel is done.

        Parameters
        ----------
        grid, block
            How many blocks, and of how many threads: an int, or up to three. A grid with a zero in it launches nothing.
        *args
            The kernel's arguments: arrays, contiguous where the kernel takes them for that; None, the null pointer; NumPy
            scalars of the declared types.
        shared
            Bytes of dynamic shared memory.

        Raises
        ------
        TypeError
            For any other argument, and where none is an array, which tells the device; in the emulator, also for one that
            is not of the type which the kernel declares.
        ValueError
            In the emulator, for what is beyond CUDA's limits, or a read-only array that is written to.
        KernelFault
            In the emulator, for whatever its checks find.
        """
        self.prepare(grid, block, *args, shared=shared)()

    def prepare(self, grid: Any, block: Any, *args: Any, shared: int = 0) -> Callable[[], None]:
        """The launch as a function without arguments: what can be checked and converted is, once.

        Takes and raises what a launch does.
        """
        grid, block = _triple(grid), _triple(block)
        if 0 in grid:
            return lambda: None
        for i, a in enumerate(args):
            if isinstance(a, _NUMBERS) and not isinstance(a, np.generic):
                raise TypeError(
                    f"argument {i} of `{self.expression}` must be a NumPy scalar, got {a!r}; wrap it in its type"
                )
        array = next((a for a in args if isinstance(a, np.ndarray)), None)
        if array is None:
            array = next((getattr(a, "array", a) for a in args if not isinstance(a, _NO_ARRAYS)), None)  # a TensorMap's
        if array is None:
            raise TypeError(
                f"`{self.expression}` must be given an array, which tells where it runs (NumPy's in the emulator, CuPy's on the "
                f"GPU), got {args}; add one, which the kernel need not read"
            )
        return engine_of(array).prepare(self, grid, block, args, shared)

    def __repr__(self) -> str:
        return f"<{self.expression} of {self.source}>"


_NUMBERS = (int, float)
_NO_ARRAYS = (np.generic, type(None))


def _triple(n: Any) -> tuple[int, int, int]:
    x, y, z = (*n, 1, 1)[:3] if isinstance(n, tuple) else (n, 1, 1)
    return int(x), int(y), int(z)


def expressions(source: str) -> tuple[str, ...]:
    """All instantiations of the kernels of one source, which the emulator compiles as a whole."""
    if source not in _expressions:
        kernels = [kernel for kernel in KERNELS if kernel.source == source]
        _expressions[source] = tuple(each.expression for kernel in kernels for each in kernel.instances.values())
    return _expressions[source]


# --- arrays -----------------------------------------------------------------------------------------------------------
def library_of(array: Any) -> Any:
    """NumPy, the emulator's namespace or CuPy, whichever the array belongs to."""
    return np if type(array) is np.ndarray else engine_of(array).library(array)


def empty(shape: Any, dtype: Any, like: Any) -> Any:
    """A new array for a kernel to write, beside another.

    Parameters
    ----------
    shape, dtype
        As for `numpy.empty`.
    like
        An array in whose library and on whose device it is made.

    Returns
    -------
    array
        Not initialised. In the emulator it is poisoned: to read what no kernel has written is a fault.
    """
    return engine_of(like).empty(shape, dtype, like)


def contiguous(array: Any) -> Any:
    """The array, or a copy of it, with its elements in order; None is None."""
    return array if array is None or array.flags.c_contiguous else library_of(array).ascontiguousarray(array)


def on_16_bytes(*arrays: Any) -> bool:
    """Whether each array (None: as good as any) starts at a multiple of 16 bytes, as vector accesses need it."""
    return all(a is None or engine_of(a).address(a) % 16 == 0 for a in arrays)


def vector_width(dtype: np.dtype) -> int:
    """How many neighbours one access moves at most: VECTOR<T> in the sources."""
    return 16 // dtype.itemsize


def is_access_width(dtype: np.dtype, width: int) -> bool:
    """Whether kernels exist that move so many neighbours at a time: one, or 16 bytes."""
    return width in (1, vector_width(dtype))


def access_width(size: int, *arrays: Any) -> int:
    """How many neighbours at a time the rows of arrays of one dtype move, if rows are a multiple of `size` long."""
    width = vector_width(arrays[0].dtype)
    return width if size % width == 0 and on_16_bytes(*arrays) else 1
