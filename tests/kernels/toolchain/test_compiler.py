"""NVRTC, its cache and its errors on small sources; then every kernel there is: it compiles, and spills no register."""

import dataclasses
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import pytest

import weft
from weft.kernels.toolchain import compiler, launch
from weft.kernels.toolchain.sources import FOLDER, SourceError
from weft.kernels.toolchain.spills import spills

FAMILIES = compiler.families()

needs_nvrtc = pytest.mark.skipif(sys.platform == "darwin", reason="there is neither CuPy nor NVRTC for macOS")

HEADER = """#pragma once
#include <cuda_fp16.h>
constexpr int FACTOR = 2;
__device__ float twice(float x) { return FACTOR * x; }
"""
SOURCE = """#include "twice.cuh"
template <typename T, int N> __global__ void __launch_bounds__(N) scale(const T* x, T* y) {
    __shared__ float tile[N];
    tile[threadIdx.x] = float(x[threadIdx.x]);
    __syncthreads();
    y[threadIdx.x] = T(twice(tile[N - 1 - threadIdx.x]));
}
__global__ void plain(int* x) { x[threadIdx.x] = 1; }
"""
SPILLING = """
template <typename T> __global__ void __launch_bounds__(1024, 2) hungry(const T* x, T* y) {
    T a[99];
    for (int i = 0; i < 99; ++i) a[i] = x[i * 1024 + threadIdx.x];
    for (int i = 0; i < 99; ++i) for (int j = 0; j < 99; ++j) a[j] = a[j] * a[(7 * j + i) % 99];
    for (int i = 0; i < 99; ++i) y[i * 1024 + threadIdx.x] = a[i];
}
__global__ void bare(int* x) { int unused; x[threadIdx.x] = 1; }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of sources, and an empty cache."""
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path / "cache"))
    for name, text in {"scale.cu": SOURCE, "twice.cuh": HEADER, "hungry.cu": SPILLING}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def compiled(monkeypatch):
    """The architectures that something was compiled for, not found in the cache, one after the other."""
    really, calls = compiler._compile, []
    monkeypatch.setattr(compiler, "_compile", lambda *args: (calls.append(args[-1]), really(*args))[1])
    return calls


def build(folder, *expressions, source="scale.cu", options=(), arch="sm_90a"):
    return compiler.build(source, expressions or ("scale<float, 64>",), options, arch=arch, folder=folder)


@needs_nvrtc
class TestBuild:
    def test_a_cubin(self, folder):
        program = build(folder, "scale<float, 64>", "scale<__half, 128>", "plain")
        cubin = program.path.read_bytes()
        assert cubin.startswith(b"\x7fELF")
        (table,), (size, count) = struct.unpack_from("<Q", cubin, 32), struct.unpack_from("<HH", cubin, 54)
        assert len(cubin) == table + size * count  # program headers come last: nothing is cut off
        assert program.path.name.startswith("scale-sm_90a-")
        assert list(program.names) == ["scale<float, 64>", "scale<__half, 128>", "plain"]
        assert all(name.encode() in program.path.read_bytes() for name in program.names.values())
        assert program.messages == ""

    @pytest.mark.parametrize("arch", compiler.ARCHITECTURES)
    def test_resources(self, folder, arch):
        one, two, plain = build(folder, "scale<float, 64>", "scale<__half, 128>", "plain", arch=arch).resources
        assert (one.kernel, one.shared, two.kernel, two.shared) == ("scale<float, 64>", 256, "scale<__half, 128>", 512)
        assert (plain.kernel, plain.shared) == ("plain", 0)
        for taken in (one, two, plain):
            assert 0 < taken.registers < 32
            assert taken.stack == taken.spill_stores == taken.spill_loads == 0

    def test_spills_are_seen(self, folder):
        """Those of the kernel asked for: one that is no template is in every program."""
        (taken,) = build(folder, "hungry<float>", source="hungry.cu").resources
        assert taken.registers == 32
        assert min(taken.stack, taken.spill_stores, taken.spill_loads) > 4 * 60

    def test_warnings_are_kept(self, folder):
        assert 'hungry.cu(8): warning #177-D: variable "unused"' in build(folder, "bare", source="hungry.cu").messages

    def test_options(self, folder):
        (folder / "scale.cu").write_text(SOURCE.replace("T(twice(", "T(SCALE * twice("))
        build(folder, options=("-DSCALE=3",))
        with pytest.raises(compiler.CompileError, match='identifier "SCALE" is undefined'):
            build(folder)


