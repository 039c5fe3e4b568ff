"""Where benches are measured: a CPU, a GPU through CuPy, or the emulator, on which the benches of a GPU are rehearsed.

All give weft and PyTorch the same memory, and samples of the time that something takes.
"""

from __future__ import annotations

import gc
import math
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ..backend.device import devices
from ..backend.tape.tensor import Tensor, wrap
from .turns import Rival

__all__ = ["Cuda", "Emulator", "Machine", "dtype_of"]

CHUNK = 1 << 26  # random elements made at a time: their temporaries are 8 bytes each
FLUSH = 256 << 20  # bytes, several times the L2 cache of any GPU
BLOCKS_AHEAD = 64  # at most so many writes of FLUSH bytes keep the device busy while the host prepares what is timed


def dtype_of(name: str) -> np.dtype:
    """ "bfloat16" → a NumPy dtype."""
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


class Machine:
    """A device of weft, `xp` its NumPy, and PyTorch (a module, or None) on `torch_device`."""

    warmup = 0  # runs before those that are timed
    runs_wgmma = False  # Hopper's products of warpgroups
    rival: Rival | None = None  # PyTorch in a process of its own

    def __init__(self, device: str, xp: Any, torch: Any = None, torch_device: str = "cpu"):
        self.device, self.xp, self.torch, self.torch_device = device, xp, torch, torch_device

    @property
    def kind(self) -> str:
        return devices.kind(self.device)

    # --- inputs -------------------------------------------------------------------------------------------------------
    def random(self, *shape: int, dtype: str = "float32", seed: int = 0, scale: float = 1.0) -> Any:
        """Uniform numbers with mean 0 and deviation `scale`: hashes (splitmix64) of their positions, made on the device.

        Not by weft's own kernels, which are what is tested.
        """
        out = self.xp.empty(math.prod(shape), dtype_of(dtype))
        for start in range(0, out.size, CHUNK):
            z = self._hash(start, min(CHUNK, out.size - start), seed)
            u = (z >> np.uint64(40)).astype(np.float32)
            u *= np.float32(scale * math.sqrt(12) / 2**24)
            u -= np.float32(scale * math.sqrt(3))
            out[start : start + CHUNK] = u.astype(out.dtype)
        return out.reshape(shape)

    def integers(self, *shape: int, below: int, seed: int = 0) -> Any:
        """int64 in [0, below)."""
        z = self._hash(0, math.prod(shape), seed + 1000) >> np.uint64(11)
        return (z % np.uint64(below)).astype(np.int64).reshape(shape)

    def _hash(self, start: int, count: int, seed: int) -> Any:
        z = self.xp.arange(start, start + count, dtype=np.uint64) + np.uint64(seed << 40)
        z *= np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z ^= z >> np.uint64(shift)
            z *= np.uint64(factor)
        return z ^ (z >> np.uint64(31))

    def take(self, array: Any, positions: Sequence[int], axis: int = 0) -> Any:
        """Those positions along an axis. (bfloat16 goes as 16 bits: not every library indexes it.)"""
        plain = array.view(np.int16) if array.dtype == ml_dtypes.bfloat16 else array
        return self.xp.take(plain, self.xp.asarray(positions), axis=axis).view(array.dtype)

    # --- between libraries --------------------------------------------------------------------------------------------
    def tensor(self, array: Any) -> Tensor:
        """A weft Tensor on the memory of an array."""
        return wrap(array, self.device)

    def to_torch(self, array: Any, requires_grad: bool = False) -> Any:
        """A PyTorch tensor on the memory of an array."""
        torch, is_bf16 = self.torch, array.dtype == ml_dtypes.bfloat16
        plain = array.view(np.int16) if is_bf16 else array
        if self.kind == "cuda":
            shared = torch.as_tensor(plain, device=self.torch_device)
        else:
            shared = torch.from_numpy(plain.view(np.ndarray))
        return (shared.view(torch.bfloat16) if is_bf16 else shared).requires_grad_(requires_grad)

    def raw(self, value: Any) -> Any:
        """The array of a weft Tensor, of a PyTorch tensor, or itself."""
        if isinstance(value, Tensor):
            return value.data
        if self.torch is None or not isinstance(value, self.torch.Tensor):
            return value
        value = value.detach().contiguous()
        is_bf16 = value.dtype == self.torch.bfloat16
        plain = value.view(self.torch.int16) if is_bf16 else value
        array = self.xp.asarray(plain if self.kind == "cuda" else plain.numpy())
        return array.view(ml_dtypes.bfloat16) if is_bf16 else array

    def wide(self, array: Any) -> Any:
        """In float64, for references."""
        return array.astype(np.float32, copy=False).astype(np.float64)

    # --- time ---------------------------------------------------------------------------------------------------------
    def synchronize(self) -> None: ...

    def release(self) -> None:
        """Give back the memory of the last bench."""
        gc.collect()

    def device_samples(self, run: Callable[[], Any], seconds: float, most: int) -> list[float]:
        """Seconds that the device was busy with `run`, from a cold cache; for `seconds` or `most` times, 3 at least."""
        return self.wall_samples(run, seconds, most)

    def wall_samples(self, run: Callable[[], Any], seconds: float, most: int) -> list[float]:
        """Seconds from one call to the next, the host's work included; a sample is the mean of many calls."""
        for _ in range(self.warmup):
            run()
        self.synchronize()
        start = time.perf_counter()
        run()
        self.synchronize()
        calls = max(1, round(min(seconds / 10, 0.05) / max(time.perf_counter() - start, 1e-7)))
        found: list[float] = []
        deadline = time.perf_counter() + seconds
        while len(found) < min(3, most) or (len(found) < most and time.perf_counter() < deadline):
            start = time.perf_counter()
            for _ in range(calls):
                run()
            self.synchronize()
            found.append((time.perf_counter() - start) / calls)
        return found

    def describe(self) -> dict[str, Any]:
        return {"device": _processor() if self.kind == "cpu" else self.device}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _driver() -> str | None:
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        run = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(run.stdout.split()), None)


