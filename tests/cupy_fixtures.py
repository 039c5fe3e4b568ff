"""The stand-in for CuPy, as fixtures: what asks for one has device="cuda" on a machine without a GPU."""

import importlib

import pytest

import weft
from weft.backend.device import devices, faults
from weft.backend.nn import loss
from weft.kernels import indices
from weft.kernels.toolchain import compiler
from weft.kernels.toolchain.compiler import ToolkitError

POLICIES = ("lazy", "eager", *range(4))  # of `machine.behave`


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, and a library that has seen no CUDA device yet and forgets this one afterwards."""
    pytest.importorskip("cupy", reason="the stand-in for CuPy takes its names from CuPy")
    if "emulator" not in weft.devices():
        pytest.skip("the stand-in for CuPy runs kernels in the emulator, which needs a C++ compiler")
    import cupy_stand_in

    monkeypatch.setattr(devices, "_opened", {k: v for k, v in devices._opened.items() if not k.startswith("cuda")})
    monkeypatch.setattr(devices, "_namespace_of_type", dict(devices._namespace_of_type))
    monkeypatch.setattr(faults, "_sources", dict(faults._sources))
    monkeypatch.setattr(indices, "_words", {})
    monkeypatch.setattr(loss, "noted", dict(loss.noted))
    monkeypatch.setattr(compiler.gpu, "loaded", {})
    monkeypatch.setattr(compiler.gpu, "shared", {})
    try:
        with cupy_stand_in.installed() as module:
            yield module
    except ToolkitError as error:
        pytest.skip(str(error))


@pytest.fixture
def stand_in(cupy):
    return importlib.import_module("cupy_stand_in")


@pytest.fixture
def machine(cupy):
    """Its streams and memory."""
    return importlib.import_module("cupy_machine")