@needs_nvrtc
class TestCache:
    def test_hit(self, folder, compiled):
        assert build(folder) == build(folder)
        assert compiled == ["sm_90a"]

    @pytest.mark.parametrize("what", ["source", "header", "options", "expressions", "arch", "nvrtc"])
    def test_miss(self, folder, compiled, monkeypatch, what):
        before = build(folder)
        options = {}
        if what in ("source", "header"):
            path = folder / ("scale.cu" if what == "source" else "twice.cuh")
            path.write_text(path.read_text() + "// changed\n")
        elif what == "nvrtc":
            from cupy_backends.cuda.libs import nvrtc

            monkeypatch.setattr(nvrtc, "getVersion", lambda: (99, 0))
        else:
            options = {"options": {"options": ("-DX",)}, "arch": {"arch": "sm_80"}}.get(what, {})
        after = build(folder, *(["scale<float, 32>"] if what == "expressions" else []), **options)
        assert len(compiled) == 2
        assert before.path != after.path
        build(folder, *after.names, **options)
        assert len(compiled) == 2

    def test_harmed_file_is_compiled_again(self, folder, compiled):
        path = build(folder).path
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert build(folder).path.read_bytes() == whole
        assert len(compiled) == 2

    def test_carried_from_where_it_was_compiled(self, folder, compiled, monkeypatch):
        """What an NVRTC of the version that is named has made is taken without one; what it has not is compiled."""
        made = build(folder, "plain")
        version = ".".join(map(str, compiler._nvrtc().getVersion()))
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(compiler, "_nvrtc", lambda: pytest.fail("an NVRTC was asked for"))
            elsewhere.setenv("WEFT_CUBINS_OF", version)
            assert build(folder, "plain").path == made.path
        monkeypatch.setenv("WEFT_CUBINS_OF", "1.0")
        assert build(folder, "plain").path == made.path
        assert compiled == ["sm_90a"]

    def test_failure_is_not_kept(self, folder, compiled):
        for _ in range(2):
            with pytest.raises(compiler.CompileError):
                build(folder, "scale<nothing, 64>")
        assert len(compiled) == 2
        assert not (folder / "cache").exists()


@needs_nvrtc
class TestErrors:
    def test_line_of_the_source(self, folder):
        (folder / "scale.cu").write_text(SOURCE.replace("twice(tile", "thrice(tile"))
        with pytest.raises(compiler.CompileError) as caught:
            build(folder)
        assert re.match(
            r"`scale.cu` does not compile for sm_90a with NVRTC \d+\.\d+:\nscale.cu\(6\): error", str(caught.value)
        )
        assert "    y[threadIdx.x] = T(thrice(tile[N - 1 - threadIdx.x]));" in str(caught.value)

    def test_line_of_the_header(self, folder):
        (folder / "twice.cuh").write_text(HEADER.replace("FACTOR * x", "FACTORS * x"))
        with pytest.raises(compiler.CompileError, match=r'twice.cuh\(4\): error: identifier "FACTORS" is undefined'):
            build(folder)

    def test_kernel_that_is_not_there(self, folder):
        with pytest.raises(compiler.CompileError, match=r'Input name expression was: " scales < float, 64 ?>"'):
            build(folder, "scales<float, 64>")

    def test_option_that_is_not_there(self, folder):
        with pytest.raises(compiler.CompileError, match="unrecognized option -nothing found"):
            build(folder, options=("-nothing",))

    def test_source_that_is_not_there(self, folder):
        with pytest.raises(SourceError, match=r"`nothing\.cu` must be a CUDA source"):
            build(folder, source="nothing.cu")


def one_line(error):
    assert "\n" not in str(error.value)
    assert error.value.__suppress_context__
    return str(error.value)


