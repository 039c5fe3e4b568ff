"""Two processes in turn: what is asked is answered, what fails is told, and no turn begins while threads compute."""

import time

import numpy as np
import pytest

from weft.bench import operations, rival, turns
from weft.bench.machine import Machine
from weft.bench.measure import measure
from weft.bench.models import benches
from weft.bench.workloads import WORKLOADS


def test_in_turn():
    calls = []
    one, two = lambda: calls.append("a") or 1.0, lambda: calls.append("b") or 2.0
    assert turns.alternate({"one": one, "two": two}, 0.0) == {"one": [1.0] * 5, "two": [2.0] * 5}
    assert "".join(calls) == "ab" * 5


class Clock:
    """Time that passes where somebody sleeps or works, and threads that compute until `busy`."""

    def __init__(self, busy=0.0):
        self.now, self.busy = 0.0, busy

    def perf_counter(self):
        return self.now

    def process_time(self):
        return min(self.now, self.busy)

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    return clock


def test_a_sample_is_seconds_per_call(clock):
    sampler = turns.Sampler(lambda: clock.sleep(0.25), 1.0)
    assert sampler.calls == 4
    assert sampler() == 0.25


def test_settle_waits_for_threads_that_spin(clock):
    clock.busy = 0.15
    turns.settle()
    assert 0.15 <= clock.now < 0.17
    clock.busy = 10.0  # who computes for long is not waited for
    turns.settle()
    assert clock.now < 1.2


class FakeTorch:
    """As much of PyTorch as a process that measures tells of it."""

    __version__ = "9.9"
    nn = None


class InThisProcess(turns.Rival):
    """A rival whose messages are answered without a process; its PyTorch is weft."""

    def __init__(self):
        self.server = rival.Server(Machine("cpu", np, FakeTorch))

    def _ask(self, **message):
        return self.server.answer(message)


def as_torch(monkeypatch, run):
    workload = next(w for w in WORKLOADS if w.name == "mlp-tiny")
    monkeypatch.setattr(workload, "torch", lambda torch: run)
    return workload


def test_an_operation_beside_its_rival(monkeypatch):
    workload = as_torch(monkeypatch, lambda: time.sleep(0.001))
    entry = operations.measure(workload, InThisProcess(), 2, 0.0)
    assert entry["runs"]["torch"]["seconds"] >= 0.001
    assert entry["target"] == 0.8


def test_a_rival_that_fails(monkeypatch):
    workload = as_torch(monkeypatch, lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        operations.measure(workload, InThisProcess(), 1, 0.0)
    machine = Machine("cpu", np)
    machine.rival = InThisProcess()  # whose layers are None
    bench = next(b for b in benches("cpu") if b.name == "mlp-training")
    entry = measure(bench, machine, tiny=True, seconds=0.0, most=1, limit=600.0)
    assert entry["status"] == "ok"
    assert "Error" in entry["runs"]["torch"]["problem"]
    assert entry["runs"]["weft"]["seconds"] > 0


def test_the_version():
    assert InThisProcess()._ask()["version"] == "9.9"


def test_as_a_process(monkeypatch, tmp_path):
    """With a module of the name in PyTorch's place."""
    (tmp_path / "torch.py").write_text("__version__ = '9.9'\ndef set_num_threads(n): print('threads', n)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    there = turns.Rival(1)
    try:
        assert there.version == "9.9"
        row = there.prepare("operations", "gelu")
        assert "AttributeError" in row["problem"]
        there._process.kill()
        with pytest.raises((RuntimeError, BrokenPipeError)):
            there.sample()
    finally:
        there.close()


def test_what_was_given_up_is_not_taken_for_the_answer(monkeypatch):
    class Pipe(list):
        write, flush = list.append, lambda self: None

    there = turns.Rival.__new__(turns.Rival)
    there._asked = 1
    there._process = type(
        "Process", (), {"stdin": Pipe(), "stdout": ['{"id": 1, "seconds": 1}', '{"id": 2, "seconds": 2}']}
    )
    assert there.sample() == 2


def test_a_copy_moves_what_it_says():
    run = operations._copies(8 * 1000)
    run()
    source, target = (cell.cell_contents for cell in run.__closure__)
    assert source.nbytes + target.nbytes == 8000
