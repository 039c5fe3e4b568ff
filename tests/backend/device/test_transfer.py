"""Batches on their way to a device: on one that does everything at the worst moment, where each forgotten wait shows."""

import gc

import numpy as np
import pytest
from late_gpu import POLICIES, CUDARuntimeError, Event, Stream, plug_in

from weft.backend.device import devices, transfer
from weft.backend.device.transfer import Staging

SPECS = [((5, 3), np.dtype(np.uint8)), ((5,), np.dtype(np.int64))]


@pytest.fixture
def late(monkeypatch):
    return lambda policy: plug_in(monkeypatch, policy)


def batch(i, specs=SPECS):
    return [np.full(shape, i + 1, dtype) for shape, dtype in specs]


def sent(staging, i, specs=SPECS):
    parcel = staging.parcel(specs)
    for to, a in zip(parcel.host, batch(i, specs)):
        to[...] = a
    return staging.send(parcel)


def travel(gpu, *, ahead, n=12):
    """Batches through one Staging, each read by a step on the compute stream and dropped; left with some on the way."""
    staging, way, found = Staging("cuda:0"), [], []
    for i in range(n + ahead):
        way.append(sent(staging, i))
        if len(way) > ahead:
            x, y = staging.receive(way.pop(0))
            found.append(gpu.apply(lambda x, y: x * 2 + y[:, None], x, y))
            del x, y
    staging.settle()
    del way
    others = [gpu.apply(lambda dtype=dtype, shape=shape: np.full(shape, 77, dtype)) for shape, dtype in SPECS * 3]
    del staging
    gc.collect()
    gpu.finish()
    for i, y in enumerate(found):
        np.testing.assert_array_equal(y.memory, np.full((5, 3), 3 * (i + 1)))
    for other in others:
        np.testing.assert_array_equal(other.memory, np.full(other.shape, 77))


class TestOrder:
    @pytest.mark.parametrize("ahead", [0, 1, 2])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_nothing_is_read_too_early_or_overwritten(self, late, policy, ahead):
        travel(late(policy), ahead=ahead)

    def idle(*_): ...

    @pytest.mark.parametrize(
        ("where", "name", "instead"),
        [
            (transfer._Cuda, "wait", idle),
            (transfer.Staging, "settle", idle),
            (transfer.Staging, "__del__", idle),
            (Event, "done", True),
            (Event, "synchronize", idle),
            (Stream, "wait_event", lambda self, event: None if self is not self.gpu.compute else self.ask(event)),
        ],
        ids=["no wait for a copy", "no wait when left", "memory is returned at once", "memory is reused at once",
             "no wait for memory", "no wait for earlier owners"],
    )  # fmt: skip
    def test_each_forgotten_wait_shows(self, late, monkeypatch, where, name, instead):
        monkeypatch.setattr(where, name, instead)
        with pytest.raises(AssertionError, match="Arrays are not equal"):
            self.travel_under_all_policies(late)

    @staticmethod
    def travel_under_all_policies(late):
        for policy in POLICIES:
            for ahead in (0, 1, 2):
                travel(late(policy), ahead=ahead)

    def test_a_copy_waits_for_earlier_steps_and_not_for_the_one_asked_for_after_it(self, late):
        gpu, staging = late("copies"), Staging("cuda:0")
        first = sent(staging, 0)
        staging.receive(first)
        done = []
        gpu.compute.ask(lambda: done.append("before"))
        parcel = sent(staging, 1)
        gpu.compute.ask(lambda: done.append("after"))
        while not done:
            assert not parcel.arrived.is_over
            gpu.tick()
            gpu.compute.step()
        gpu.compute.step()  # the event that was recorded then
        gpu.tick()
        assert parcel.arrived.is_over
        assert done == ["before"]


class TestMemory:
    def test_is_used_again(self, late):
        gpu, staging = late("eager"), Staging("cuda:0")
        for i in range(20):
            staging.receive(sent(staging, i))
        assert len(gpu.pinned) == 1
        assert not gpu.waits

    def test_is_waited_for_only_beyond_some_copies_under_way(self, late):
        gpu, staging = late("lazy"), Staging("cuda:0")
        for i in range(3):
            sent(staging, i)
        assert (len(gpu.pinned), len(gpu.waits)) == (3, 0)
        for i in range(20):
            sent(staging, i)
        assert (len(gpu.pinned), len(gpu.waits)) == (3, 20)

    def test_grows_and_serves_smaller_batches(self, late):
        gpu, staging = late("eager"), Staging("cuda:0")
        for shape in [(5, 3), (500, 3), (2, 3), (500, 3), (0, 3)]:
            specs = [(shape, np.dtype(np.float32)), (shape[:1], np.dtype(np.uint8))]
            x, y = staging.receive(sent(staging, 4, specs))
            gpu.finish()
            np.testing.assert_array_equal(x.memory, batch(4, specs)[0])
            np.testing.assert_array_equal(y.memory, batch(4, specs)[1])
        assert [m.nbytes for m in gpu.pinned] == [1024, 6656]

    def test_arrays_are_aligned(self, late):
        late("eager")
        parcel = Staging("cuda:0").parcel([((3,), np.dtype(np.uint8)), ((2,), np.dtype(np.float64)), ((), SPECS[0][1])])
        first = parcel.host[0].ctypes.data
        assert [a.ctypes.data - first for a in parcel.host] == [0, 512, 1024]

    def test_is_refused(self, late, monkeypatch):
        def refuse(size):
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")

        monkeypatch.setattr(late("eager").cupy.cuda, "alloc_pinned_memory", refuse)
        with pytest.raises(MemoryError, match=r"`pin_memory` needs 552 bytes of page-locked memory, .* \(cudaErrorMem"):
            Staging("cuda:0").parcel(SPECS)

    def test_a_captured_step_loads_nothing(self, late, monkeypatch):
        late("eager")
        monkeypatch.setattr(Stream, "is_capturing", lambda self: True)
        with pytest.raises(RuntimeError, match="a captured step cannot load batches: pass them as arguments"):
            sent(Staging("cuda:0"), 0)


def test_the_same_on_devices_that_are_there(accelerator):
    staging = Staging(accelerator)
    for i in range(8):
        x, y = staging.receive(sent(staging, i))
        np.testing.assert_array_equal(devices.to_numpy(x), batch(i)[0])
        np.testing.assert_array_equal(devices.to_numpy(y), batch(i)[1])
    staging.settle()
