"""Every example runs, and reaches what it claims."""

import contextlib
import runpy
from pathlib import Path

import pytest

from weft.training import picture

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLAIMS = {
    "fine_tuning": lambda found: found[1] > found[0] + 0.1,
    "forecasting": lambda share: share < 0.5,
    "language_model": lambda loss: loss < 0.3,
    "logistic_regression": lambda accuracy: accuracy > 0.9,
    "newton": lambda value: value < 1e-20,
    "own_kernel": lambda worst: worst < 1e-6,
    "search": lambda result: result[0] > 0.95 and result[1] > 3,
    "translation": lambda share: share > 0.8,
    "xor": lambda found: found[0] < 0.05 and found[1] > 0,
}


def learns_only_without_vanishing(found):
    sigmoid, *others = found.values()
    assert sigmoid[0] < 1e-6
    assert sigmoid[1] < 0.2
    return all(0.01 < ratio < 100 and accuracy > 0.5 for ratio, accuracy in others)


def momentum_wins(found):
    plain, *others = found.values()
    return all(height < plain[0] / 10 and loss < plain[1] for height, loss in others)


def cures_help(found):
    nothing, *cured = (history[-1] for history in found.values())
    lowest = min(row["val_loss"] for row in found["nothing"])
    assert nothing["val_loss"] > 1.05 * lowest
    assert nothing["accuracy"] > nothing["val_accuracy"] + 0.05
    return all(last["val_loss"] < nothing["val_loss"] for last in cured)


def falling_rates_win(found):
    high, low, *falling = found.values()
    return max(falling) < min(high, low)


def he_keeps_the_size(found):
    small, xavier, he, large = found.values()
    assert all(0.1 < factor < 10 for factor in he)
    return max(small) < max(xavier) < 1e-6 and min(large) > 1e6


def clipping_saves(found):
    (_, lost), (_, slow), (norms, losses) = found.values()
    assert not lost[-1] < 1e4
    assert max(norms) > 100
    return sum(losses[-50:]) / 50 < losses[0] / 10 and slow[-1] < 1e4


# What an example finds, seen at a small size: of those with a picture.
FINDINGS = {
    "exploding_gradients": clipping_saves,
    "initialization": he_keeps_the_size,
    "learning_rate_schedules": falling_rates_win,
    "optimizer_race": momentum_wins,
    "overfitting": cures_help,
    "vanishing_gradients": learns_only_without_vanishing,
    "xor": CLAIMS["xor"],
}


def test_every_example_is_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == CLAIMS.keys() | FINDINGS.keys()


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_example(name, capsys):
    if name == "search":
        pytest.importorskip("optuna", reason='pip install "weft[tune]"')
    assert CLAIMS[name](runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]())
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(FINDINGS))
def test_finding(name, capsys, tmp_path):
    """With its picture, whose axes say what they show."""
    axes = []
    drawn = runpy.run_path(str(EXAMPLES / f"{name}.py"))

    @contextlib.contextmanager
    def watched(*args, **kwargs):
        with picture(*args, **kwargs) as found:
            yield found
            axes.extend(found)

    drawn["main"].__globals__["picture"] = watched
    assert FINDINGS[name](drawn["main"](["--quick", "--plot", str(tmp_path / "a.png")]))
    assert capsys.readouterr().out
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in axes)
    assert any(axis.get_legend() for axis in axes)


@pytest.mark.parametrize("name", sorted(CLAIMS | FINDINGS))
def test_help(name, capsys):
    if name == "search":
        pytest.importorskip("optuna", reason='pip install "weft[tune]"')
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](["--help"])
    shown = capsys.readouterr().out
    assert "options:" in shown
    assert name not in FINDINGS or ("--plot FILE" in shown and "--quick" in shown)


def test_architecture_quotes_the_kernel():
    """The worked example in ARCHITECTURE.md is the one that runs here."""
    text = (EXAMPLES.parent / "ARCHITECTURE.md").read_text()
    section = text[text.index("## Add a kernel, and test it with no GPU") :].partition("\n## ")[0]
    quoted = [
        line.strip() for line in section.splitlines() if line.startswith("    ") and "…" not in line and line.strip()
    ]
    code = [
        line.strip()
        for name in ("own_kernel.cu", "own_kernel.py")
        for line in (EXAMPLES / name).read_text().splitlines()
    ]
    assert len(quoted) > 15
    assert [line for line in quoted if line not in code] == []
