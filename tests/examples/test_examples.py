"""Every example runs, and reaches what it claims."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CLAIMS = {
    "logistic_regression": lambda accuracy: accuracy > 0.9,
    "newton": lambda value: value < 1e-20,
    "xor": lambda loss: loss < 0.05,
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.stem)
def test_example(path, capsys):
    assert CLAIMS[path.stem](runpy.run_path(str(path))["main"]())
    assert capsys.readouterr().out
