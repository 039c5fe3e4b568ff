"""A stand-in for CuPy, on the emulator: device="cuda" on a machine without a GPU.

`installed()` puts it in the place of the installed CuPy, whose names, signatures and errors it takes, so that it offers
nothing that is not there. What it adds is suspicion, which is in `cupy_machine`: streams must wait for each other, and
what a capture cannot record is an error, as in CuPy. New memory is full of NaN. It is a pytest plugin, too: with it, the
tests for a GPU run without one (all but those of the kernels alone).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import math
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_cublas
import numpy as np
from cupy_machine import (
    CUDARuntimeError,
    Event,
    Graph,
    Memory,
    MemoryPointer,
    MemoryPool,
    Stream,
    alloc_pinned_memory,
    default_allocator,
    default_pool,
    finish,
    flying,
    get_allocator,
    get_current_stream,
    read_by_a_copy,
    real,
    reset,
    set_allocator,
    using_allocator,
)

from weft.kernels import emulator
from weft.kernels.emulator import cublas_numpy
from weft.kernels.toolchain import cache, compiler, cublas
from weft.kernels.toolchain.launch import KERNELS, expressions


# --- arrays ---------------------------------------------------------------------------------------------------------------
class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """NumPy's array on memory of the device. It is none of NumPy's own, as CuPy's is not."""

    __hash__ = None  # type: ignore[assignment]
    __module__ = "cupy"

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"):
        shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self._memory = get_allocator()(size).mem if size else None
        raw = self._memory.chunk.bytes if size else None
        self._host: np.ndarray = np.ndarray(shape, dtype, raw, strides=strides, order=order)
        if get_current_stream().graph is None:
            do(lambda: raw is None or raw.fill(0xFF), [], self.chunks())  # NaN
        elif size:  # nothing is computed yet, but NumPy must not find what is no index
            raw.fill(0)

    @classmethod
    def view_of(cls, host: np.ndarray, memory: Any) -> ndarray:
        self = cls.__new__(cls)
        self._host, self._memory = host, memory
        return self

    def chunks(self) -> list[Memory]:
        return [self._memory.chunk] if self._memory else []

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (None,), **options: Any) -> Any:
        if not all(isinstance(x, ndarray | np.ndarray | np.generic | int | float | complex) for x in inputs):
            return NotImplemented
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return call(function, inputs, options, out=out[0])

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return call(function, args, options)

    def __getitem__(self, key: Any) -> Any:
        return call(item, (self, index(key)))

    def __setitem__(self, key: Any, value: Any) -> None:
        call(np.ndarray.__setitem__, (self, index(key), value), in_place=self)

    def fill(self, value: Any) -> None:
        call(np.ndarray.fill, (self, value), in_place=self)

    def __len__(self) -> int:
        return len(self._host)

    @property
    def flags(self) -> Any:
        flags = self._host.flags
        return types.SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous)

    @property
    def data(self) -> MemoryPointer:
        memory = self._memory or types.SimpleNamespace(ptr=0)
        return MemoryPointer(memory, self._host.ctypes.data - memory.ptr if self._memory else 0)

    @property
    def device(self) -> Device:
        return Device(0)

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        stream = stream or get_current_stream()
        stream.refuse_in_capture("D2H transfers")
        stream.do(lambda: None, self.chunks(), [])
        stream.synchronize()
        return np.array(self._host)

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        stream = stream or get_current_stream()
        stream.refuse_in_capture("H2D transfers")
        if type(arr) is not np.ndarray or arr.dtype != self._host.dtype or arr.shape != self._host.shape:
            raise TypeError(f"`set` takes an array of NumPy, {self._host.dtype} {self._host.shape}, got {arr!r}")
        held = arr.copy()
        stream.do(functools.partial(self._host.__setitem__, ..., held), [], self.chunks())
        flying.append((stream.ptr, stream.clock[stream.ptr], read_by_a_copy(arr), held))

    def item(self, *args: Any) -> Any:
        return self.get().item(*args)

    def tolist(self) -> Any:
        return self.get().tolist()

    def __array__(self, *args: Any, **options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")


for _type in (bool, int, float, complex):
    setattr(ndarray, f"__{_type.__name__}__", lambda self, _type=_type: _type(self.get()))
for _name in ("shape", "dtype", "ndim", "size", "itemsize", "nbytes", "strides"):
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._host, name)))
for _name in ("T", "mT", "real", "imag"):
    setattr(ndarray, _name, property(lambda self, name=_name: call(lambda x: getattr(x, name), (self,))))
