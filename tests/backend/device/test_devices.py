"""Devices by name: the default one, unknown ones, and a machine without CuPy or without a GPU (simulated)."""

import copy
import pickle
import subprocess
import sys
import threading
import types

import array_api_strict
import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import devices


@pytest.fixture
def closed(monkeypatch):
    """No device but the CPU has been opened yet, and none stays open afterwards."""
    monkeypatch.setattr(devices, "_opened", {"cpu": np})
    monkeypatch.setattr(devices, "_openers", dict(devices._openers))
    monkeypatch.setattr(devices, "_process_default", [None])


class TestUnknown:
    def test_everywhere(self):
        for use in (
            lambda: weft.ones(2, device="gpu"),
            lambda: weft.ones(2).to("gpu"),
            lambda: weft.set_default_device("gpu"),
            lambda: weft.asarray([1.0], device="gpu"),
            lambda: weft.device("gpu").__enter__(),
            lambda: weft.synchronize("gpu"),
        ):
            with pytest.raises((weft.DeviceError, TypeError), match="gpu"):
                use()

    def test_message(self):
        with pytest.raises(
            weft.DeviceError,
            match=r"`device` must be one of \['cpu', 'cuda'.*\] \(with an index as in 'cuda:1'\), got 'tpu'",
        ):
            weft.ones(2, device="tpu")
        with pytest.raises(weft.DeviceError, match="got 3"):
            weft.ones(2, device=3)
        with pytest.raises(weft.DeviceError, match="`device` takes an index for cuda alone, got 'cpu:0'"):
            weft.ones(2, device="cpu:0")


class TestCuda:
    """What a machine without a GPU says: one line, and what to do."""

    def complaint(self):
        with pytest.raises(weft.DeviceError) as caught:
            weft.ones(2, device="cuda")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert "\n" not in str(caught.value)
        assert weft.devices()[0] == "cpu"
        assert not any(name.startswith("cuda") for name in weft.devices())
        return str(caught.value)

    def fake(self, monkeypatch, count, driver=13010):
        runtime = types.SimpleNamespace(CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}))
        runtime.driverGetVersion, runtime.runtimeGetVersion = lambda: driver, lambda: 13020

        def get_device_count():
            if count is None:
                raise runtime.CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
            return count

        used = [0]
        runtime.getDeviceCount, runtime.getDevice = get_device_count, lambda: used[0]
        device = lambda index: types.SimpleNamespace(use=lambda: used.__setitem__(0, index))
        cupy = types.ModuleType("cupy")
        cupy.ndarray = type("ndarray", (), {})
        cupy.cuda = types.SimpleNamespace(
            runtime=runtime, Device=device, get_allocator=lambda: None, set_allocator=lambda f: None
        )
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        namespace = types.ModuleType("array_api_compat.cupy")
        namespace.exp = lambda x: x
        monkeypatch.setitem(sys.modules, "array_api_compat.cupy", namespace)
        monkeypatch.setattr("array_api_compat.cupy", namespace, raising=False)
        return namespace

    def test_without_cupy(self, monkeypatch, closed):
        monkeypatch.setitem(sys.modules, "cupy", None)
        assert self.complaint().startswith("`cuda` needs CuPy, which could not be imported (")
        assert self.complaint().endswith('): pip install "weft[cuda]"')

    def test_on_macos(self, monkeypatch, closed):
        """Where `weft[cuda]` has nothing to install, no message asks for it."""
        monkeypatch.setattr(sys, "platform", "darwin")
        assert self.complaint() == (
            "`cuda` needs an NVIDIA GPU and its driver, and there is no CUDA for macOS; `cpu` is for every machine"
        )

    @pytest.mark.parametrize(
        ("driver", "what"),
        [
            (0, "no driver is installed: see nvidia.com/drivers"),
            (12040, "CuPy is built for CUDA 13 and the driver supports CUDA 12.4: update the driver"),
            (13010, "the driver says: cudaErrorInsufficientDriver: CUDA driver version is insufficient"),
        ],
    )
    def test_driver_that_is_missing_or_too_old(self, monkeypatch, closed, driver, what):
        self.fake(monkeypatch, None, driver)
        assert self.complaint() == f"`cuda` needs an NVIDIA GPU and its driver; {what}"

    def test_without_a_gpu(self, monkeypatch, closed):
        self.fake(monkeypatch, 0)
        assert self.complaint() == "`cuda` needs an NVIDIA GPU; the driver reports none"

    def test_indices(self, monkeypatch, closed):
        namespace = self.fake(monkeypatch, 2)
        assert devices.canonical("cuda") == "cuda:0"
        assert devices.canonical("cuda:0") == "cuda:0"
        assert devices.namespace("cuda:1") is devices.namespace("cuda")
        assert devices.namespace("cuda").exp is namespace.exp
        assert [d for d in weft.devices() if d.startswith("cuda")] == ["cuda:0", "cuda:1"]
        for name in ("cuda:2", "cuda:x", "cuda:-1"):
            with pytest.raises(
                weft.DeviceError, match=f"`device` must be cuda:0 … cuda:1 on this machine, got '{name}'"
            ):
                devices.canonical(name)

    def test_one_gpu_is_in_use(self, monkeypatch, closed):
        self.fake(monkeypatch, 3)
        with weft.device("cuda:1") as name:
            assert name == devices.canonical("cuda:1") == devices.canonical("cuda") == "cuda:1"
            with weft.device("cuda:2"), weft.device("cpu"):
                assert devices.canonical("cuda") == "cuda:2"
            assert devices.canonical("cuda") == "cuda:1"
            with pytest.raises(
                weft.DeviceError, match="must be the GPU in use, 'cuda:1', got 'cuda:0': CuPy works on one"
            ):
                devices.canonical("cuda:0")
        assert devices.canonical("cuda") == "cuda:0"
        weft.set_default_device("cuda:2")
        try:
            assert weft.get_default_device() == devices.canonical("cuda") == "cuda:2"
        finally:
            weft.set_default_device("cpu")
        assert devices.select("cuda:1") == devices.canonical("cuda") == "cuda:1"


