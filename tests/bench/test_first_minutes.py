"""Rehearsed in the emulator: every question has its line; one that fails is a line, too."""

import pytest

import weft
from weft.bench import first_minutes


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_rehearsal(capsys):
    assert first_minutes.main(["--device", "emulator"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(first_minutes.QUESTIONS)
    assert "replayed, loss" in lines[1]
    assert "replayed, the same to" in lines[2]


def test_whether_all_were_carried(monkeypatch, tmp_path):
    """Which is known without a GPU: nothing that was has to be compiled."""
    monkeypatch.setenv("WEFT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("WEFT_CUBINS_OF", "13.0")
    asked = []
    monkeypatch.setattr(first_minutes.compiler, "build", lambda source, *args, **options: asked.append(source))
    n = sum(len(expressions) for expressions, _ in first_minutes.precompile.families("sm_90a").values())
    assert first_minutes.cubins("cpu") == f"{n} kernels, found but not loaded"
    assert len(asked) == n
    monkeypatch.setattr(first_minutes.compiler, "build", lambda *args, **options: (tmp_path / "a.cubin").touch())
    assert first_minutes.cubins("cpu") == f"{n} kernels, 1 of them compiled on the way, found but not loaded"


def test_failure_is_a_line(monkeypatch, capsys):
    def fails(device):
        raise ValueError("not here")

    monkeypatch.setattr(first_minutes, "QUESTIONS", {"first": fails, "second": lambda device: "yes"})
    assert first_minutes.main(["--device", "cpu"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("first: NO, ValueError: not here (")
    assert second.startswith("second: yes (")


def test_no_such_device(capsys):
    assert first_minutes.main(["--device", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
