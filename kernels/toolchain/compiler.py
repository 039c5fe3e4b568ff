"""CUDA C++ to machine code: NVRTC, which needs neither a GPU nor a driver, and a cache of what it made.

CuPy's own compile step stays out of it: it forces `-arch=sm_90` and `-ftz=true`, and its cache overlooks changes in
included headers. The cubins made here are loaded as `cupy.RawModule`, so what is launched are CuPy's RawKernels.

Cubins may be carried to a machine from where they were compiled: WEFT_CUBINS_OF=13.0 there takes from the cache what NVRTC 13.0
made of these sources, before an NVRTC is asked for (`python -m weft.bench.precompile --arch sm_90a` fills a cache).
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import cache
from .cublas import cublas
from .launch import KERNELS, Instance, register_engine
from .sources import FOLDER, expand, shown
from .tensor_map import TensorMap, encode

__all__ = [
    "ARCHITECTURES",
    "CompileError",
    "Families",
    "Program",
    "Resources",
    "ToolkitError",
    "architecture",
    "build",
    "families",
    "gpu",
    "load",
]

ARCHITECTURES = ("sm_80", "sm_90a", "sm_100")  # A100, H100 and H200, B200: what every kernel is checked for

Families = dict[str, tuple[list[str], tuple[str, ...]]]  # source: expressions of all its kernels, options

# -v: registers, shared memory and spills go to the log; -default-device: else NVRTC 13.0 takes generic lambdas for the host's
_OPTIONS = ("-std=c++17", "-lineinfo", "-default-device", "--ptxas-options=-v")


class CompileError(RuntimeError):
    """A CUDA source was refused; the message holds what the compiler says and the lines that it says it of."""


class ToolkitError(ImportError):
    """What compiling needs is missing, or too old for the architecture; the message says what to install."""


@dataclasses.dataclass
class Resources:
    """What one instantiation of a kernel takes: registers for each thread, the rest in bytes.

    `shared`: static shared memory of a block. `stack`: local memory of a thread, for spilled registers and for arrays
    that are indexed by variables; it lives in device memory.
    """

    kernel: str
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0


@dataclasses.dataclass
class Program:
    """One source compiled for one architecture: the cubin's path, its names of the kernels, what they take.

    `messages`: what the compiler had to say besides, warnings above all; empty for a source in order.
    """

    path: Path
    names: dict[str, str]
    resources: list[Resources]
    messages: str


def build(
    source: str, expressions: Sequence[str], options: Sequence[str] = (), *, arch: str, folder: Path = FOLDER
) -> Program:
    """Compile the kernels named by C++ expressions (`"scale<float, 128>"`) of `source`, or find them in the cache.

    Parameters
    ----------
    source
        The file's name in `folder`, or the absolute path of one of your own.
    expressions
        The kernels, each with its template arguments.
    options
        For NVRTC, to be added for this source.
    arch
        One of ARCHITECTURES: "sm_90a" for an H100 or H200.
    folder
        Holds the sources.

    Returns
    -------
    Program
        The cubin's path, the kernels' names in it, their `resources` (registers, memory, spills), and NVRTC's messages.

    Raises
    ------
    CompileError
        With NVRTC's messages, where the source is wrong.
    SourceError
        Where a file is missing.
    ToolkitError
        Where NVRTC or CUDA's headers are missing or too old.
    """
    text = expand(source, folder)
    options = (f"-arch={arch}", *_OPTIONS, *options)

    def name(version: Sequence[int]) -> str:
        # this very file is a part of the key: it decides what is made of the compiler's log
        key = cache.key(text, expressions, options, version, Path(__file__).read_text(encoding="utf-8"))
        return f"{Path(source).stem}-{arch}-{key}.cubin"

    carried = os.environ.get("WEFT_CUBINS_OF")
    found = cache.read(name([int(n) for n in re.findall(r"\d+", carried)])) if carried else None
    if found is None:
        nvrtc = _nvrtc()
        found = cache.read(own := name(nvrtc.getVersion()))
        if found is None:
            cubin, record = _compile(nvrtc, source, text, expressions, options, arch)
            found = cache.write(own, cubin, record), record
    path, record = found
    resources = [Resources(**r) for r in record["resources"]]
    return Program(path, record["names"], resources, record["messages"])


def load(instance: Instance) -> Any:
    """The `cupy.RawKernel` of a kernel's instantiation for the current device; nothing but this one is compiled."""
    import cupy

    program = build(instance.source, (instance.expression,), instance.options, arch=architecture())
    return cupy.RawModule(path=str(program.path)).get_function(program.names[instance.expression])


