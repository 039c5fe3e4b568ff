"""How kernels are named, instantiated and launched: the same call runs on a GPU (CuPy arrays) or in the emulator (NumPy).

    forward = Kernel("normalization.cu", "layer_norm_forward", FLOATS, (128, 256))     # template <typename T, int THREADS>
    forward[x.dtype, 256](grid, 256, x, weight, y, np.int64(rows), np.float32(eps))

Arrays are passed as pointers to their first element, None as the null pointer; numbers must be NumPy scalars of the
declared type, because a launch copies bytes and checks nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["FLOATS", "HALVES", "KERNELS", "Instance", "Kernel", "aligned", "empty", "namespace"]

HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
FLOATS = (np.dtype(np.float32), *HALVES)

KERNELS: list[Kernel] = []  # every kernel of every family that has been imported

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
        self._loaded: dict[int, Any] = {}  # by device number
        self._shared: dict[int, int] = {}  # and the most dynamic shared memory that was asked for

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
            if isinstance(a, int | float) and not isinstance(a, np.generic):
                raise TypeError(
                    f"argument {i} of `{self.expression}` must be a NumPy scalar, got {a!r}; wrap it in its type"
                )
        if any(isinstance(a, np.ndarray) for a in args):
            from . import emulator

            return lambda: emulator.launch(self, grid, block, args, shared)
        function = self._function(shared)
        given = tuple(np.uint64(0) if a is None else a for a in args)
        return lambda: function(grid, block, given, shared_mem=shared)

    def _function(self, shared: int) -> Any:
        """The `cupy.RawKernel` for the current device, compiled on first use."""
        import cupy

        device = cupy.cuda.runtime.getDevice()
        function = self._loaded.get(device)
        if function is None:
            from . import compiler

            function = self._loaded[device] = compiler.load(self)
        if shared > self._shared.get(device, 0):
            if function.max_dynamic_shared_size_bytes < shared:  # at first 48 KiB less the static memory
                function.max_dynamic_shared_size_bytes = shared
            self._shared[device] = shared
        return function

    def __repr__(self) -> str:
        return f"<{self.expression} of {self.source}>"


def _triple(n: Any) -> tuple[int, int, int]:
    x, y, z = (*n, 1, 1)[:3] if isinstance(n, tuple) else (n, 1, 1)
    return int(x), int(y), int(z)


def namespace(array: Any) -> Any:
    """NumPy or CuPy, whichever the array belongs to."""
    if type(array) is np.ndarray:
        return np
    if isinstance(array, np.ndarray):
        from . import emulator

        return emulator.namespace
    import cupy

    return cupy


def empty(shape: Any, dtype: Any, like: Any) -> Any:
    """A new array beside `like`. In the emulator it is poisoned: to read what no kernel has written is a fault."""
    if isinstance(like, np.ndarray):
        from . import emulator

        return emulator.empty(shape, dtype).view(type(like))
    return namespace(like).empty(shape, dtype)


def aligned(*arrays: Any) -> bool:
    """Whether each array (None: as good as any) starts at a multiple of 16 bytes, as vector accesses need it."""
    return all(a is None or (a.ctypes.data if isinstance(a, np.ndarray) else a.data.ptr) % 16 == 0 for a in arrays)
