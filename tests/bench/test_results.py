"""What results files hold, and what is said of it."""

import pytest

from weft.bench import results
from weft.training.cli.parser import UsageError


def entry(name="gelu", device="cuda", part="kernels", runs=None, **more):
    seconds = {n: {"seconds": s} for n, s in (runs or {}).items()}
    base = {"part": part, "device": device, "name": name, "about": f"about {name}", "runs": seconds, "status": "ok",
            "work": 8e9, "ceiling": "copy", "units": 1, "unit": "runs", "tolerance": 1e-5}  # fmt: skip
    return base | more


def test_put_replaces_and_takes_ceilings():
    found = results.new()
    results.put(found, entry("copy", runs={"CuPy": 0.004, "torch": 0.002}))
    results.put(found, entry("copy", device="cpu"))
    results.put(found, entry("product-bfloat16", runs={"weft": 0.01}, ceiling="bfloat16", work=8e12))
    results.put(found, entry("copy", status="wrong"))
    assert [(e["device"], e["name"], e["status"]) for e in found["benches"]] == [
        ("cuda", "copy", "wrong"),
        ("cpu", "copy", "ok"),
        ("cuda", "product-bfloat16", "ok"),
    ]
    assert found["ceilings"] == {"copy": pytest.approx(4e12), "bfloat16": pytest.approx(8e14)}


def test_commit_of_the_environment(monkeypatch):
    monkeypatch.setenv("WEFT_COMMIT", "abc")
    assert results.new()["commit"] == "abc"


def test_best_and_share():
    e = entry(runs={"weft": 0.004, "weft.capture": 0.003, "torch": 0.005, "torch.compile": 0.002, "CuPy": 0.001})
    assert results.best(e, "weft") == (0.003, "weft.capture")
    assert results.best(e, "torch") == (0.002, "torch.compile")
    assert results.best(entry(), "weft") is None
    assert results.share(e, 0.004, {"copy": 4e12}) == pytest.approx(0.5)
    assert results.share(entry(units=2), 0.002, {"copy": 4e12}) == pytest.approx(0.5)
    assert results.share(e, 0.004, {}) is None
    assert results.share(entry(runs={"BLAS alone": 1.0}), 4.0, {}) == 0.25


def test_speed_ups_compare_samples_per_second():
    found = results.new()
    results.put(found, entry("mlp-training", "cpu", "models", {"weft": 0.01}, units=16, about="small"))
    results.put(found, entry("mlp-training", "cuda", "models", {"weft": 0.001, "weft.capture": 0.0005}))
    results.put(found, entry("mlp-training-bfloat16", "cuda", "models", {"weft": 0.0001}))
    results.put(found, entry("other-training", "cuda", "models", {"weft": 0.0001}))
    assert [round(times) for _, _, times in results.speed_ups(found)] == [20, 100]
    assert "GPU against CPU: 20.0× the samples per second (about mlp-training; CPU: batch 16)" in results.text(found)


def test_a_line_says_all():
    e = entry(runs={"weft": 0.004, "torch": 0.002})
    e["runs"] |= {
        "torch.compile": {"problem": "Traceback\nValueError: no"},
        "x": {"is_wrong": True, "error": 0.1},
        "y": {},
    }
    lines = results.text_of(e | {"status": "wrong"}, {"copy": 4e12}).splitlines()
    assert lines[0] == "about gelu   — WRONG"
    assert lines[1].split() == ["weft", "4.00", "ms", "2.00", "TB/s", "50%", "0.50×", "PyTorch"]
    assert lines[2].split() == ["torch", "2.00", "ms", "4.00", "TB/s", "100%"]
    assert lines[3].split() == ["torch.compile", "failed:", "ValueError:", "no"]
    assert lines[4].split() == ["x", "WRONG,", "error", "1e-01,", "tolerance", "1e-05"]
    assert lines[5].split() == ["y", "not", "measured"]
    assert results.text_of(e | {"problem": "a\nb"}, {}, ["weft"]).splitlines()[1] == "    b"
    model = entry(part="models", runs={"weft": 0.001}, units=100, unit="samples", ceiling="float32")
    assert results.text_of(model, {}).splitlines()[1].split() == ["weft", "100", "ms", "1,000", "samples/s"]
    assert "5.0 TFLOP/s" in results.text_of(entry(ceiling="float32", work=5e9, runs={"weft": 0.001}), {})


def test_the_end_names_what_is_wrong():
    found = results.new()
    results.put(found, entry("a", status="failed"))
    results.put(found, entry("b", status="wrong"))
    assert results.text(found | {"mnist": {"reached": True}}).splitlines() == [
        'MNIST: {"reached": true}',
        "FAILED: a",
        "WRONG: b",
    ]


def test_save_and_load(tmp_path):
    found = results.new()
    results.put(found, entry(runs={"weft": 0.004}))
    results.save(found, tmp_path / "a.json")
    assert results.load(tmp_path / "a.json") == found
    with pytest.raises(UsageError, match=r"nothing\.json cannot be read: No such file"):
        results.load(tmp_path / "nothing.json")
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(UsageError, match=r"b\.json holds no results"):
        results.load(tmp_path / "b.json")
