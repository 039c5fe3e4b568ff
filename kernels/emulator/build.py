"""From a `.cu` file to a shared library of the host: the C++ compiler, what it is given, and how lines are found again."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..toolchain import cache
from ..toolchain.sources import FOLDER, Place, expand

__all__ = ["EmulatorError", "Library", "compiled", "library", "locate", "places"]

HERE = Path(__file__).parent

# The sanitizer's instrumentation without its library (runtime.cpp answers the calls); loads and stores stay as the
# source has them (no vectors, no loops turned into memcpy), and a · b + c is rounded twice unless fmaf is asked for.
_KERNEL = ("-O1", "-g1", "-gdwarf-4", "-fsanitize=thread", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off", "-w")
_CALLS = ("-fno-builtin-memcpy", "-fno-builtin-memmove", "-fno-builtin-memset")  # else GCC moves a few bytes unseen
_GCC = ("-fno-tree-vectorize", "-fno-tree-loop-distribute-patterns", *_CALLS)
# Where variables are is not asked, and takes GCC a third of its time. It changes no instruction, but which lines are said to have
# some, and libraries that count tell of the lines that nobody comes to.
_GCC_UNCOUNTED = ("-fno-var-tracking",)
_CLANG = ("-fno-vectorize", "-fno-slp-vectorize", "-mllvm", "-tsan-instrument-read-before-write")
_RUNTIME = ("-O2", "-fno-exceptions", "-fno-rtti")
_BLOCKS = "-fsanitize-coverage=trace-pc"  # to kernels: calls where basic blocks begin, too
_COMMON = ("-std=c++17", "-fPIC")

# To the assembler these names are the runtime's, which checks: compilers call them also where no source does.
_COPIES = r'asm("memcpy = emulator_memcpy\nmemmove = emulator_memmove\nmemset = emulator_memset");'

_SHARED = re.compile(
    r"__shared__\s+(?:__align__\((\d+)\)\s+)?((?:unsigned\s+)?[\w:]+(?:<[^;]*>)?)\s+(\w+)\s*((?:\[[^\]]*\])*)\s*;"
)

_PLACE = re.compile(r"(.+\.cuh?):(\d+)")  # a discriminator may follow


class EmulatorError(RuntimeError):
    """The emulator cannot be built here, or a source is not what it understands."""


@functools.cache
def compiler() -> tuple[str, str]:
    """The host's C++ compiler and its version. CXX chooses it; otherwise g++, c++ or clang++."""
    if not sys.platform.startswith("linux") or platform.machine() not in ("x86_64", "aarch64"):
        raise EmulatorError(
            f"`emulator` needs Linux on x86-64 or AArch64 (in a container or WSL, too), this is {sys.platform} on "
            f"{platform.machine()}"
        )
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "c++", "clang++"]:
        if found := shutil.which(name):
            version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            return found, version.partition("\n")[0]
    missing = f"CXX={wanted} was not found" if wanted else "none of g++, c++ and clang++ was found"
    raise EmulatorError(
        f"`emulator` needs a C++ compiler, and {missing}: "
        "install one (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++) or set CXX to yours"
    )


def translate(text: str) -> str:
    """Rewrite the `__shared__` declarations, the one thing that macros cannot make C++ of.

    >>> from weft.kernels.emulator import build
    >>> build.translate("extern __shared__ float x[];").strip()
    'float* x = static_cast<float*>(emulator_dynamic_shared(alignof(float)));'
    """

    def rewrite(match: re.Match) -> str:
        align, kind, name, dims = match.groups()
        align = align or f"alignof({kind})"
        if dims == "[]":
            return f"{kind}* {name} = static_cast<{kind}*>(emulator_dynamic_shared({align}));"
        return (
            f"static char emulator_key_{name}; using emulator_type_{name} = {kind}{dims}; "
            f"auto& {name} = *static_cast<emulator_type_{name}*>(emulator_shared(&emulator_key_{name}, "
            f'sizeof(emulator_type_{name}), {align}, sizeof({kind}), "{name}"));'
        )

    lines = []
    for line in text.split("\n"):
        code, slashes, comment = line.partition("//")
        if "__shared__" in code:
            code = _SHARED.sub(rewrite, code.replace("extern __shared__", "__shared__"))
            if "__shared__" in code:
                raise EmulatorError(f"`__shared__` must declare one array or number in one line, got: {line.strip()}")
        lines.append(code + slashes + comment)
    return "\n".join(lines)


