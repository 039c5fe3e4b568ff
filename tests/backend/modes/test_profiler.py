"""Counts and bytes exactly, times by a clock that the test moves."""

import sys
import time
import types

import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.backend.device import devices
from weft.backend.tape import autograd


@pytest.fixture
def clock(monkeypatch):
    """Each look at the time moves it on by an eighth of a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr("weft.backend.modes.profiler._Host.mark", staticmethod(lambda: next(ticks) / 8))


def step(p):
    x = weft.ones((4, 2), requires_grad=True)
    with p:
        weft.sum(weft.exp(x)).backward()
        weft.exp(x)


def test_counts_bytes_and_time(clock):
    p = weft.profile()
    step(p)
    exp, total = p.rows
    assert (exp.name, exp.calls, exp.nbytes) == ("exp", 2, 3 * 32)
    assert (total.name, total.calls, total.nbytes) == ("sum", 1, 4 + 32)
    assert (exp.forward, exp.backward, total.forward) == (0.25, 0.125, 0.125)
    assert exp.seconds == exp.forward + exp.backward
    assert p.seconds == 11 / 8


def test_table(clock):
    p = weft.profile()
    step(p)
    assert str(p).splitlines() == [
        "operation  calls      forward   backward  share  results",
        "────────────────────────────────────────────────────────",
        "exp            2    250.00 ms  125.00 ms  27.3%     96 B",
        "sum            1    125.00 ms  125.00 ms  18.2%     36 B",
        "────────────────────────────────────────────────────────",
        "elsewhere           750.00 ms             54.5%",
        "in all            1,375.00 ms",
    ]


def test_entered_again_it_goes_on(clock):
    p = weft.profile()
    step(p)
    once = p.rows, p.seconds
    step(p)
    assert [row.calls for row in p.rows] == [2 * row.calls for row in once[0]]
    assert p.seconds == 2 * once[1]


def test_a_training_step():
    model = nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer, loss = optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    with weft.profile() as p:
        start = time.perf_counter()
        loss(model(weft.ones((5, 20))), weft.asarray([0, 1, 2, 0, 1])).backward()
        optimizer.step()
        took = time.perf_counter() - start
    rows = {row.name: row for row in p.rows}
    assert rows["linear"].calls == 2
    assert rows["SGD.step"].calls == rows["softmax_cross_entropy"].calls == 1
    assert rows["SGD.step"].backward == 0 < rows["linear"].backward
    assert 0 < sum(row.seconds for row in p.rows) <= took <= p.seconds


def test_an_error_ends_it():
    p = weft.profile()

    def fail():
        with p:
            weft.exp(weft.ones(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [row.name for row in p.rows] == ["exp"]
    assert autograd.watch is None


def test_empty():
    assert "elsewhere" in str(weft.profile())


@pytest.fixture
def cupy(monkeypatch):
    """A double of CuPy's events, five milliseconds apart, and of the hooks of its pool."""
    cupy, hooks = types.ModuleType("cupy"), {}
    cupy.events, cupy.used = [], 100

    class Event:
        is_there = False

        def record(self):
            cupy.events.append(self)
            self.at = 5 * len(cupy.events)

        def synchronize(self):
            self.is_there = True

    class MemoryHook:
        def __enter__(self):
            assert self.name not in hooks
            hooks[self.name] = self
            return self

        def __exit__(self, *_):
            del hooks[self.name]

    def elapsed(start, end):
        assert end.is_there
        return end.at - start.at

    def allocate(nbytes):
        cupy.used += nbytes
        for hook in hooks.values():
            hook.malloc_postprocess(device_id=0, size=nbytes, mem_size=nbytes, mem_ptr=1, pmem_id=1)

    cupy.cuda = types.SimpleNamespace(Event=Event, get_elapsed_time=elapsed, MemoryHook=MemoryHook)
    cupy.get_default_memory_pool = lambda: types.SimpleNamespace(used_bytes=lambda: cupy.used)
    cupy.allocate = allocate
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(devices._opened, "cuda", None)
    return cupy


class TestGpu:
    def test_time_is_what_events_say_once_the_stream_has_come_to_them(self, cupy):
        with weft.profile() as p:
            weft.exp(weft.ones(1))
            assert not any(event.is_there for event in cupy.events), "nobody waits before the end"
        assert [(row.name, row.forward) for row in p.rows] == [("exp", 0.005)]
        assert p.seconds == 0.015

    def test_peak_of_memory(self, cupy):
        cupy.allocate(1000)
        cupy.used -= 1000
        with weft.profile() as p:
            cupy.allocate(400)
            cupy.used -= 300
            with weft.profile() as inner:
                cupy.allocate(200)
        assert (p.peak_memory, inner.peak_memory) == (500, 400)
        assert str(p).endswith("at most 500 B in tensors at one time")
        cupy.allocate(1000)
        with weft.profile() as p:
            pass
        assert p.peak_memory == 1400

    def test_none_on_a_cpu(self):
        with weft.profile() as p:
            pass
        assert p.peak_memory is None
        assert "tensors" not in str(p)