class TestDefault:
    def test_set(self):
        weft.set_default_device("strict")
        try:
            assert weft.get_default_device() == "strict"
            assert (
                weft.ones(2).device
                == weft.rand(2).device
                == weft.tensor([1.0]).device
                == weft.arange(3).device
                == "strict"
            )
            assert weft.asarray(np.ones(2)).device == "strict"
            assert weft.ones_like(weft.ones(2, device="cpu")).device == "cpu"
        finally:
            weft.set_default_device("cpu")

    def test_block(self):
        with weft.device("strict") as name:
            assert name == "strict"
            assert weft.ones(2).device == "strict"
            with weft.device("cpu"):
                assert weft.ones(2).device == "cpu"
            assert weft.ones(2, device="cpu").device == "cpu"
        assert weft.ones(2).device == "cpu"

    def test_block_ends_with_an_exception(self):
        with pytest.raises(KeyError), weft.device("strict"):
            raise KeyError
        assert weft.get_default_device() == "cpu"

    def test_block_is_for_one_thread(self):
        found = []
        with weft.device("strict"):
            thread = threading.Thread(target=lambda: found.append(weft.get_default_device()))
            thread.start()
            thread.join()
        assert found == ["cpu"]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("cpu", "cpu"),
            ("", "cpu"),
            ("tpu", r"DeviceError: WEFT_DEVICE=tpu: `device` must be one of ['cpu', 'cuda', 'emulator']"),
        ],
    )
    def test_environment(self, value, expected, monkeypatch):
        monkeypatch.setenv("WEFT_DEVICE", value)
        run = subprocess.run(
            [sys.executable, "-c", "import weft; print(weft.ones(2).device)"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert expected in (run.stdout if run.returncode == 0 else run.stderr.splitlines()[-1])

    def test_environment_is_read_late(self, monkeypatch, closed):
        monkeypatch.setenv("WEFT_DEVICE", "strict")
        assert weft.get_default_device() == "strict"


class TestRegister:
    def test_any_array_api_library(self, closed):
        weft.register_device("mine", array_api_strict)
        assert "mine" in weft.devices()
        x = weft.ones(3, device="mine", requires_grad=True)
        assert isinstance(x.data, array_api_strict._array_object.Array)
        weft.exp(x * 2).sum().backward()
        assert x.grad.device == "mine"
        np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(np.full(3, 2.0)), rtol=1e-6)

    def test_arrays_of_a_registered_library_are_recognised(self):
        x = weft.asarray(array_api_strict.ones(3))
        assert x.device == "strict"
        assert weft.Tensor(array_api_strict.ones(3)).device == "strict"


def test_moving():
    x = weft.ones(3, requires_grad=True)
    y = x.to("strict")
    assert (y.device, y.is_leaf) == ("strict", False)
    (y * 2).to("cpu").sum().backward()
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [2, 2, 2]
    assert x.to("cpu") is x
    second = weft.grad(lambda x: weft.grad(lambda x: (x.to("strict") ** 3).to("cpu").sum())(x).sum())(weft.ones(2))
    assert second.tolist() == [6, 6]


def test_synchronize():
    assert weft.synchronize() is None
    assert weft.synchronize("cpu") is None


def test_is_array():
    assert devices.is_array(np.ones(2))
    assert devices.is_array(array_api_strict.ones(2))
    assert devices.is_array(weft.ones(2))
    for x in ([1.0], 2.0, "x", {"get": 1}, None):
        assert not devices.is_array(x)


def test_to_numpy():
    x = np.ones(2)
    assert devices.to_numpy(x) is x
    assert devices.to_numpy(array_api_strict.ones(2)).tolist() == [1, 1]
    assert devices.to_numpy(types.SimpleNamespace(get=lambda: x)) is x


class TestSyncDebugMode:
    @pytest.fixture(autouse=True)
    def _restore(self):
        yield
        weft.set_sync_debug_mode("default")

    def test_error(self, accelerator):
        x = weft.ones((2, 2), device=accelerator)
        weft.set_sync_debug_mode("error")
        for read in (
            lambda: x[0, 0].item(),
            x.numpy,
            x.tolist,
            lambda: bool(x[0, 0]),
            lambda: repr(x),
            lambda: x.cpu(),
        ):
            with pytest.raises(RuntimeError, match="the host waits here for a value from the device"):
                read()
        assert weft.get_sync_debug_mode() == "error"
        assert weft.ones(2).tolist() == [1, 1]

    def test_warn(self, accelerator):
        x = weft.ones((), device=accelerator)
        weft.set_sync_debug_mode("warn")
        with pytest.warns(RuntimeWarning, match="the host waits here"):
            assert x.item() == 1

    def test_training_never_waits(self, accelerator):
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3),
            nn.BatchNorm2d(2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(18, 4),
            nn.LayerNorm(4),
            nn.GELU(),
            nn.Linear(4, 3),
        ).to(accelerator)
        optimizer, scaler = optim.AdamW(model.parameters()), weft.GradScaler()
        x, y = weft.randn(4, 1, 8, 8, device=accelerator), weft.asarray(np.array([0, 1, 2, 0]), device=accelerator)
        weft.set_sync_debug_mode("error")
        for _ in range(2):
            optimizer.zero_grad()
            with weft.autocast("float16"):
                loss = nn.functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            optim.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.step()

    def test_waiting_that_is_meant(self):
        x = weft.ones((), device="emulator")
        weft.set_sync_debug_mode("error")
        with devices.waiting_is_meant():
            with devices.waiting_is_meant():
                assert x.item() == 1
            assert x.item() == 1
        with pytest.raises(RuntimeError, match="the host waits here"):
            x.item()

    def test_mode_is_checked(self):
        with pytest.raises(ValueError, match="`debug_mode` must be 'default', 'warn' or 'error', got 'loud'"):
            weft.set_sync_debug_mode("loud")


