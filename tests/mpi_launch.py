"""Starts programs under mpiexec: few of them, as each process takes a second to start, and with a limit of time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "distributed"
LIMIT = 300  # seconds: it ends what hangs, and is no measure of what a crowded machine may take


def launcher():
    """The mpiexec beside this Python, or the one on the path."""
    pytest.importorskip("mpi4py", reason="needs mpi4py and an MPI library: pip install weft[distributed]")
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    return found or pytest.skip("needs mpiexec")


def command(n, *arguments):
    """n processes of this Python."""
    path = launcher()
    options = ["-disable-auto-cleanup"]  # of MPICH, which would kill process 0 before it has said which one died
    if "Open MPI" in subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout:
        options = ["--oversubscribe", "--allow-run-as-root"]
    return [path, *options, "-n", str(n), sys.executable, *map(str, arguments)]


def start(n, script, *arguments, limit=LIMIT, **environment):
    """Run a script of tests/distributed in n processes, to its end."""
    return subprocess.run(
        command(n, HERE / script, *arguments),
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment},
    )


def is_running(pid):
    """Whether there is such a process, and not only what is left of one until its parent asks for it."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()


def ended_well(run):
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]
    return run.stdout
