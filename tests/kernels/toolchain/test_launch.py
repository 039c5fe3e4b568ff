"""What a launch asks of CuPy, with a stand-in for the compiled kernel."""

import sys
from types import SimpleNamespace

import pytest

from weft.kernels import attention
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.launch import FLOATS, Instance


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
