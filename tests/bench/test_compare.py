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
    ("argv", "message"),
    [
        (["nonsense"], "unknown workload 'nonsense'"),
        (["--threads", "0"], "argument --threads: must be an integer at least 1, got '0'"),
        (["--threads", "4096"], "--threads must be between 1 and"),
        (["--seconds", "-1"], "argument --seconds: must be a number above 0, got '-1'"),
        (["--sav", "x"], "unrecognized arguments: --sav"),
    ],
)
def test_bad_options_are_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        compare.main(argv)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_results_that_cannot_be_saved_are_one_line(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    argv = ["mlp-tiny", "--threads", "1", "--seconds", "0.01", "--save", str(tmp_path / "file" / "results.json")]
    assert compare.main(argv) == 1
    assert "results.json` could not be written" in capfd.readouterr().err


@pytest.mark.parametrize(
    "workload", [w for w in WORKLOADS if w.name in ("mlp-tiny", "max-pool", "layer-norm")], ids=lambda w: w.name
)
def test_workloads_run(workload):
    step = workload.weft()
    step()
    step()
