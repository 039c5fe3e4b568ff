"""Workloads run, in turn with what they are compared with."""

import time

import pytest

from weft.bench import operations, results
from weft.bench.workloads import WORKLOADS


def test_alternate_takes_medians_in_turn():
    calls = []
    times = operations.alternate(
        {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(0.02))}, 0.05
    )
    assert times["a"] < times["b"]
    assert times["b"] >= 0.02
    assert "".join(calls).count("b") >= 7


@pytest.mark.parametrize(
    "workload",
    [w for w in WORKLOADS if w.name in ("mlp-tiny", "lstm", "gpt", "generation", "max-pool", "layer-norm")],
    ids=lambda w: w.name,
)
def test_workloads_run(workload):
    step = workload.weft()
    step()
    step()


def test_an_entry():
    entry = operations.measure(WORKLOADS[0], None, 1, 0.001)
    assert (entry["part"], entry["name"], entry["threads"], entry["status"]) == ("operations", "mlp-tiny", 1, "ok")
    assert entry["runs"].keys() == {"weft", "weft.capture", "BLAS alone"}
    assert all(run["seconds"] > 0 for run in entry["runs"].values())
    assert 0 < entry["runs"]["weft.capture"]["memory"] < entry["runs"]["weft"]["memory"]
    assert "peak" in results.text_of(entry, {}, list(entry["runs"]))
