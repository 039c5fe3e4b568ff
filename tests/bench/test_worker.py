"""Every bench of a GPU runs at tiny sizes in the emulator, and finds weft right; so do those of a CPU."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest

import weft
from weft.bench import gpu_kernels, worker
from weft.bench.case import Bench, Case
from weft.bench.machine import Emulator, Machine
from weft.bench.measure import measure
from weft.bench.results import text_of

has_emulator = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
ON_GPU = worker.benches("emulator", ("models", "kernels"))


@pytest.fixture(scope="module")
def machine():
    return Emulator()


def check(entry):
    assert entry["status"] == "ok", json.dumps(entry, indent=1)
    json.dumps(entry, allow_nan=False)
    for row in entry["runs"].values():
        assert 0 < row["least"] <= row["seconds"] <= row["greatest"]
        assert row.get("error", 0.0) <= entry["tolerance"]
        assert "warnings" not in row
    assert entry["about"] in text_of(entry, {"copy": 1.0})


def params(benches):
    """The largest model takes its time in the emulator."""
    return [
        pytest.param(b, id=b.name, marks=pytest.mark.slow) if "resnet" in b.name else pytest.param(b, id=b.name)
        for b in benches
    ]


@has_emulator
@pytest.mark.parametrize("bench", params(ON_GPU))
def test_every_bench_of_a_gpu(machine, bench):
    entry = measure(bench, machine, tiny=True, seconds=0.0, most=1, limit=600.0)
    check(entry)
    if bench.name != "copy":
        assert "weft" in entry["runs"]
    assert ("weft.capture" in entry["runs"]) == (bench.part == "models")


@pytest.mark.parametrize("bench", worker.benches("cpu", ("models",)), ids=lambda b: b.name)
def test_every_bench_of_a_cpu(bench):
    entry = measure(bench, Machine("cpu", np), tiny=True, seconds=0.0, most=1, limit=600.0)
    check(entry)
    assert entry["runs"].keys() == {"weft", "weft.capture"}
    assert entry["ceiling"] is None


def test_names_are_unique():
    assert len({b.name for b in ON_GPU}) == len(ON_GPU)


def test_what_others_are_held_against_comes_first():
    assert worker.benches("cuda", ["models"])[: len(gpu_kernels.CEILINGS)] == gpu_kernels.CEILINGS
    assert not worker.benches("cpu", ["operations"])


# --- a task --------------------------------------------------------------------------------------------------------------
def case(value):
    def make(machine):
        makers = {"weft": lambda: lambda: (machine.xp.full(3, value, dtype="float32"),)}
        if machine.torch is not None:
            makers |= dict.fromkeys(("torch", "torch.compile"), makers["weft"])
        compare = lambda y: [(y, machine.xp.ones(3, dtype="float64"))]
        return Case("three ones", makers, compare, work=24.0, ceiling="copy")

    return make


def impossible(machine):
    raise ValueError("cannot even begin")


BENCHES = [Bench("copy", case(1.0)), Bench("wrong", case(1.1)), Bench("impossible", impossible)]


def perform(monkeypatch, torch=None, **task):
    sent = []
    monkeypatch.setattr(worker, "benches", lambda kind, parts: BENCHES)
    machine = Machine("cpu", np, torch)
    worker.perform(
        worker.Task("cpu", ["kernels"], tiny=True, **task), machine, lambda m: sent.append(json.loads(json.dumps(m)))
    )
    assert sent[0]["machine"]["device"]
    assert sent[0]["versions"]["numpy"] == np.__version__
    return sent[1:]


def test_each_bench_is_told_before_and_after(monkeypatch):
    sent = perform(monkeypatch)
    assert [list(m) for m in sent] == [["begin"], ["entry", "new"]] * 3
    assert [m["begin"]["name"] for m in sent[::2]] == ["copy", "wrong", "impossible"]
    assert [m["entry"]["status"] for m in sent[1::2]] == ["ok", "wrong", "failed"]
    assert [m["entry"]["passes"] for m in sent[1::2]] == [1, 1, 1]
    assert "cannot even begin" in sent[-1]["entry"]["problem"]


def test_what_takes_long_to_prepare_comes_last(monkeypatch):
    sent = perform(monkeypatch, torch=FakeTorch())
    order = [(m["begin"]["name"], m["begin"]["passes"]) for m in sent if "begin" in m]
    assert order == [("copy", 1), ("wrong", 1), ("impossible", 1), ("copy", 2), ("wrong", 2)]
    last = [m for m in sent if "entry" in m][-2]
    assert last["new"] == ["torch.compile"]
    assert list(last["entry"]["runs"]) == ["weft", "torch", "torch.compile"]
    assert not [
        m for m in perform(monkeypatch, torch=FakeTorch(), compile=False) if m.get("begin", {}).get("passes") == 2
    ]


class FakeTorch:
    """What a machine asks of PyTorch about arrays that are not PyTorch's."""

    Tensor = type("Tensor", (), {})
    bfloat16 = None


def test_names_and_what_is_known_are_left_out(monkeypatch):
    known = [m["entry"] for m in perform(monkeypatch, names=["copy", "wr"]) if "entry" in m]
    assert [e["name"] for e in known] == ["copy", "wrong"]
    assert [m["begin"]["name"] for m in perform(monkeypatch, known=known) if "begin" in m] == ["impossible"]


def test_there_is_no_time(monkeypatch):
    sent = perform(monkeypatch, total=0.0)
    assert {m["entry"]["status"] for m in sent} == {"skipped"}
    again = perform(monkeypatch, known=[m["entry"] for m in sent])
    assert [m["entry"]["status"] for m in again if "entry" in m] == ["ok", "wrong", "failed"]


def test_a_lost_device_is_told(monkeypatch):
    def lost(self):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(Machine, "release", lost)
    monkeypatch.setattr(Machine, "synchronize", lost)
    with pytest.raises(worker.DeviceLost, match="illegal memory access"):
        perform(monkeypatch)


def test_a_bench_that_never_ends_is_told():
    told = threading.Event()
    with worker._watched(0.01, told.set):
        assert told.wait(120)
    with worker._watched(0.01, None):
        pass


def test_as_a_process():
    """JSON in, JSON out; what else is printed goes to standard error."""
    task = {"device": "cpu", "parts": ["models"], "names": ["mlp-inference"], "tiny": True, "torch": False}
    run = subprocess.run(
        [sys.executable, "-m", "weft.bench.worker"], input=json.dumps(task), capture_output=True, text=True, check=True
    )
    first, begin, entry = map(json.loads, run.stdout.splitlines())
    assert first["kind"] == "cpu"
    assert begin["begin"]["name"] == "mlp-inference"
    assert entry["entry"]["threads"] == 1
    assert entry["entry"]["runs"]["weft"]["seconds"] > 0
