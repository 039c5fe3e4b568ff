"""The measurement of PyTorch's front: what it runs, and what it prints of it."""

import pytest

from weft.bench import torch_front


def test_each_runs_in_turn_and_is_compared(monkeypatch, capsys):
    commands = []
    times = iter([40.0, 44.0, 120.0, 20.0, 30.0, 60.0, 30.0, 33.0, 90.0])
    monkeypatch.setattr(torch_front, "_measured", lambda command: commands.append(command) or next(times))
    assert torch_front.main(["--torch", "other", "--rounds", "3"]) == 0
    assert [command[0] == "other" for command in commands] == [False, False, True] * 3
    assert capsys.readouterr().out.splitlines() == [
        "weft                  30.0 µs per step, 1.00 of weft's",
        "weft.compat.torch     33.0 µs per step, 1.10 of weft's",
        "PyTorch               90.0 µs per step, 3.00 of weft's",
    ]


def test_both_programs_run(tmp_path):
    """Few steps of each, in this process for weft's own names."""
    for names in (torch_front.OWN, torch_front.TORCH):
        assert "optimizer.step()" in torch_front.STEP.format(**names)
    fewer = (
        torch_front.STEP.format(**torch_front.OWN).replace("range(200)", "range(2)").replace("range(100)", "range(1)")
    )
    printed = []
    exec(compile(fewer, "program", "exec"), {"__name__": "program", "print": printed.append})
    assert printed[0] > 0


def test_wrong_use(capsys):
    with pytest.raises(SystemExit):
        torch_front.main(["--rounds", "many"])
    assert "invalid int value: 'many'" in capsys.readouterr().err