class TestDevice:
    """`weft.device`, PyTorch's object: a checked name, and a block."""

    @pytest.mark.parametrize("name", ["nonsense", "cpu:1", "cuda:x", "cuda:", "", 3, None])
    def test_nonsense(self, name):
        with pytest.raises(weft.DeviceError, match=r"`device` (must be one of|takes an index for cuda alone)"):
            weft.device(name)

    def test_parts(self):
        for made in (weft.device("cuda:1"), weft.device("cuda", 1)):
            assert (made, made.type, made.index, repr(made)) == ("cuda:1", "cuda", 1, "device('cuda:1')")
        assert (weft.device("cpu").type, weft.device("cpu").index) == ("cpu", None)
        assert pickle.loads(pickle.dumps(weft.device("cuda:1"))) == copy.deepcopy(weft.device("cuda:1")) == "cuda:1"

    @pytest.mark.parametrize("name", ["cpu", "strict"])
    def test_wherever_a_device_is_named(self, name):
        device = weft.device(name)
        model = nn.Linear(2, 2).to(device)
        for x in (
            weft.ones(2, device=device),
            weft.ones(2).to(device),
            weft.ones(2).to(device=device),
            weft.ones(2).to_device(device),
            weft.asarray([1.0], device=device),
            model.weight,
            nn.Linear(2, 2, device=device).weight,
        ):
            assert x.device == name == device
            assert type(x.device) is str

    def test_blocks_within_blocks(self):
        outer, inner = weft.device("strict"), weft.device("cpu")
        with outer:
            with inner, outer:
                assert weft.ones(1).device == "strict"
            with inner:
                assert weft.ones(1).device == "cpu"
                with pytest.raises(KeyError), outer:
                    raise KeyError
                assert weft.ones(1).device == "cpu"
            assert weft.ones(1).device == "strict"
        assert weft.ones(1).device == "cpu"

    def test_around_a_function(self):
        @weft.device("strict")
        def made():
            return weft.ones(1).device

        assert (made(), weft.ones(1).device) == ("strict", "cpu")
