"""`bench/gpu.sh` without a GPU: it can be read, and says what it would do, in eight minutes at most and in which order."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu.sh"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def run(*args, **environment):
    variables = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, **environment}
    return subprocess.run(["bash", str(SCRIPT), *map(str, args)], capture_output=True, text=True, env=variables)


def test_dry_run(tmp_path):
    done = run("--dry-run", tmp_path / "out", PACKED=str(tmp_path))
    assert not done.returncode, done.stderr
    steps = re.findall(r"^(\S+) +at most +(\d+) s: (.*)", done.stdout, re.MULTILINE)
    assert [name for name, *_ in steps] == [
        "info", "first-minutes", "one-per-kernel", "kernels", "models", "memcheck", "racecheck", "initcheck", "synccheck",
        "all-tests", "torch.compile",
    ]  # fmt: skip
    assert sum(int(limit) for _, limit, _ in steps[:9]) <= 470  # and the two behind them have what is left
    assert all(sys.executable in command for *_, command in steps)
    assert f"--read-cover {tmp_path}/cover.json" in done.stdout


def test_without_cubins_they_are_compiled(tmp_path):
    assert "weft.bench.precompile" in run("--dry-run", tmp_path).stdout
    assert "weft.bench.precompile" not in run("--dry-run", tmp_path, PACKED=str(tmp_path)).stdout


def test_usage():
    done = run()
    assert done.returncode == 2
    assert "bench/gpu.sh OUT [WHEELS]" in done.stdout
