"""The comparison runs, prints what it measured and saves it; bad options are one line."""

import json
import time

import pytest

from weft.bench import compare
from weft.bench.workloads import WORKLOADS


def test_saves_what_it_prints(tmp_path, capfd):
    saved = tmp_path / "results.json"
    assert compare.main(["mlp-tiny", "--threads", "1", "--seconds", "0.05", "--save", str(saved)]) == 0
    printed = capfd.readouterr().out
    results = json.loads(saved.read_text())
    (row,) = results["results"]
    assert row["name"] == "mlp-tiny"
    assert row["weft_s"] > 0
    assert row["blas_limit_s"] > 0
    assert row["about"] in printed
    assert results["versions"]["numpy"]


def test_alternate_takes_medians_in_turn():
    calls = []
    times = compare.alternate(
        {"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), time.sleep(0.02))}, 0.05
    )
    assert times["a"] < times["b"]
    assert times["b"] >= 0.02


@pytest.mark.parametrize(
    ("argv", "message"), [(["nonsense"], "unknown workload 'nonsense'"), (["--threads", "0"], "must be between 1 and")]
)
def test_bad_options_are_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        compare.main(argv)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "workload", [w for w in WORKLOADS if w.name in ("mlp-tiny", "max-pool", "layer-norm")], ids=lambda w: w.name
)
def test_workloads_run(workload):
    step = workload.weft()
    step()
    step()