for _name in (
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "clip",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "max",
    "mean",
    "min",
    "prod",
    "ravel",
    "repeat",
    "reshape",
    "squeeze",
    "sum",
    "swapaxes",
    "take",
    "transpose",
    "view",
):
    _method = getattr(np.ndarray, _name)
    setattr(ndarray, _name, lambda self, *args, _method=_method, **options: call(_method, (self, *args), options))


def hosts(x: Any) -> Any:
    """Arrays of the device as NumPy's, whatever they are inside of; TypeError for arrays of the host."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return type(x)(map(hosts, x)) if type(x) in (tuple, list) else x


def arrays(x: Any, kind: type | tuple) -> list[Any]:
    if isinstance(x, kind):
        return [x]
    return [a for y in x for a in arrays(y, kind)] if isinstance(x, tuple | list) else []


def do(operation: Callable[[], Any], reads: list[Memory], writes: list[Memory]) -> None:
    get_current_stream().do(operation, reads, writes)


def item(x: np.ndarray, key: Any) -> Any:
    """x[key]; a single element is a view, as CuPy's are."""
    found = x[key]
    return x[(*key, ...) if isinstance(key, tuple) else (key, ...)] if isinstance(found, np.generic) else found


def index(key: Any) -> Any:
    """Lists and arrays of the host go to the device; the true values of a mask are counted."""
    if isinstance(key, tuple):
        return tuple(map(index, key))
    key = array(key) if isinstance(key, list | np.ndarray) else key
    if isinstance(key, ndarray) and key.dtype == bool:
        count_on_host()
    return key


REPEATING = (np.repeat, np.ndarray.repeat)  # by counts on the device, whose sum is the size of the result


def count_on_host() -> None:
    """Wait, as CuPy does to know the size of a result."""
    get_current_stream().refuse_in_capture("D2H transfers")
    get_current_stream().synchronize()


def call(function: Any, args: tuple, options: dict | None = None, *, out: Any = None, in_place: Any = None) -> Any:
    """A function of NumPy on memory of the device; its results lie there, too."""
    options = dict(options or {})
    if function in REPEATING and arrays((*args[1:], *options.values()), ndarray):
        count_on_host()
    out = options.pop("out", out)
    given = arrays((args, tuple(options.values())), ndarray)
    reads = [chunk for a in given for chunk in a.chunks()]
    work = functools.partial(function, *hosts(args), **{name: hosts(value) for name, value in options.items()})
    target = in_place if out is None else out
    if target is not None:
        do(work if out is None else functools.partial(work, out=out._host), reads, target.chunks())
        return out
    with np.errstate(all="ignore"):
        result = work()  # for shapes and dtypes, where it cannot be computed yet
    found = [np.asarray(r) for r in arrays(result, (np.ndarray, np.generic))]
    owners = [next((a for a in given if np.may_share_memory(r, a._host)), None) for r in found]
    for r, a in zip(found, owners):
        if a is not None and 0 not in r.strides:
            r.flags.writeable = True  # NumPy's diagonal is not
    results = [allocated_like(r) if a is None else ndarray.view_of(r, a._memory) for r, a in zip(found, owners)]
    to = [r._host if a is None else None for r, a in zip(results, owners)]  # addresses: a graph keeps no arrays

    def write() -> None:
        for memory, value in zip(to, arrays(work(), (np.ndarray, np.generic))):
            if memory is not None:
                memory[...] = value

    if any(owner is None for owner in owners):
        do(write, reads, [chunk for r, a in zip(results, owners) if a is None for chunk in r.chunks()])
    if isinstance(result, tuple | list) and results:
        return type(result)(*results) if hasattr(result, "_fields") else type(result)(results)
    return results[0] if results else result


def allocated_like(x: np.ndarray) -> ndarray:
    """Memory for an array, in its order of axes."""
    return ndarray(x.shape, x.dtype, strides=np.empty_like(x, subok=False).strides)


