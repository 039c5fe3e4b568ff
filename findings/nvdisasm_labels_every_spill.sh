#!/bin/sh
# nvdisasm 13.5.37 prints a label before each instruction that ptxas added to spill a register or to reload it, and no instruction
# names these labels: of the same loop-free kernel, 3 labels with 8 values in registers, 89 with 96 values and 86 spills. So who takes
# a label for the beginning of a basic block, as an assembler's labels otherwise are, finds dozens or hundreds of blocks in straight
# code: whatever grows with the square of the blocks (dominators, live ranges) explodes on just the kernels that one wants to look
# at. Where no branch goes by a table, only a label that an instruction names begins a block.
# No GPU is needed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --no-deps --target "$folder/wheels" nvidia-cuda-nvrtc==13.5.37 nvidia-cuda-nvdisasm==13.5.37
cat >"$folder/labels.py" <<'PY'
import ctypes
import re
import subprocess
import sys
from pathlib import Path

WHEELS, FOLDER = map(Path, sys.argv[1:3])
SOURCE = """
extern "C" __global__ void __launch_bounds__(1024, 2) turn(const float* x, float* y) {
    float kept[MANY];
#pragma unroll
    for (int i = 0; i < MANY; ++i) kept[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < MANY; ++i) y[i * 1024 + threadIdx.x] = kept[MANY - 1 - i] * kept[i];
}
"""
(library,) = WHEELS.rglob("libnvrtc.so.*")
(disassembler,) = (p for p in WHEELS.rglob("nvdisasm*") if p.is_file() and p.parent.name == "bin")
disassembler.chmod(0o755)
nvrtc = ctypes.CDLL(str(library))


def listing(many):
    """The disassembly of the kernel with so many values, for sm_90a."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    source = SOURCE.replace("MANY", str(many)).encode()
    assert not nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"turn.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(b"--gpu-architecture=sm_90a")
    assert not nvrtc.nvrtcCompileProgram(program, 1, options)
    assert not nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(size.value)
    assert not nvrtc.nvrtcGetCUBIN(program, code)
    cubin = FOLDER / f"turn{many}.cubin"
    cubin.write_bytes(code.raw)
    return subprocess.run([disassembler, "--print-code", cubin], check=True, capture_output=True, text=True).stdout


for many in (8, 96):
    text = listing(many)
    spills = len(re.findall(r"\b(?:STL|LDL)[.\w]* .*", text))
    labels = re.findall(r"^\s*(\.L_x_\d+):", text, re.MULTILINE)
    named = set(re.findall(r"`\((\.L_x_\d+)\)", text))
    before = len(re.findall(r"^\s*\.L_x_\d+:\n.*\b(?:STL|LDL)\b.*SpillRefill", text, re.MULTILINE))
    print(f"{many} values: {spills} spills, {len(labels)} labels, {before} of them before a spill, {len(named)} named by an instruction")
    assert (spills == 0) == (many == 8)
    assert len(named) <= 2, named
    assert before == spills, (before, spills)
    assert len(labels) <= spills + 3
PY
python3 "$folder/labels.py" "$folder/wheels" "$folder"
echo "as stated"
