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
