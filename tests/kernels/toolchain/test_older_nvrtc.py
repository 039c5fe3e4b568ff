"""NVRTC 13.0, which comes with the drivers of its generation, compiles every kernel, and none spills."""

import json
import os
import subprocess
import sys

import pytest

VERSION = "13.0.88"
PROGRAM = """
import ctypes, json, sys
for library in sys.argv[2:]:  # before CuPy looks for one
    ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
from weft.bench.precompile import families
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.spills import spills
assert compiler._nvrtc().getVersion() == (13, 0)
spilled, said = [], []
for source, (expressions, options) in families(sys.argv[1]).items():
    program = compiler.build(source, expressions, options, arch=sys.argv[1])
    said += [program.messages] if program.messages else []
    spilled += spills(program)
print(json.dumps([spilled, said]))
"""


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """The two of this version, in a folder of their own: an environment holds one NVRTC alone."""
    pytest.importorskip("cupy", reason='pip install "weft[nvrtc]"')
    folder = tmp_path_factory.mktemp("nvrtc")
    wanted = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    done = subprocess.run([*wanted, f"nvidia-cuda-nvrtc=={VERSION}"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nvidia-cuda-nvrtc {VERSION} cannot be installed here: {done.stderr.strip()[-200:]}")
    return [str(next(folder.rglob(name))) for name in ("libnvrtc-builtins.so.13.0", "libnvrtc.so.13")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the wheel's libraries are named as on Linux")
@pytest.mark.parametrize("arch", ["sm_80", "sm_90a", "sm_100"])
def test_no_spills(arch, libraries, tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, arch, *libraries], capture_output=True, text=True, env=environment
    )
    assert not done.returncode, done.stderr
    spilled, said = json.loads(done.stdout)
    assert said == []
    assert spilled == []