class Library:
    """A compiled source: the entries that launch its instantiations, by expression."""

    def __init__(self, path: Path, expressions: Sequence[str]):
        _worker()
        self.path = path
        self.handle = ctypes.CDLL(str(path))
        signatures = (ctypes.c_char * 256 * len(expressions)).in_dll(self.handle, "emulator_signatures")
        table = (ctypes.c_void_p * 2 * len(expressions)).in_dll(self.handle, "emulator_entries")
        self.entries = {e: ctypes.addressof(table[i]) for i, e in enumerate(expressions)}
        self.signatures = {
            e: re.findall(r"[*#]?.", bytes(signatures[i].value).decode()) for i, e in enumerate(expressions)
        }
        self.run = self.handle.emulator_run


@functools.cache
def library(source: str, expressions: tuple[str, ...], folder: Path = FOLDER) -> Library:
    """All instantiations of a source, compiled by the host's C++ compiler or found in the cache."""
    return Library(compiled(source, expressions, folder), expressions)


@functools.cache
def compiled(source: str, expressions: tuple[str, ...], folder: Path = FOLDER, counting: bool = False) -> Path:
    """Where the library lies.

    One that is `counting` is slower, and a profile can be made of its accesses (counters.py).
    """
    program, version = compiler()
    body = translate(expand(source, folder))
    entries = "".join(
        f"static void emulator_call_{i}(void** a) {{ emulator_call({e}, a); }}\n" for i, e in enumerate(expressions)
    )
    table = ", ".join(f'{{emulator_call_{i}, "{e}"}}' for i, e in enumerate(expressions))
    describe = "".join(f"    emulator_signature({e}, emulator_signatures[{i}]);\n" for i, e in enumerate(expressions))
    text = (
        f'{_COPIES}\n#include "device.h"\n{body}\n#line 1 "instantiations"\n{entries}'
        f'extern "C" {{\nstruct {{ void (*call)(void**); const char* name; }} emulator_entries[] = {{{table}}};\n'
        f"char emulator_signatures[{len(expressions)}][256];\n}}\n"
        f"__attribute__((constructor)) static void emulator_describe_all() {{\n{describe}}}\n"
    )
    is_clang = "clang" in version
    flags = (*_COMMON, *_KERNEL, *(_CLANG if is_clang else _GCC))
    if counting:
        flags = (*flags, _BLOCKS)
    elif not is_clang:
        flags = (*flags, *_GCC_UNCOUNTED)
    runtime = [_part(part, "-c") for part in ("runtime.cpp", "counters.cpp")]
    parts = [(HERE / f).read_text(encoding="utf-8") for f in ("device.h", "runtime.h", "ptx.h")]
    name = f"{Path(source).stem}-emulator-{cache.key(text, parts, flags, [o.name for o in runtime], version)}.so"
    with _alone(name):
        found = cache.read(name)
        return found[0] if found else cache.write(name, _compile(program, source, text, flags, runtime), {})


@functools.cache
def _worker() -> ctypes.CDLL:
    """Where all libraries have the worker of a thread, loaded so that they find it."""
    return ctypes.CDLL(str(_part("worker.cpp", "-shared")), mode=ctypes.RTLD_GLOBAL)


