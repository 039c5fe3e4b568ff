"""Every example runs, and reaches what it claims."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLAIMS = {
    "forecasting": lambda share: share < 0.5,
    "language_model": lambda loss: loss < 0.3,
    "logistic_regression": lambda accuracy: accuracy > 0.9,
    "newton": lambda value: value < 1e-20,
    "own_kernel": lambda worst: worst < 1e-6,
    "translation": lambda share: share > 0.8,
    "xor": lambda loss: loss < 0.05,
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_example(path, capsys):
    assert CLAIMS[path.stem](runpy.run_path(str(path))["main"]())
    assert capsys.readouterr().out


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