def array(
    obj: Any,
    dtype: Any = None,
    copy: Any = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    if isinstance(obj, ndarray):
        dtype = obj.dtype if dtype is None else np.dtype(dtype)
        return obj if not copy and dtype == obj.dtype else obj.astype(dtype)
    if arrays(obj, ndarray):
        return array(call(np.stack, (obj,)), dtype, copy=False)
    value = np.array(obj, dtype=dtype, order=order)
    made = ndarray(value.shape, value.dtype, order="F" if value.flags.fnc else "C")
    if not value.ndim:
        made.fill(value[()])  # a kernel with the number as its argument, which a graph repeats
    elif value.size:
        made.set(value)
    return made


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, blocking: bool = False) -> ndarray:
    return array(a, dtype, bool(copy), order or "K")


# --- kernels and products -------------------------------------------------------------------------------------------------
class RawKernel:
    """The emulator's build of the instantiation that a cubin's name stands for."""

    def __init__(self, instance: Any):
        self.instance = instance
        self.max_dynamic_shared_size_bytes = 47 * 1024  # 48 KiB less the static memory, of which there may be some

    def __call__(self, grid: tuple, block: tuple, args: tuple, *, shared_mem: int = 0) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes, "more shared memory than the kernel was allowed"
        code = emulator.library(self.instance.source, expressions(self.instance.source))
        wanted = code.signatures[self.instance.expression]
        given = [None if len(w) == 2 and isinstance(a, np.uint64) and not a else a for a, w in zip(args, wanted)]
        reads, writes = (
            [c for a, w in zip(given, wanted) if a is not None and w[0] == mark for c in a.chunks()] for mark in "#*"
        )
        launch = functools.partial(emulator._launch, self.instance, grid, block, [hosts(a) for a in given], shared_mem)
        do(launch, reads, writes)


class RawModule:
    def __init__(self, code: str | None = None, *, path: str | None = None):
        self.path = Path(path or "")

    def get_function(self, name: str) -> RawKernel:
        _, record = cache.read(self.path.name) or (None, {"names": {}})
        (expression,) = [e for e, lowered in record["names"].items() if lowered == name]
        source = self.path.name.partition("-")[0] + ".cu"
        instances = [i for k in KERNELS if Path(k.source).name == source for i in k.instances.values()]
        return RawKernel(next(i for i in instances if i.expression == expression))


def library() -> Any:
    """cuBLAS for this device: what it is asked for goes through ctypes, and is done in the order of the stream that it has."""

    def multiply(*request: Any) -> None:
        _, a, b, c, _, _, beta, *rest = request
        epilogue, vector, aux = rest or (1, None, None)
        current, given = get_current_stream(), fake.lt_stream if rest else fake.stream
        assert current.ptr == (given or 0), "the library is on another stream"
        writes = [c.array, fake.workspace[0], aux, vector if epilogue == cublas.BGRADB else None]
        reads = [a.array, b.array, c.array if beta else None, vector]
        memory = ([Memory.at(x) for x in used if x] for used in (reads, writes))
        current.do(functools.partial(cublas_numpy.multiply, *request), *memory)

    def workspace() -> ndarray:
        memory = Memory(1024)  # which no stream has filled: it is asked for on one, and a graph uses it on another
        return ndarray.view_of(memory.bytes, types.SimpleNamespace(chunk=memory, ptr=memory.ptr))

    fake = fake_cublas.Fake(multiply)
    return cublas.Cublas(fake, fake, workspace)


# --- the module -----------------------------------------------------------------------------------------------------------
class Device:
    compute_capability = "90"

    def __init__(self, device: Any = None):
        self.id = 0 if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None  # type: ignore[assignment]

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: Any) -> None: ...

    def use(self) -> None: ...

    def synchronize(self) -> None:
        get_current_stream().synchronize()
        finish()


# What CuPy cannot do without waiting for the device: the size of the result.
WAITING = {"argwhere", "compress", "extract", "flatnonzero", "nonzero", "unique"}


def _function(real_function: Any, function: Callable, name: str) -> Callable:
    """NumPy's function with CuPy's signature."""
    try:
        signature = inspect.signature(real_function)
    except ValueError:  # of a function in C
        signature = None

    def on_device(*args: Any, **options: Any) -> Any:
        if signature is not None:
            signature.bind(*args, **options)
        if name in WAITING and arrays(args, ndarray):
            count_on_host()
        if name == "take":
            options["mode"] = "wrap"
        return call(function, args, options)

    return on_device


