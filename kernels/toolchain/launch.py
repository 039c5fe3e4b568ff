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
    "aligned",
    "empty",
    "engine_of",
    "expressions",
    "namespace",
    "register_engine",
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

    def namespace(self, array: Any) -> Any:
        """The library that an array belongs to."""

    def empty(self, shape: Any, dtype: Any, like: Any) -> Any:
        """A new array beside `like`."""

    def address(self, array: Any) -> int:
        """Where the array's memory begins."""


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

    `source` is the file's name among the kernels, or the absolute path of one of your own.
    `axes` are the values that each template parameter takes, in order: dtypes, integers, truth values, or C++ text. All
    combinations exist, or those for which `only(*values)` is true. `options` go to the compiler, and are those of the
    whole source. Indexing gives an Instance; KeyError for what does not exist.
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
        try:
            return self.instances[key if isinstance(key, tuple) else (key,)]
        except KeyError:
            raise KeyError(f"`{self.name}` has no instantiation {key!r}; see weft info --kernels") from None

    def __call__(self, grid: Any, block: Any, *args: Any, shared: int = 0) -> None:
        """Launch a kernel that is no template."""
        self.instances[()](grid, block, *args, shared=shared)

    def __repr__(self) -> str:
        return f"<Kernel {self.name} of {self.source}: {len(self.instances)} instantiations>"


class Instance:
    """A kernel with its template arguments: what is compiled and launched."""

    def __init__(self, kernel: Kernel, key: tuple):
        self.kernel, self.source, self.options = kernel, kernel.source, kernel.options
        self.expression = f"{kernel.name}<{', '.join(map(cpp, key))}>" if key else kernel.name

    def __call__(self, grid: Any, block: Any, *args: Any, shared: int = 0) -> None:
        """Run with `grid` blocks of `block` threads each (an int or up to three) and `shared` bytes of dynamic memory.

        Returns at once on a GPU, when done in the emulator. A grid with a zero in it launches nothing. Raises TypeError for
        arguments that are no arrays, NumPy scalars or None, and in the emulator for those that the kernel does not take.
        """
        self.prepare(grid, block, *args, shared=shared)()

    def prepare(self, grid: Any, block: Any, *args: Any, shared: int = 0) -> Callable[[], None]:
        """The launch as a function without arguments: what can be checked and converted is, once."""
        grid, block = _triple(grid), _triple(block)
        if 0 in grid:
            return lambda: None
        for i, a in enumerate(args):
            if isinstance(a, _NUMBERS) and not isinstance(a, np.generic):
                raise TypeError(
                    f"argument {i} of `{self.expression}` must be a NumPy scalar, got {a!r}; wrap it in its type"
                )
        array = next((a for a in args if isinstance(a, np.ndarray)), None)
        return engine_of(array).prepare(self, grid, block, args, shared)

    def __repr__(self) -> str:
        return f"<{self.expression} of {self.source}>"


_NUMBERS = (int, float)


def _triple(n: Any) -> tuple[int, int, int]:
    x, y, z = (*n, 1, 1)[:3] if isinstance(n, tuple) else (n, 1, 1)
    return int(x), int(y), int(z)


def expressions(source: str) -> tuple[str, ...]:
    """All instantiations of the kernels of one source, which the emulator compiles as a whole."""
    if source not in _expressions:
        kernels = [kernel for kernel in KERNELS if kernel.source == source]
        _expressions[source] = tuple(each.expression for kernel in kernels for each in kernel.instances.values())
    return _expressions[source]


def namespace(array: Any) -> Any:
    """NumPy, the emulator's namespace or CuPy, whichever the array belongs to."""
    return np if type(array) is np.ndarray else engine_of(array).namespace(array)


def empty(shape: Any, dtype: Any, like: Any) -> Any:
    """A new array beside `like`. In the emulator it is poisoned: to read what no kernel has written is a fault."""
    return engine_of(like).empty(shape, dtype, like)


def aligned(*arrays: Any) -> bool:
    """Whether each array (None: as good as any) starts at a multiple of 16 bytes, as vector accesses need it."""
    return all(a is None or engine_of(a).address(a) % 16 == 0 for a in arrays)