class _OnGPU:
    """Launches on the current CUDA device, by CuPy: kernels are compiled when they are first used there."""

    def __init__(self) -> None:
        self.loaded: dict[tuple[Instance, int], Any] = {}  # RawKernels, by instance and device
        self.shared: dict[tuple[Instance, int], int] = {}  # and the most dynamic shared memory that was asked for

    def function(self, instance: Instance, shared: int) -> Any:
        """The `cupy.RawKernel` for the current device, which may take `shared` bytes of dynamic memory."""
        import cupy

        key = instance, cupy.cuda.runtime.getDevice()
        function = self.loaded.get(key)
        if function is None:
            function = self.loaded[key] = load(instance)
        if shared > self.shared.get(key, 0):
            if function.max_dynamic_shared_size_bytes < shared:  # at first 48 KiB less the static memory
                function.max_dynamic_shared_size_bytes = shared
            self.shared[key] = shared
        return function

    def prepare(
        self, instance: Instance, grid: tuple[int, int, int], block: tuple[int, int, int], args: tuple, shared: int
    ) -> Callable[[], None]:
        function = self.function(instance, shared)
        given = tuple(self._given(a) for a in args)

        def start(_kept: tuple = args) -> None:  # the arrays of tensor maps, too
            function(grid, block, given, shared_mem=shared)

        return start

    def _given(self, argument: Any) -> Any:
        if isinstance(argument, TensorMap):
            return encode(argument, self.address(argument.array))
        return np.uint64(0) if argument is None else argument

    def library(self, array: Any) -> Any:
        import cupy

        return cupy

    def empty(self, shape: Any, dtype: Any, like: Any) -> Any:
        return self.library(like).empty(shape, dtype)

    def address(self, array: Any) -> int:
        return array.data.ptr

    def blas(self) -> Any:
        return cublas()


gpu = _OnGPU()
register_engine("cupy", gpu)


def architecture() -> str:
    """The architecture to compile for on the current CUDA device: sm_90a for an H100 or H200."""
    import cupy

    capability = cupy.cuda.Device().compute_capability
    if int(capability) < 80:
        raise ToolkitError(
            f"weft's CUDA kernels need compute capability 8.0 (A100) or newer; device {cupy.cuda.runtime.getDevice()} "
            f"has {capability[:-1]}.{capability[-1]}: use another device"
        )
    return "sm_90a" if capability == "90" else f"sm_{capability}"


def families() -> Families:
    """Every source that has kernels, with the expressions of all their instantiations and its options."""
    package = importlib.import_module(__package__.rpartition(".")[0])  # the sources and their launchers lie beside us
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            importlib.import_module(f"{package.__name__}.{module.name}")
    found: Families = {}
    for kernel in KERNELS:
        if Path(kernel.source).is_absolute():  # not one of ours
            continue
        expressions, _ = found.setdefault(kernel.source, ([], kernel.options))
        expressions += [instance.expression for instance in kernel.instances.values()]
    return dict(sorted(found.items()))