@functools.cache
def _public(of: Any, host_module: Any) -> dict[str, Any]:
    """All of NumPy's module that CuPy's has, by name. To look up the signatures takes longer than most tests."""
    found = {}
    for key in dir(of):
        value, function = getattr(of, key), getattr(host_module, key, None)
        if key.startswith("_") or isinstance(value, types.ModuleType) or function is None:
            continue
        is_plain = isinstance(value, type) or not callable(value)
        found[key] = value if is_plain else _function(value, function, key)
    return found


def _module(name: str, of: Any, host_module: Any, own: dict[str, Any]) -> types.ModuleType:
    """All of NumPy that CuPy's module of this name has, and what is our own."""
    module = types.ModuleType(name)
    vars(module).update(_public(of, host_module), **own)
    return module


def modules() -> dict[str, types.ModuleType]:
    """cupy and those of its modules that are here, by name."""
    stand_in = {"Stream": Stream, "Event": Event, "Graph": Graph, "Memory": Memory, "MemoryPointer": MemoryPointer,
                "MemoryPool": MemoryPool, "Device": Device, "get_current_stream": get_current_stream,
                "using_allocator": using_allocator, "set_allocator": set_allocator, "get_allocator": get_allocator,
                "alloc_pinned_memory": alloc_pinned_memory}  # fmt: skip
    calls = {"getDeviceCount": lambda: 1, "getDevice": lambda: 0, "driverGetVersion": lambda: 13010,
             "runtimeGetVersion": lambda: 13010, "memGetInfo": lambda: (Memory.limit - Memory.taken, Memory.limit),
             "CUDARuntimeError": CUDARuntimeError}  # fmt: skip
    runtime = _module("cupy.cuda.runtime", None, None, calls)
    memory = _module("cupy.cuda.memory", None, None, {"OutOfMemoryError": real.cuda.memory.OutOfMemoryError})
    device = _module("cupy.cuda.device", None, None, {"Device": Device})
    stand_in |= {"runtime": runtime, "memory": memory, "nvtx": real.cuda.nvtx, "device": device}
    cuda = _module("cupy.cuda", None, None, stand_in)
    linalg, fft = (_module(f"cupy.{n}", getattr(real, n), getattr(np, n), {}) for n in ("linalg", "fft"))
    own = {"ndarray": ndarray, "array": array, "asarray": asarray, "empty": empty, "RawModule": RawModule, "cuda": cuda,
           "get_default_memory_pool": lambda: default_pool, "linalg": linalg, "fft": fft}  # fmt: skip
    found = [_module("cupy", real, np, own), cuda, runtime, memory, device, linalg, fft]
    return {module.__name__: module for module in found}


@contextlib.contextmanager
def installed() -> Iterator[Any]:
    """Put the stand-in in the place of CuPy, and whatever was imported of CuPy and on top of it out of the way."""

    def ours() -> list[str]:
        return [n for n in sys.modules if n == "cupy" or n.startswith(("cupy.", "array_api_compat.cupy"))]

    compiler._nvrtc(), compiler._headers()  # they are found by means of what is about to be hidden; or ToolkitError
    before = {name: sys.modules.pop(name) for name in ours()}
    sys.modules |= modules()
    default_pool._free, default_allocator[0] = {}, default_pool.malloc
    reset()
    compat = importlib.import_module("array_api_compat")
    was = vars(compat).pop("cupy", None)
    opened = dict(cublas._opened)
    cublas._opened.clear()
    try:
        cublas._opened[0] = library()
        yield sys.modules["cupy"]
    finally:
        cublas._opened.clear()
        cublas._opened.update(opened)
        for name in ours():
            del sys.modules[name]
        sys.modules |= before
        vars(compat).pop("cupy", None)
        if was is not None:
            compat.cupy = was


def pytest_configure(config: Any) -> None:
    """`PYTHONPATH=tests pytest -p cupy_stand_in -m gpu tests/backend`: what asks for a GPU gets the stand-in."""
    compiler.load = RawKernel  # not by way of NVRTC, which would take minutes for all kernels
    context = installed()
    context.__enter__()
    config.add_cleanup(lambda: context.__exit__(None, None, None))
