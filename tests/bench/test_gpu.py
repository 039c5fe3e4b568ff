"""Every bench of the GPU runs at tiny sizes in the emulator, and finds weft right; what goes wrong is told and stops nothing."""

import json
import math
import warnings

import numpy as np
import pytest

import weft
from weft.bench import gpu, gpu_models, report
from weft.bench.gpu_case import Bench, Case
from weft.bench.gpu_machine import Emulator, Machine

pytestmark = pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")


@pytest.fixture(scope="module")
def machine():
    return Emulator()


@pytest.mark.parametrize("bench", gpu.BENCHES, ids=lambda b: b.name)
def test_every_bench(machine, bench):
    entry = gpu.measure(bench, machine, tiny=True, seconds=0.0, most=1)
    assert entry["status"] == "ok", json.dumps(entry, indent=1)
    json.dumps(entry, allow_nan=False)
    for row in entry["runs"].values():
        assert 0 < row["least"] <= row["seconds"] <= row["greatest"]
        assert row.get("error", 0.0) <= entry["tolerance"]
        assert "warnings" not in row
    if bench.name not in ("product-tf32", "copy"):
        assert "weft" in entry["runs"]


def test_names_are_unique():
    assert len({b.name for b in gpu.BENCHES}) == len(gpu.BENCHES)


# --- what goes wrong ------------------------------------------------------------------------------------------------------
def case(machine, run, **options):
    options = {
        "compare": lambda y: [(y, machine.xp.ones(3, dtype="float64"))],
        "work": 24.0,
        "ceiling": "copy",
    } | options
    makers = {"weft": lambda: run, "torch": lambda: lambda: (machine.xp.ones(3),)}
    return Case("three ones", makers, **options)


def good(machine):
    return case(machine, lambda: (machine.xp.ones(3, dtype="float32"),))


def wrong(machine):
    return case(machine, lambda: (machine.xp.full(3, 1.1, dtype="float32"),))


def nan(machine):
    return case(machine, lambda: (machine.xp.full(3, math.nan, dtype="float32"),))


def failing(machine):
    return case(machine, lambda: 1 / 0)


def impossible(machine):
    raise ValueError("cannot even begin")


def slow(machine):
    while True:
        pass


def warning(machine):
    return case(
        machine, lambda: warnings.warn("runs as usual", RuntimeWarning) or (machine.xp.ones(3, dtype="float32"),)
    )


def measured(machine, make, **options):
    return gpu.measure(Bench("copy", make), machine, **{"seconds": 0.0, "most": 3} | options)


@pytest.mark.parametrize("make", [wrong, nan])
def test_what_is_wrong_is_not_timed(machine, make):
    entry = measured(machine, make)
    assert entry["status"] == "wrong"
    assert "seconds" not in entry["runs"]["weft"]
    assert entry["runs"]["torch"]["seconds"] > 0
    assert "WRONG" in "\n".join(gpu._lines(entry, {}))


def test_a_failure_keeps_its_traceback_and_the_others_run(machine):
    entry = measured(machine, failing)
    assert entry["status"] == "failed"
    assert "ZeroDivisionError" in entry["runs"]["weft"]["problem"]
    assert entry["runs"]["torch"]["samples"] == 3
    entry = measured(machine, impossible)
    assert (entry["status"], entry["runs"]) == ("failed", {})
    assert "cannot even begin" in entry["problem"]


def test_time_that_is_up(machine):
    entry = measured(machine, slow, limit=0.05)
    assert entry["status"] == "failed"
    assert "more than 0 s" in entry["problem"]


def test_warnings_are_kept(machine):
    assert measured(machine, warning)["runs"]["weft"]["warnings"] == ["runs as usual"]


BENCHES = [Bench("copy", good), Bench("wrong", wrong), Bench("failing", failing), Bench("impossible", impossible)]


def results_of(machine, **options):
    said, saved = [], []
    results = gpu.run(
        machine, BENCHES, **{"seconds": 0.0, "most": 1, "say": said.append} | options,
        save=lambda r: saved.append(json.loads(json.dumps(r))),
    )  # fmt: skip
    return results, said, saved


def test_run_saves_after_each_bench_and_tells(machine):
    results, said, saved = results_of(machine)
    assert [e["status"] for e in results["benches"]] == ["ok", "wrong", "failed", "failed"]
    assert results["ceilings"].keys() == {"copy"}
    assert {"kind", "device", "driver", "versions", "commit", "date"} <= results.keys()
    assert saved[-1]["benches"] == json.loads(json.dumps(results["benches"]))
    assert saved[0]["benches"][0]["problem"] == "the process ended in it"
    assert [len(s["benches"]) for s in saved] == [1, 1, 2, 2, 3, 3, 4, 4, 4]
    text = gpu.table(results)
    for words in ("three ones", "WRONG", "ZeroDivisionError", "cannot even begin", "TB/s", "%"):
        assert words in text
        assert words in "\n".join(said)


def test_run_goes_on_where_another_ended(machine):
    _, _, saved = results_of(machine)
    results, said, _ = results_of(machine, before=saved[2])  # crashed in the second
    assert [e["status"] for e in results["benches"]] == ["ok", "failed", "failed", "failed"]
    assert results["benches"][0] == saved[-1]["benches"][0]
    assert len(said) == 2


def test_run_skips_what_there_is_no_time_for(machine):
    results, _, _ = results_of(machine, total=0.0)
    assert {e["status"] for e in results["benches"]} == {"skipped"}
    gpu.table(results)


def test_a_lost_device_is_told(machine, monkeypatch):
    def lost():
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(machine, "release", lost)
    monkeypatch.setattr(machine, "synchronize", lost)
    with pytest.raises(gpu.DeviceLost, match="illegal memory access"):
        results_of(machine)


def test_markdown(machine):
    results, _, _ = results_of(machine)
    lines = report.table(results).splitlines()
    assert lines[0].startswith("emulator, driver")
    assert lines[2] == "| what | weft | of the limit | PyTorch, the best way | ratio |"
    assert lines[4].startswith("| three ones | ")
    assert lines[4].count("|") == 6
    assert "×** |" in lines[4]
    assert "| wrong | – |" in lines[5]
    assert "| failed | – |" in lines[6]


def test_time_to_an_accuracy():
    pytest.importorskip("sklearn")
    machine = Machine("cpu", np)
    found = gpu_models.mnist(machine, "digits", epochs=2, goal=0.5)
    assert found["reached"]
    assert found["accuracies"][-1] >= 0.5
    assert not gpu_models.mnist(machine, "digits", epochs=1, goal=1.1)["reached"]
    line = report.table({"kind": "gpu", "device": "", "driver": "", "versions": {}, "commit": "", "date": "",
                         "ceilings": {}, "benches": [], "mnist": found}).splitlines()[-1]  # fmt: skip
    assert line.startswith("| MNIST to 50% test accuracy | ")


def test_names_can_be_listed(capsys):
    assert gpu.main(["--list", "attention"]) == 0
    names = capsys.readouterr().out.split()
    assert len(names) == 8
    assert all(name.startswith("attention-") for name in names)
