"""README's tables say what the results files say."""

import json

import pytest

from weft.bench import report

RESULTS = {
    "device": "a processor", "versions": {"numpy": "2.4"}, "commit": "abc", "date": "2026-01-01",
    "results": [
        {"about": "a step", "threads": 1, "weft_s": 0.002, "torch_s": 0.003, "ratio": 1.5, "blas_limit_s": 0.001},
        {"about": "another", "threads": 2, "weft_s": 0.00002, "torch_s": None, "ratio": None, "blas_limit_s": None},
    ],
}  # fmt: skip


def test_table():
    rows = report.table(RESULTS).splitlines()
    assert rows[-2] == "| a step | 1 | 2.0 ms | 3.0 ms | **1.50×** | 50% |"
    assert rows[-1] == "| another | 2 | 20 µs | – | – | – |"


def test_marked_tables_are_replaced_and_nothing_else(tmp_path):
    (tmp_path / "cpu.json").write_text(json.dumps(RESULTS))
    text = "before\n<!-- results:cpu -->\nold\n<!-- /results -->\nafter\n"
    rendered = report.render(text, tmp_path)
    assert rendered.startswith("before\n<!-- results:cpu -->\na processor; numpy 2.4; commit abc")
    assert rendered.endswith("<!-- /results -->\nafter\n")
    assert "old" not in rendered
    assert report.render(rendered, tmp_path) == rendered


def test_missing_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        report.render("<!-- results:nowhere -->\n<!-- /results -->", tmp_path)


def test_readme_is_up_to_date():
    text = (report.ROOT / "README.md").read_text()
    assert report.render(text) == text, "run `python -m weft.bench.report`"