def _part(source: str, *flags: str) -> Path:
    """A part of the runtime, which all libraries share."""
    program, version = compiler()
    parts = [
        (HERE / f).read_text(encoding="utf-8")
        for f in (source, "runtime.h", "counters.h", "coalescing.h", "events.h", "asynchronous.h")
    ]
    command = (*_COMMON, *_RUNTIME, *flags)
    suffix = "so" if "-shared" in flags else "o"
    name = f"emulator-{Path(source).stem}-{cache.key(parts, command, version)}.{suffix}"
    with _alone(name):
        if found := cache.read(name):
            return found[0]
        with tempfile.TemporaryDirectory(prefix="weft-") as scratch:
            _run(source, program, *command, str(HERE / source), "-o", f"{scratch}/part.o")
            return cache.write(name, Path(scratch, "part.o").read_bytes(), {})


def _compile(program: str, source: str, text: str, flags: Sequence[str], runtime: Sequence[Path]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="weft-") as scratch:
        (Path(scratch) / "kernels.cpp").write_text(text, encoding="utf-8")
        kernels, out = (f"{scratch}/{n}" for n in ("kernels.o", "library.so"))
        _run(source, program, *flags, f"-I{HERE}", "-c", f"{scratch}/kernels.cpp", "-o", kernels)
        _run(source, program, "-shared", "-Wl,-Bsymbolic", kernels, *map(str, runtime), "-o", out, "-pthread")
        return Path(out).read_bytes()


def _run(source: str, *command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise EmulatorError(
            f"`{source}` could not be compiled for the emulator by {command[0]}:\n{result.stderr.strip()}"
        )


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Let one process compile while others wait for what it makes."""
    import fcntl

    path = cache.folder() / f".{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError:  # a folder that cannot be written: `cache.write` says so
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def places(path: Path, offsets: Sequence[int]) -> dict[int, list[Place]]:
    """For the code before each return address, the lines in CUDA sources that it is of: the innermost call first.

    EmulatorError where nothing can tell.
    """
    known = _known_places(path)
    if missing := [offset for offset in dict.fromkeys(offsets) if offset not in known]:
        known |= {offset: [] for offset in missing} | _places(path, missing)
    return known


@functools.cache
def _known_places(path: Path) -> dict[int, list[Place]]:
    return {}


def _places(path: Path, offsets: Sequence[int]) -> dict[int, list[Place]]:
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    if not tool:
        raise EmulatorError("to find source lines needs addr2line: install binutils")
    given = "".join(f"{hex(offset - 1)}\n" for offset in offsets)
    text = subprocess.run([tool, "-a", "-i", "-e", str(path)], input=given, capture_output=True, text=True, check=False)
    found: dict[int, list[Place]] = {}
    for line in text.stdout.splitlines():
        if line.startswith("0x"):
            chain = found.setdefault(int(line, 16) + 1, [])
            chain.clear()
        elif place := re.match(_PLACE, line):
            chain.append((Path(place[1]).name, int(place[2])))
    return found


@functools.cache
def code_of(path: Path) -> tuple[frozenset[int], frozenset[Place]]:
    """Where the basic blocks of a library that counts begin, and the lines that the host's compiler made code of.

    Nothing of either where binutils cannot tell.
    """
    if not (tool := shutil.which("objdump")):
        return frozenset(), frozenset()
    command = [tool, "--disassemble", "--no-show-raw-insn", "--dwarf=decodedline", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    starts = (int(found[1], 16) for found in re.finditer(r"<__sanitizer_cov_trace_pc\S*>\n *([0-9a-f]+):", text))
    lines = ((found[1], int(found[2])) for found in re.finditer(r"^(\S+\.cuh?) +(\d+) +0x", text, re.MULTILINE))
    return frozenset(starts), frozenset(lines)


def locate(path: Path, offset: int) -> Place | None:
    """File and line of the code before a return address: the innermost line that lies in a CUDA source.

    Clang gives a function's first instructions no line but the very first: then that of what comes before.
    """
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    if not tool or not offset:
        return None
    command = [tool, "-i", "-e", str(path), *(hex(before) for before in range(offset - 1, max(0, offset - 64), -1))]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for place in text.splitlines():
        if found := re.match(_PLACE, place):
            return Path(found[1]).name, int(found[2])
    return None
