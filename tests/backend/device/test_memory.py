"""Memory, on the CPU as the operating system counts it, on a GPU by a double of CuPy's pools."""

import gc
import mmap
import sys
import types

import numpy as np
import pytest

import weft
from weft.backend.device import devices, memory

MIB, GIB = 2**20, 2**30


class OutOfMemory(MemoryError):
    """CuPy's."""


class Pool:
    """What CuPy's pool tells about the current device."""

    def __init__(self, cupy, used, total):
        self.cupy, self.used, self.total = cupy, used, total

    def used_bytes(self):
        return self.used[self.cupy.current]

    def total_bytes(self):
        return self.total[self.cupy.current]

    def free_all_blocks(self):
        self.total[self.cupy.current] = self.used[self.cupy.current]

    def malloc(self, size):
        if size > 1000:
            raise OutOfMemory(f"Out of memory allocating {size:,} bytes")
        return size


@pytest.fixture
def cupy(monkeypatch):
    """Two GPUs of 140 GiB, and the default pool with memory on both."""
    cupy = types.ModuleType("cupy")
    cupy.current = 0

    class Device:
        def __init__(self, index):
            self.index, self.before = index, []

        def use(self):
            cupy.current = self.index

        def __enter__(self):
            self.before.append(cupy.current)
            self.use()

        def __exit__(self, *error):
            cupy.current = self.before.pop()

    pool = cupy.pool = Pool(cupy, [3 * GIB, 5 * MIB], [4 * GIB, 6 * MIB])
    cupy.allocator = pool.malloc
    cupy.get_default_memory_pool = lambda: pool
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 2, getDevice=lambda: cupy.current, memGetInfo=lambda: (100 * GIB, 140 * GIB)
    )
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        runtime=runtime,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemory),
        get_allocator=lambda: cupy.allocator,
        set_allocator=lambda f: setattr(cupy, "allocator", f),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(devices._opened, "cuda", np)
    gc.collect()  # recordings of other tests
    return cupy


class Recorder:
    def __init__(self, pool):
        self.pool = pool


class TestProcess:
    def test_summary(self):
        assert weft.memory_summary().startswith("cpu: the process takes ")
        assert "iB at its peak" in weft.memory_summary("cpu")
        with pytest.raises(weft.DeviceError, match="`device` must be one of"):
            weft.memory_summary("tpu")

    def test_where_the_present_is_not_known(self, monkeypatch):
        def unknown(*_):
            raise FileNotFoundError

        monkeypatch.setattr("builtins.open", unknown)
        assert weft.memory_summary("cpu").startswith("cpu: the process peaked at ")

    def test_it_counts(self):
        before = memory._of_the_process()[0]
        block = mmap.mmap(-1, 64 * MIB)  # not from memory that the process has kept
        for _ in range(64):
            block.write(bytes(MIB))
        now, peak = memory._of_the_process()
        assert 60 * MIB < now - before < 80 * MIB
        assert peak >= now
        del block

    @pytest.mark.parametrize("name", ["memory_allocated", "memory_reserved"])
    def test_no_gpu(self, name):
        with pytest.raises(ValueError, match=f"`{name}` needs a GPU, got 'cpu'; weft.memory_summary"):
            getattr(weft, name)()

    def test_nothing_is_cached(self):
        weft.empty_cache()
        with pytest.raises(weft.DeviceError, match="`device` must be one of"):
            weft.empty_cache("tpu")


class TestGpu:
    def test_summary(self, cupy):
        text = "3.0 GiB in tensors, 1.0 GiB kept for reuse, 36.0 GiB elsewhere, 100.0 GiB of 140.0 GiB free"
        assert weft.memory_summary("cuda") == f"cuda:0: {text}"
        assert weft.memory_summary("cuda:1").startswith("cuda:1: 5.0 MiB in tensors, 1.0 MiB kept for reuse, 40.0 GiB")

    def test_captured_steps(self, cupy):
        recorders = [Recorder(Pool(cupy, [0, 0], [GIB, 0])) for _ in range(2)]
        for r in recorders:
            memory.recorders.add(r)
        assert "2.0 GiB in 2 captured steps, 34.0 GiB elsewhere" in weft.memory_summary("cuda:0")
        assert "captured" not in weft.memory_summary("cuda:1")
        assert weft.memory_allocated("cuda:0") == 5 * GIB
        assert weft.memory_reserved("cuda:0") == 6 * GIB
        del r, recorders[0]
        assert "1.0 GiB in 1 captured step, " in weft.memory_summary("cuda:0")

    def test_numbers(self, cupy):
        assert (weft.memory_allocated("cuda"), weft.memory_reserved("cuda")) == (3 * GIB, 4 * GIB)
        with weft.device("cuda:1"):
            assert (weft.memory_allocated(), weft.memory_reserved()) == (5 * MIB, 6 * MIB)
            weft.empty_cache()
            assert weft.memory_reserved() == 5 * MIB
        assert weft.memory_reserved("cuda:0") == 4 * GIB
        assert cupy.current == 0


class TestExhaustion:
    def test_says_what_was_asked_for_who_has_the_rest_and_what_to_do(self, cupy):
        memory.explain_exhaustion()
        assert cupy.allocator(1000) == 1000
        with pytest.raises(weft.OutOfMemoryError) as caught:
            cupy.allocator(8 * GIB)
        assert str(caught.value) == (
            f"cuda:0 has no 8.0 GiB left ({memory.usage('cuda:0')!s}); try a smaller batch, "
            "weft.autocast('bfloat16'), weft.checkpoint, or accumulating gradients over several batches"
        )
        assert isinstance(caught.value.__cause__, OutOfMemory)
        assert isinstance(caught.value, MemoryError)

    def test_a_captured_steps_own_pool(self, cupy):
        allocate = memory.explaining(Pool(cupy, [0, 0], [0, 0]).malloc)
        cupy.current = 1
        with pytest.raises(weft.OutOfMemoryError, match=r"cuda:1 has no 2.0 MiB left \(5.0 MiB in tensors"):
            allocate(2 * MIB)

    def test_a_programs_own_allocator_remains(self, cupy):
        def refuse(f):
            raise ValueError("set_allocator() raises ValueError within using_allocator")

        cupy.cuda.set_allocator = refuse
        memory.explain_exhaustion()
        with pytest.raises(OutOfMemory, match="Out of memory allocating 2,000 bytes"):
            cupy.allocator(2000)
