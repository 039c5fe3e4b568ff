"""Batches on their way to a device: on one that says where a wait was forgotten, and on devices that are there."""

import gc

import numpy as np
import pytest
from cupy_fixtures import POLICIES

from weft.backend.device import devices, transfer
from weft.backend.device.transfer import Staging

SPECS = [((5, 3), np.dtype(np.uint8)), ((5,), np.dtype(np.int64))]


def batch(i, specs=SPECS):
    return [np.full(shape, i + 1, dtype) for shape, dtype in specs]


def sent(staging, i, specs=SPECS):
    parcel = staging.parcel(specs)
    for to, a in zip(parcel.host, batch(i, specs)):
        to[...] = a
    return staging.send(parcel)


def travel(cupy, machine, *, ahead, n=12):
    """Batches through one Staging, each read by a step on the compute stream and dropped; left with some on the way."""
    staging, way, found = Staging("cuda:0"), [], []
    for i in range(n + ahead):
        way.append(sent(staging, i))
        if len(way) > ahead:
            x, y = staging.receive(way.pop(0))
            found.append(x * 2 + y[:, None])
            del x, y
    staging.settle()
    del way
    others = [cupy.full(shape, 77, dtype) for shape, dtype in SPECS * 3]
    del staging
    gc.collect()
    machine.finish()
    for i, y in enumerate(found):
        np.testing.assert_array_equal(y.get(), np.full((5, 3), 3 * (i + 1)))
    for other in others:
        np.testing.assert_array_equal(other.get(), np.full(other.shape, 77))


class TestOrder:
    @pytest.mark.parametrize("ahead", [0, 1, 2])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_nothing_is_read_too_early_or_overwritten(self, cupy, machine, policy, ahead):
        machine.behave(policy)
        travel(cupy, machine, ahead=ahead)

    def idle(*_): ...

    @pytest.mark.parametrize(
        ("where", "name", "instead", "reason"),
        [
            ("transfer._Cuda", "wait", idle, r"reads 512 bytes that stream \d+ uses"),
            ("transfer.Staging", "settle", idle, r"writes 512 bytes that stream \d+ uses"),
            ("transfer.Staging", "__del__", idle, "filled again while it was copied from"),
            ("machine.Event", "done", True, "filled again while it was copied from"),
            ("machine.Event", "synchronize", idle, "filled again while it was copied from"),
            (
                "machine.Stream",
                "wait_event",
                lambda self, event: self.is_non_blocking or self.clock.learn(event.clock),
                r"writes 512 bytes that stream \d+ uses",
            ),
        ],
        ids=["no wait for a copy", "no wait when left", "memory is returned at once", "memory is reused at once",
             "no wait for memory", "no wait for earlier owners"],
    )  # fmt: skip
    def test_each_forgotten_wait_shows(self, cupy, machine, monkeypatch, where, name, instead, reason):
        module, _, of = where.partition(".")
        monkeypatch.setattr(getattr({"transfer": transfer, "machine": machine}[module], of), name, instead)
        with pytest.raises(AssertionError, match=reason):
            self.travel_under_all_policies(cupy, machine)

    @staticmethod
    def travel_under_all_policies(cupy, machine):
        for policy in POLICIES:
            machine.behave(policy)
            for ahead in (0, 1, 2):
                travel(cupy, machine, ahead=ahead)

    def test_a_copy_waits_for_earlier_steps_and_not_for_the_one_asked_for_after_it(self, cupy, machine):
        staging, compute = Staging("cuda:0"), machine.Stream.null
        staging.receive(sent(staging, 0))
        before = cupy.zeros(3).device and compute.clock[compute.ptr]
        parcel = sent(staging, 1)
        cupy.zeros(3)
        assert before <= parcel.arrived.clock[compute.ptr] < compute.clock[compute.ptr]
        parcel.arrived.synchronize()
        assert compute.record().done is False, "the step that was asked for after it"


class TestMemory:
    def test_is_used_again(self, machine):
        machine.behave("eager")
        staging = Staging("cuda:0")
        for i in range(20):
            staging.receive(sent(staging, i))
        assert len(machine.pinned) == 1
        assert not machine.waits

    def test_is_waited_for_only_beyond_some_copies_under_way(self, machine):
        staging = Staging("cuda:0")
        kept = [sent(staging, i) for i in range(3)]
        assert (len(machine.pinned), len(machine.waits)) == (3, 0)
        kept += [sent(staging, i) for i in range(20)]
        assert (len(machine.pinned), len(machine.waits)) == (3, 20)
        staging.settle()

    def test_grows_and_serves_smaller_batches(self, machine):
        machine.behave("eager")
        staging = Staging("cuda:0")
        for shape in [(5, 3), (500, 3), (2, 3), (500, 3), (0, 3)]:
            specs = [(shape, np.dtype(np.float32)), (shape[:1], np.dtype(np.uint8))]
            x, y = staging.receive(sent(staging, 4, specs))
            np.testing.assert_array_equal(x.get(), batch(4, specs)[0])
            np.testing.assert_array_equal(y.get(), batch(4, specs)[1])
        assert [m.nbytes for m in machine.pinned] == [1024, 6656]

    def test_arrays_are_aligned(self, machine):
        parcel = Staging("cuda:0").parcel([((3,), np.dtype(np.uint8)), ((2,), np.dtype(np.float64)), ((), SPECS[0][1])])
        first = parcel.host[0].ctypes.data
        assert [a.ctypes.data - first for a in parcel.host] == [0, 512, 1024]

    def test_is_refused(self, cupy, machine, monkeypatch):
        def refuse(size):
            raise machine.CUDARuntimeError(machine.OUT_OF_MEMORY)

        monkeypatch.setattr(cupy.cuda, "alloc_pinned_memory", refuse)
        with pytest.raises(MemoryError, match=r"`pin_memory` needs 552 bytes of page-locked memory, .* \(cudaErrorMem"):
            Staging("cuda:0").parcel(SPECS)

    def test_a_captured_step_loads_nothing(self, machine, monkeypatch):
        monkeypatch.setattr(machine.Stream, "is_capturing", lambda self: True)
        with pytest.raises(RuntimeError, match="a captured step cannot load batches: pass them as arguments"):
            sent(Staging("cuda:0"), 0)


def test_the_same_on_devices_that_are_there(accelerator):
    staging = Staging(accelerator)
    for i in range(8):
        x, y = staging.receive(sent(staging, i))
        np.testing.assert_array_equal(devices.to_numpy(x), batch(i)[0])
        np.testing.assert_array_equal(devices.to_numpy(y), batch(i)[1])
    staging.settle()
