"""Pictures are drawn of what there is, the same bytes each time."""

import pytest

from weft.bench import plot

pytest.importorskip("matplotlib")

WHO = {"versions": {"torch": "2.9"}, "commit": "abc", "date": "2026-01-01", "ceilings": {"copy": 4e12}}
MACHINES = {"cpu": {"device": "a processor"}, "cuda": {"device": "NVIDIA X"}}


def entry(part, device, name, runs, **more):
    return {
        "part": part,
        "device": device,
        "name": name,
        "about": f"{name}, batch 8",
        "status": "ok",
        "units": 8,
        "work": 4e9,
        "ceiling": "copy",
        "runs": {n: {"seconds": s} for n, s in runs.items()},
        **more,
    }


ENTRIES = [
    entry("models", "cpu", "mlp-training", {"weft": 1e-3, "torch": 2e-3}, about="MLP training, batch 8"),
    entry("models", "cuda", "mlp-training", {"weft": 1e-5, "weft.capture": 1e-6}, about="MLP training, batch 64"),
    entry("models", "cuda", "mlp-inference-bfloat16", {"torch, CUDA graph": 1e-7}, about="MLP inference, batch 64"),
    entry("operations", "cpu", "conv", {"weft": 1e-3, "torch": 2e-3}, threads=1),
    entry("operations", "cpu", "conv", {"weft": 2e-3, "torch": 1e-3}, threads=2),
    entry("kernels", "cuda", "gelu", {"weft": 1e-3, "torch": 2e-3}),
]


def test_three_pictures(tmp_path):
    results = {**WHO, "machines": MACHINES, "benches": ENTRIES}
    written = plot.plot(results, tmp_path / "a.json")
    assert [path.name for path in written] == ["a-models.png", "a-operations.png", "a-kernels.png"]
    first = [path.read_bytes() for path in written]
    assert all(image.startswith(b"\x89PNG") for image in first)
    assert first == [path.read_bytes() for path in plot.plot(results, tmp_path / "a.json")]


def test_no_bar_begins_where_a_logarithmic_axis_happens_to(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(plot, "_write", lambda figure, path: figures.append(figure))
    plot.plot({**WHO, "machines": MACHINES, "benches": ENTRIES}, tmp_path / "a.json")
    models, operations, kernels = figures
    assert not any(axis.patches for axis in models.axes)
    rates = [x for axis in models.axes for line in axis.get_lines() for x in line.get_xdata()]
    assert rates == pytest.approx([1000, 500, 1e5, 1e6, 1e7])
    for figure, start in ((operations, 1.0), (kernels, 0.0)):  # as fast as PyTorch; nothing
        (axis,) = figure.axes
        assert axis.patches
        assert all(bar.get_x() == start or bar.get_x() + bar.get_width() == start for bar in axis.patches)


def test_groups_and_their_dots():
    groups = plot._groups(ENTRIES[1:2] + ENTRIES[:1])
    assert list(groups) == ["MLP"]
    assert [label for label, _, _ in groups["MLP"]] == [
        "CPU: weft, batch 8",
        "CPU: PyTorch",
        "GPU: weft, batch 8",
        "GPU: weft.capture",
    ]
    assert [value for _, value, _ in groups["MLP"]] == pytest.approx([1000, 500, 1e5, 1e6])


def test_nothing_to_draw(tmp_path):
    assert plot.plot({**WHO, "machines": MACHINES, "benches": []}, tmp_path / "a.json") == []
    assert not list(tmp_path.iterdir())
