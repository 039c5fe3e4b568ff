"""README's tables say what the results files say."""

import json

from weft.bench import report

RESULTS = {
    "versions": {"numpy": "2.4"}, "commit": "abc", "date": "2026-01-01", "ceilings": {"copy": 4e12},
    "machines": {"cpu": {"device": "a processor"}, "cuda": {"device": "NVIDIA X", "driver": "580"}},
    "mnist": {"reached": True, "goal": 0.99, "seconds": 3.21},
    "benches": [
        {"part": "operations", "device": "cpu", "threads": 1, "name": "a", "about": "a step", "status": "ok",
         "runs": {"weft": {"seconds": 0.002}, "torch": {"seconds": 0.003}, "BLAS alone": {"seconds": 0.001}}},
        {"part": "operations", "device": "cpu", "threads": 2, "name": "b", "about": "another", "status": "ok",
         "runs": {"weft": {"seconds": 0.00002}}},
        {"part": "models", "device": "cpu", "threads": 2, "name": "mlp-training", "about": "MLP", "status": "ok",
         "units": 8, "runs": {"weft": {"seconds": 0.001}, "torch": {"seconds": 0.002}}},
        {"part": "models", "device": "cuda", "name": "mlp-training", "about": "MLP on it", "status": "ok", "units": 64,
         "runs": {"weft": {"seconds": 2e-5}, "weft.capture": {"seconds": 1e-5}, "torch, CUDA graph": {"seconds": 2e-5}}},
        {"part": "kernels", "device": "cuda", "name": "gelu", "about": "GELU", "status": "ok", "work": 4e9, "units": 1,
         "ceiling": "copy", "runs": {"weft": {"seconds": 0.002}, "torch.compile": {"seconds": 0.001}, "torch": {}}},
        {"part": "kernels", "device": "cuda", "name": "wrong", "about": "other", "status": "wrong", "runs": {}},
        {"part": "kernels", "device": "cuda", "name": "tf32", "about": "limit", "status": "ok", "runs": {}},
    ],
}  # fmt: skip


def rows(part):
    return report.table(RESULTS, part).splitlines()


def test_operations():
    assert rows("operations")[0] == "CPU: a processor; numpy 2.4; commit abc, 2026-01-01. Medians."
    assert rows("operations")[-2] == "| a step | 1 | 2.00 ms | 50% | 3.00 ms | **1.50×** |"
    assert rows("operations")[-1] == "| another | 2 | 20.0 µs | – | – | – |"


def test_models():
    found = rows("models")
    assert found[0] == "CPU: a processor; GPU: NVIDIA X, driver 580; numpy 2.4; commit abc, 2026-01-01. Medians."
    assert "| MLP | CPU, 2 threads | 1,000 | – | 500 | **2.00×** | – |" in found
    assert "| MLP on it | GPU | 50,000 | 100,000 | 50,000 (CUDA graph) | **2.00×** | 100× |" in found
    assert found[-1] == "MNIST to 99% test accuracy on the GPU: 3.2 s."


def test_kernels():
    found = rows("kernels")
    assert found[2] == "Limits measured in the same run: copy 4.00 TB/s."
    assert found[-2] == "| GELU | 2.00 ms | 50% | 1.00 ms (compile) | **0.50×** |"
    assert found[-1] == "| other | wrong | – | – | – |"
    assert {line.count("|") for line in found[4:]} == {6}


def test_everything():
    text = report.markdown(RESULTS)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# weft bench",
        "## models",
        "## operations",
        "## kernels",
    ]


def test_marked_tables_are_replaced_and_nothing_else(tmp_path):
    (tmp_path / "cpu.json").write_text(json.dumps(RESULTS))
    text = "before\n<!-- results:cpu operations -->\nold\n<!-- /results -->\nafter\n"
    rendered = report.render(text, tmp_path)
    assert rendered.startswith("before\n<!-- results:cpu operations -->\nCPU: a processor; numpy 2.4; commit abc")
    assert rendered.endswith("<!-- /results -->\nafter\n")
    assert "old" not in rendered
    assert report.render(rendered, tmp_path) == rendered


def test_what_was_not_measured_says_so(tmp_path):
    text = "<!-- results:gpu kernels -->\n<!-- /results -->"
    assert report.render(text, tmp_path) == "<!-- results:gpu kernels -->\nNot measured yet.\n<!-- /results -->"


def test_readme_is_up_to_date():
    text = (report.ROOT / "README.md").read_text(encoding="utf-8")
    assert report.render(text) == text, "run `python -m weft.bench.report`"
