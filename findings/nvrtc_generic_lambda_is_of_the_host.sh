#!/bin/sh
# NVRTC 13.0.88 refuses a generic lambda in a kernel: "a function without execution space annotations is considered a host
# function, and host functions are not allowed in JIT mode". The same lambda with `int` in the place of `auto` compiles, as both do
# with `-default-device`, and with NVRTC 13.5.37 without it. So a source that is tested with the newest wheel fails where the
# toolkit is of 13.0, with an error about host code in code that has none.
# No GPU is needed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 13.0.88 13.5.37; do
    python3 -m pip install --quiet --no-deps --target "$folder/$version" "nvidia-cuda-nvrtc==$version"
done
cat >"$folder/compile.py" <<'PY'
import ctypes
import sys
from pathlib import Path

SOURCE = """
extern "C" __global__ void scale(float* x) {
    const auto twice = [&](TYPE factor) { return 2 * factor; };
    x[threadIdx.x] *= twice(3);
}
"""


def error(nvrtc, type_name, *options):
    """The first error's text, or "compiles"."""
    program = ctypes.c_void_p()
    source = SOURCE.replace("TYPE", type_name).encode()
    assert not nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"scale.cu", 0, None, None)
    given = [b"-arch=sm_80", b"-std=c++17", *options]
    if not nvrtc.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given)):
        return "compiles"
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    return "refused as the host's" if b"host functions are not allowed in JIT mode" in log.value else log.value.decode()


folder = Path(sys.argv[1])
for name in ("libnvrtc-builtins.so.13*", "libnvrtc.so.13"):
    (path,) = (p for p in folder.rglob(name) if "alt" not in p.name)
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
major, minor = ctypes.c_int(), ctypes.c_int()
library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
cases = (("int", ()), ("auto", ()), ("auto", (b"-default-device",)))
found = [error(library, name, *options) for name, options in cases]
for (name, options), result in zip(cases, found):
    print(f"NVRTC {major.value}.{minor.value}: [&]({name} factor) {b' '.join(options).decode():<16} {result}")
old = (major.value, minor.value) == (13, 0)
assert found == ["compiles", "refused as the host's" if old else "compiles", "compiles"], found
PY
python3 "$folder/compile.py" "$folder/13.0.88"
python3 "$folder/compile.py" "$folder/13.5.37"
