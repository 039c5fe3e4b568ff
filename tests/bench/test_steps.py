"""The record of predicted training steps, and the table that is made of it."""

import json

import pytest

from weft.bench import steps
from weft.layers.models import LANGUAGE_MODELS, MODELS
from weft.training.cli.step_profile import DTYPES, LEAST

RECORD = json.loads(steps.RECORD.read_text(encoding="utf-8"))


def test_the_zoo_is_recorded():
    assert {model.name for model in steps.MODELS.values()} == {*MODELS, *LANGUAGE_MODELS}
    assert set(RECORD) == set(steps.MODELS)
    for by_dtype in RECORD.values():
        assert tuple(by_dtype) == DTYPES
        for parts in by_dtype.values():
            assert all(part["seconds"] >= 0.999 * LEAST * part["count"] for part in parts)
            assert any(part["name"].startswith("step<") for part in parts)


def test_table():
    text = steps.TABLE.read_text(encoding="utf-8")
    assert text == steps.table(RECORD)
    assert "predicted, not measured" in text.splitlines()[0]


def test_a_row():
    parts = [
        {"name": "a<float>", "count": 3, "seconds": 3e-4},
        {"name": "products of matrices", "count": 2, "seconds": 1e-4},
    ]
    (row,) = steps.table({"lstm": {"float32": parts}}).splitlines()[6:]
    assert "| 2,500 | 5 | 75% `a<float>`, 25% products of matrices |" in row


def test_only_those_asked_for_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "RECORD", tmp_path / "steps.json")
    monkeypatch.setattr(steps, "TABLE", tmp_path / "steps.md")
    parts = [{"name": "a", "count": 1, "seconds": 1e-3}]
    monkeypatch.setattr(steps, "record", lambda names: {name: {"float32": parts} for name in names})
    steps.main(["gru", "mlp"])
    assert list(json.loads((tmp_path / "steps.json").read_text())) == ["mlp", "gru"]
    assert (tmp_path / "steps.md").read_text().count("| 1,000 |") == 2


def test_an_unknown_model(capsys):
    with pytest.raises(SystemExit, match="2"):
        steps.main(["gpt3"])
    assert "unknown model 'gpt3'; choose from mlp, cnn," in capsys.readouterr().err
