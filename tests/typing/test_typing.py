"""The user's program goes through mypy and pyright: every expression has its type, every misuse is found, nothing else."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import weft

PROGRAM = Path(__file__).with_name("user_program.py")
WRONG = [i for i, line in enumerate(PROGRAM.read_text(encoding="utf-8").splitlines(), 1) if line.endswith("# wrong")]


@pytest.fixture
def folder(tmp_path):
    """A folder with the program and, beside it, the package under its name: type checkers go by the names of folders."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "weft").symlink_to(Path(weft.__file__).parent, target_is_directory=True)
    (tmp_path / "user_program.py").write_text(PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def run(folder, *command, **environment):
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.stdout


def test_the_package_says_that_it_is_typed():
    assert (Path(weft.__file__).parent / "py.typed").is_file()


def test_mypy(folder):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed (an extra of development)")
    (folder / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\nfollow_imports = silent\n")
    text = run(folder, "mypy", "user_program.py", MYPYPATH="src", MYPY_CACHE_DIR=str(folder / "cache"))
    found = [int(line) for line in re.findall(r"^user_program\.py:(\d+): error", text, re.MULTILINE)]
    assert found == WRONG, text


@pytest.mark.slow
def test_pyright(folder):
    """It brings a program of its own when it is first run: slow, and skipped where that is not to be had."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed (an extra of development)")
    settings = {"include": ["user_program.py"], "extraPaths": ["src"]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    report = json.loads(run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable))
    found = sorted({d["range"]["start"]["line"] + 1 for d in report["generalDiagnostics"] if d["severity"] == "error"})
    assert found == WRONG, report
