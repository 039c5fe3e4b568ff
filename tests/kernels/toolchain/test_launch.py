"""What a launch asks of CuPy, with a stand-in for the compiled kernel."""

import contextlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import weft
from weft.kernels import attention
from weft.kernels.emulator import counters
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.launch import FLOATS, Instance
from weft.kernels.toolchain.tensor_map import TensorMap


@pytest.mark.parametrize(("shared", "limit"), [(0, 49152 - 256), (4096, 49152 - 256), (49152, 49152), (65536, 65536)])
def test_shared_memory_beyond_what_the_static_part_leaves(monkeypatch, shared, limit):
    runtime = SimpleNamespace(getDevice=lambda: 0)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    instance = Instance(attention._delta, (FLOATS[0],))
    function = SimpleNamespace(max_dynamic_shared_size_bytes=48 * 1024 - 256)
    monkeypatch.setattr(compiler.gpu, "loaded", {(instance, 0): function})
    monkeypatch.setattr(compiler.gpu, "shared", {})
    assert compiler.gpu.function(instance, shared) is function
    assert function.max_dynamic_shared_size_bytes == limit


def test_a_template_needs_its_arguments():
    """What is no instantiation cannot be launched; the message shows one that there is."""
    with pytest.raises(
        TypeError, match=r"`attention_delta` is a template: .* attention_delta\[dtype\('float32'\)\]\(grid"
    ):
        attention._delta(1, 32)


@pytest.mark.parametrize("arguments", [(), (np.int32(3), None)])
@pytest.mark.parametrize("mode", [contextlib.nullcontext, counters.counting, counters.listing])
def test_an_array_tells_the_device(mode, arguments):
    """Without one there is no way to know whether a GPU is meant, also where launches are counted."""
    found = r"`attention_delta<float>` must be given an array, which tells where it runs .*, got \(.*\); add one"
    with mode(), pytest.raises(TypeError, match=found):
        attention._delta[FLOATS[0]](1, 32, *arguments)


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_a_tensor_map_is_of_an_array():
    """Which tells it as well: this one goes to the emulator, that of a GPU would ask for one."""
    array = np.zeros((1, 1, 64, 64), np.float16)
    with counters.listing() as listed:
        attention._delta[FLOATS[0]](1, 32, TensorMap(array, rows=64))
    assert listed == [attention._delta[FLOATS[0]]]
