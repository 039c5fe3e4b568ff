"""Workloads run, in turn with what they are compared with."""

import pytest

from weft.bench import operations, results
from weft.bench.workloads import WORKLOADS


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
    entry = operations.measure(WORKLOADS[0], None, 1, 0.0)
    assert (entry["part"], entry["name"], entry["threads"], entry["status"]) == ("operations", "mlp-tiny", 1, "ok")
    assert entry["runs"].keys() == {"weft", "weft.capture", "BLAS alone"}
    assert all(run["seconds"] > 0 for run in entry["runs"].values())
    assert 0 < entry["runs"]["weft.capture"]["memory"] < entry["runs"]["weft"]["memory"]
    assert "peak" in results.text_of(entry, {}, list(entry["runs"]))


def test_each_has_a_limit():
    """Products that BLAS alone does, or bytes that a copy moves."""
    assert [w.name for w in WORKLOADS if bool(w.products) == bool(w.moved)] == []
    entry = operations.measure(next(w for w in WORKLOADS if w.name == "max-pool"), None, 1, 0.0)
    assert entry["runs"].keys() == {"weft", "copy alone"}
    assert results.share(entry, entry["runs"]["weft"]["seconds"], {}) > 0
