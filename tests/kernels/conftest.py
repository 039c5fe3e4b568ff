"""Where there is a GPU, each test of a kernel runs on it, too (marked `gpu`); without a C++ compiler, none can run."""

import gpu_launch
import pytest

import weft
from weft.kernels import emulator

HOST_ONLY = (
    "test_array", "test_cache", "test_compiler", "test_counters", "test_cublas", "test_emulator", "test_gemm", "test_lanes",
    "test_machine_code", "test_pipelines", "test_report", "test_roofline", "test_sources", "test_spills", "test_tensor_map",
)  # fmt: skip


def pytest_generate_tests(metafunc):
    name = metafunc.module.__name__.rpartition(".")[2]
    if name not in HOST_ONLY and "cuda" in weft.devices():
        metafunc.fixturenames.append("_on_gpu")
        both = [pytest.param(False, id="emulator"), pytest.param(True, id="cuda", marks=pytest.mark.gpu)]
        metafunc.parametrize("_on_gpu", both, indirect=True)


@pytest.fixture
def _on_gpu(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(emulator, "_launch", gpu_launch.launch)


@pytest.fixture(autouse=True)
def _compiler(request):
    if "emulator" not in weft.devices() and request.module.__name__.rpartition(".")[2] not in HOST_ONLY:
        pytest.skip("the emulator needs a C++ compiler")


@pytest.fixture
def only_general(monkeypatch):
    """From when it is called, `pooling.cu` does all pooling, whatever the windows."""

    def only_general():
        from weft.kernels import pooling

        for special in pooling.SPECIAL:
            monkeypatch.setattr(special, "width_of_access", lambda *_: 0)
        for module in pooling.ANY_SIZE:
            monkeypatch.setattr(module, "fits", lambda *_: False)
        for module in pooling.ANY_SIZE_BACKWARD:
            monkeypatch.setattr(module, "fits_backward", lambda *_: False)
        for plan in ("plan", "plan_backward"):
            monkeypatch.setattr(pooling.pooling_means, plan, lambda *_: None)

    return only_general