class Emulator(Machine):
    """Tiny sizes by the host's clock: what is measured means nothing, that it runs and is right means all."""

    def __init__(self, torch: Any = None):
        devices.canonical("emulator")  # opens it
        super().__init__("emulator", devices.namespace("emulator"), torch)


class Cuda(Machine):
    """CUDA events on the default stream, which CuPy, weft and PyTorch share."""

    warmup = 3  # and the one whose result is checked: then a graph has been recorded, by PyTorch's rules too

    def __init__(self, torch: Any = None, device: str = "cuda"):
        device = devices.select(device)
        import cupy

        if torch is not None:
            torch.cuda.set_device(device)
        super().__init__(device, cupy, torch, device)
        self.runs_wgmma = cupy.cuda.Device().compute_capability == "90"
        self._scratch = cupy.empty(FLUSH, np.uint8)
        self._flush_s = min(self._timed(lambda: self._scratch.fill(1)) for _ in range(5))

    def synchronize(self) -> None:
        self.xp.cuda.runtime.deviceSynchronize()

    def release(self) -> None:
        gc.collect()
        self.synchronize()
        self.xp.get_default_memory_pool().free_all_blocks()
        if self.torch is not None:
            self.torch.cuda.empty_cache()

    def _timed(self, run: Callable[[], Any], flushes: int = 0) -> float:
        start, stop = self.xp.cuda.Event(), self.xp.cuda.Event()
        for _ in range(flushes):
            self._scratch.fill(1)
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return self.xp.cuda.get_elapsed_time(start, stop) / 1e3

    def device_samples(self, run: Callable[[], Any], seconds: float, most: int) -> list[float]:
        """Before each sample the device writes scratch memory: to empty the L2 cache, and until the host is done launching.

        So gaps between kernels that the host leaves do not count, unless `run` waits for the device itself.
        """
        for _ in range(self.warmup):
            run()
        self.synchronize()
        start = time.perf_counter()
        run()
        host = time.perf_counter() - start  # of launching alone
        self.synchronize()
        flushes = min(BLOCKS_AHEAD, 1 + math.ceil(1.5 * host / max(self._flush_s, 1e-5)))
        found: list[float] = []
        deadline = time.perf_counter() + seconds
        while len(found) < 3 or (len(found) < most and time.perf_counter() < deadline):
            found.append(self._timed(run, flushes))
        return found

    def describe(self) -> dict[str, Any]:
        runtime = self.xp.cuda.runtime
        properties = runtime.getDeviceProperties(self.xp.cuda.Device().id)
        name = properties["name"]
        return {
            "device": name.decode() if isinstance(name, bytes) else str(name),
            "driver": _driver() or f"for CUDA {runtime.driverGetVersion()}",
            "multiprocessors": int(properties["multiProcessorCount"]),
            "l2_bytes": int(properties["l2CacheSize"]),
        }