class TestToolkit:
    """What is missing is named, with what to install."""

    def test_without_cupy(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", None)
        with pytest.raises(compiler.ToolkitError, match="needs CuPy, which could not be imported") as error:
            build(folder)
        assert one_line(error).endswith('): pip install "weft[cuda]"')

    def test_on_macos(self, folder, monkeypatch):
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(compiler.ToolkitError, match="needs NVRTC, and there is no CUDA for macOS"):
            build(folder)

    @needs_nvrtc
    def test_without_nvrtc(self, folder, monkeypatch):
        def no_library():
            raise RuntimeError("No such file: libnvrtc.so.13\nand much more")

        monkeypatch.setattr("cupy_backends.cuda.libs.nvrtc.getVersion", no_library)
        message = (
            r"needs NVRTC, which could not be loaded \(No such file: libnvrtc.so.13\): pip install \"weft\[cuda\]\""
        )
        with pytest.raises(compiler.ToolkitError, match=message) as error:
            build(folder)
        one_line(error)

    @needs_nvrtc
    def test_without_headers(self, folder, monkeypatch):
        monkeypatch.setattr("cuda.pathfinder.find_nvidia_header_directory", lambda _: None)
        with pytest.raises(
            compiler.ToolkitError, match=r"needs the CUDA headers, which were not found: .* set CUDA_PATH"
        ):
            build(folder)

    @needs_nvrtc
    @pytest.mark.parametrize("arch", ["sm_70", "sm_990a", "ninety"])
    def test_architecture_that_nvrtc_does_not_know(self, folder, arch):
        message = rf"NVRTC \d+\.\d+ does not compile for `{arch}`, only for sm_75, sm_80, .*: pip install --upgrade"
        with pytest.raises(compiler.ToolkitError, match=message):
            build(folder, arch=arch)

    def test_the_cpu_needs_nothing_of_it(self):
        """No part of weft asks for CuPy, NVRTC or NVIDIA's wheels until a CUDA device is asked for."""
        code = """
import sys
for name in ("cupy", "cupy_backends", "cupyx", "cuda", "nvidia"):
    sys.modules[name] = None
import weft
import weft.kernels.toolchain.compiler, weft.kernels.toolchain.report
from weft.__main__ import main
x = weft.tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
assert x.grad.numpy().tolist() == [2.0, 4.0]
try:
    weft.ones(2, device="cuda")
except weft.DeviceError as error:
    print(error)
sys.exit(main(["info", "--kernels"]))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
        assert re.fullmatch(r"`cuda` needs CuPy, which .*: pip install \"weft\[cuda\]\"\n", done.stdout)
        assert re.fullmatch(r"weft info: .* needs CuPy, which .*: pip install \"weft\[cuda\]\"\n", done.stderr)


class TestLoad:
    """The way from an instantiation to CuPy's kernel, with a CuPy that only writes down what it is asked for."""

    @pytest.fixture
    def cupy(self, monkeypatch):
        cupy = types.ModuleType("cupy")
        cupy.capability, cupy.asked = "90", []

        class RawModule:
            def __init__(self, *, path):
                self.path = path

            def get_function(self, name):
                cupy.asked.append((self.path, name))
                return "the kernel"

        cupy.RawModule = RawModule
        cupy.cuda = types.SimpleNamespace(
            Device=lambda: types.SimpleNamespace(compute_capability=cupy.capability),
            runtime=types.SimpleNamespace(getDevice=lambda: 1),
        )
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        return cupy

    @pytest.mark.parametrize(
        ("capability", "arch"),
        [("80", "sm_80"), ("89", "sm_89"), ("90", "sm_90a"), ("100", "sm_100"), ("120", "sm_120")],
    )
    def test_architecture(self, cupy, capability, arch):
        cupy.capability = capability
        assert compiler.architecture() == arch

    def test_device_that_is_too_old(self, cupy):
        cupy.capability = "75"
        with pytest.raises(
            compiler.ToolkitError, match=r"need compute capability 8.0 .* device 1 has 7.5: use another"
        ):
            compiler.architecture()

    @needs_nvrtc
    def test_load(self, cupy, folder, compiled, monkeypatch):
        monkeypatch.setattr(launch, "KERNELS", [])
        instance = launch.Kernel("scale.cu", "scale", launch.FLOATS, (32, 64))[weft.float16, 64]
        build = compiler.build
        monkeypatch.setattr(compiler, "build", lambda *args, **options: build(*args, **options, folder=folder))
        assert compiler.load(instance) == "the kernel"
        ((path, name),) = cupy.asked
        assert name == "_Z5scaleI6__halfLi64EEvPKT_PS1_"
        assert compiled == ["sm_90a"]
        cubin = (folder / path).read_bytes()
        assert name.encode() in cubin
        assert b"_Z5scaleIfLi64E" not in cubin, "an instantiation that nobody asked for"


class TestEveryKernel:
    def test_every_source_has_kernels(self):
        assert set(FAMILIES) == {path.name for path in FOLDER.glob("*.cu")}

    def test_options_are_those_of_the_source(self):
        for kernel in launch.KERNELS:
            if kernel.source not in FAMILIES:  # one of a test or an example
                continue
            assert kernel.options == FAMILIES[kernel.source][1], f"{kernel} differs from others of its source"

    def test_no_kernel_twice(self):
        for source, (expressions, _) in FAMILIES.items():
            assert len(set(expressions)) == len(expressions) > 0, source

    @needs_nvrtc
    @pytest.mark.parametrize("arch", compiler.ARCHITECTURES)
    @pytest.mark.parametrize("source", FAMILIES)
    def test_compiles_without_spills(self, source, arch, record_property):
        """All instantiations of a source; what they take is shown in a table after the tests (tests/conftest.py)."""
        expressions, options = FAMILIES[source]
        program = compiler.build(source, expressions, options, arch=arch)
        record_property("kernels", [(source, arch, dataclasses.asdict(taken)) for taken in program.resources])
        assert program.messages == ""
        assert [taken.kernel for taken in program.resources] == expressions
        assert all(taken.registers for taken in program.resources)
        assert spills(program) == []

    @needs_nvrtc
    def test_a_planted_spill_fails_it_by_file_and_line(self, monkeypatch, record_property):
        planted = Path(__file__).parents[1] / "machine_code.cu"
        monkeypatch.setitem(FAMILIES, str(planted), (["scale", "spills"], ()))
        lines = [i for i, line in enumerate(planted.read_text().splitlines(), 1) if "// kept" in line]
        named = (
            rf"`spills` spills \d+ bytes, loads \d+, stack \d+: machine_code\.cu:({'|'.join(map(str, lines))}) \(\d+"
        )
        for arch in compiler.ARCHITECTURES:
            with pytest.raises(AssertionError, match=named) as error:
                self.test_compiles_without_spills(str(planted), arch, lambda *_: None)
            assert "`scale`" not in str(error.value)