# --- NVRTC -----------------------------------------------------------------------------------------------------------
def _nvrtc() -> ModuleType:
    if sys.platform == "darwin":
        raise ToolkitError("compiling CUDA kernels needs NVRTC, and there is no CUDA for macOS: use Linux or Windows")
    try:
        from cupy_backends.cuda.libs import nvrtc
    except ImportError as error:
        raise ToolkitError(
            f'compiling CUDA kernels needs CuPy, which could not be imported ({error}): pip install "weft[cuda]"'
        ) from None
    try:
        nvrtc.getVersion()  # loads the library
    except RuntimeError as error:
        raise ToolkitError(
            f"compiling CUDA kernels needs NVRTC, which could not be loaded ({_first_line(error)}): "
            'pip install "weft[cuda]", or nvidia-cuda-nvrtc of the CUDA version that CuPy is for'
        ) from None
    return nvrtc


def _headers() -> str:
    """The folder of cuda_fp16.h: from NVIDIA's wheels, conda, CUDA_PATH or CUDA_HOME, or the system's toolkit."""
    from cuda.pathfinder import find_nvidia_header_directory  # CuPy depends on it too

    found = find_nvidia_header_directory("cudart")
    if found is None:
        raise ToolkitError(
            'compiling CUDA kernels needs the CUDA headers, which were not found: pip install "weft[cuda]", '
            "or nvidia-cuda-runtime of the CUDA version that CuPy is for, or set CUDA_PATH to a CUDA toolkit"
        )
    return found


def _compile(
    nvrtc: ModuleType, source: str, text: str, expressions: Sequence[str], options: Sequence[str], arch: str
) -> tuple[bytes, dict[str, Any]]:
    """The cubin and what is recorded beside it."""
    version, known = ".".join(map(str, nvrtc.getVersion())), nvrtc.getSupportedArchs()
    if (number := re.fullmatch(r"sm_(\d+)[af]?", arch)) is None or int(number[1]) not in known:
        raise ToolkitError(
            f"NVRTC {version} does not compile for `{arch}`, only for {', '.join(f'sm_{n}' for n in known)}: "
            "pip install --upgrade nvidia-cuda-nvrtc for newer ones"
        )
    program = nvrtc.createProgram(text, shown(source), (), ())  # the cubin, too, is the same wherever weft lies
    try:
        for expression in expressions:
            nvrtc.addNameExpression(program, expression)
        try:
            nvrtc.compileProgram(program, (*options, f"-I{_headers()}"))
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program).strip(" \0\n") or str(error)
            raise CompileError(f"`{source}` does not compile for {arch} with NVRTC {version}:\n{log}") from None
        names = {expression: nvrtc.getLoweredName(program, expression) for expression in expressions}
        resources, messages = _read_log(nvrtc.getProgramLog(program), names)
        record = {"names": names, "resources": [dataclasses.asdict(r) for r in resources], "messages": messages}
        return nvrtc.getCUBIN(program) + b"\0", record  # CuPy takes it for a string and drops the last byte, a zero
    finally:
        nvrtc.destroyProgram(program)


_ENTRY = re.compile(r"Compiling entry function '([^']+)'")
_MEMORY = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_NO_NEWS = re.compile(r"Function properties for|bytes gmem|Compile time")


def _read_log(log: str, names: dict[str, str]) -> tuple[list[Resources], str]:
    """What ptxas reports of each kernel, in the order of `names`, and the lines that report nothing of the kind."""
    found = {symbol: Resources(expression) for expression, symbol in names.items()}
    rest: list[str] = []
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            current = found.get(entry[1], Resources("not asked for, as it is no template"))
        elif memory := _MEMORY.search(line):  # once more for each function that was not inlined
            stack, stores, loads = map(int, memory.groups())
            current.stack += stack
            current.spill_stores += stores
            current.spill_loads += loads
        elif registers := _REGISTERS.search(line):
            current.registers = int(registers[1])
            shared = _SHARED.search(line)
            current.shared = int(shared[1]) if shared else 0
        elif line.strip(" \0") and not _NO_NEWS.search(line):
            rest.append(line)
    return list(found.values()), "\n".join(rest)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
