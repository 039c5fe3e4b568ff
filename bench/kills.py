"""Kill one process of a distributed training, again and again, at random moments, and go on each time.

    python -m weft.bench.kills --kills 100

After each kill no process may be left behind after 30 s, and the last checkpoint must be whole. Each run that has come to its
end after so many kills must have the bits of one that nobody killed. Needs /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..training.checkpoint import load_checkpoint
from .processes import launched, single_threaded

__all__ = ["main"]

LIMIT = 30.0  # seconds until all processes must be gone


def command(n: int, *options: object) -> list[str]:
    """`weft train` in n processes."""
    return launched(n, "-m", "weft", "train", *options)


def ranks_of(session: int) -> dict[int, int]:
    """Process numbers by rank, of those of a session that run Python."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getsid(int(entry.name)) != session and not _descends(int(entry.name), session):
                continue
            variables = (entry / "environ").read_bytes().split(b"\0")
            is_ours = b"train" in (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        for variable in variables:
            for name in (b"PMI_RANK=", b"OMPI_COMM_WORLD_RANK="):
                if is_ours and variable.startswith(name):
                    found[int(variable.removeprefix(name))] = int(entry.name)
    return found


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


def killed(folder: Path, n: int, after: float, options: Sequence[object], rng: random.Random) -> str:
    """Go on with a run, kill one of its processes after some seconds; what happened."""
    last = folder / "last.safetensors"
    arguments = ["--resume", folder] if last.exists() else [*options, "--out", folder, "--overwrite"]
    run = subprocess.Popen(
        command(n, *arguments, "--checkpoint-every", 3),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=single_threaded(),
        start_new_session=True,
    )
    began = time.monotonic()
    while time.monotonic() - began < after and run.poll() is None:
        time.sleep(0.01)
    found = ranks_of(run.pid)
    if run.poll() is not None:
        return "ended"
    if not found:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return "nobody"
    os.kill(rng.choice(sorted(found.values())), signal.SIGKILL)
    deadline = time.monotonic() + LIMIT
    while run.poll() is None or any(Path(f"/proc/{pid}").exists() for pid in found.values()):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes are left after {LIMIT:.0f} s: {found}")
        time.sleep(0.02)
    if last.exists():
        load_checkpoint(last)  # raises if it is not whole
    return "killed"


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, and say how it went.

    Parameters
    ----------
    argv : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m weft.bench.kills")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=8.0, help="seconds until a kill, at most")
    given = parser.parse_args(argv)
    rng, n = random.Random(given.seed), given.processes
    options = ["--model", "mlp", "--schedule", "cosine", "--epochs", given.epochs]
    with tempfile.TemporaryDirectory() as parent:
        whole = Path(parent, "whole")
        subprocess.run(
            command(n, *options, "--out", whole, "--quiet"),
            check=True,
            env=single_threaded(),
            stdout=subprocess.DEVNULL,
        )
        expected = load_checkpoint(whole / "last.safetensors")["model"]
        kills = exact = 0
        slowest, round_ = 0.0, 0
        while kills < given.kills:
            folder = Path(parent, f"run{round_}")
            round_ += 1
            for _ in range(max(1, min(25, given.kills - kills))):
                start = time.monotonic()
                what = killed(folder, n, rng.uniform(0.5, given.longest), options, rng)
                kills += what == "killed"
                slowest = max(slowest, time.monotonic() - start)
                print(f"{kills:4} {what}", flush=True)
                if what == "ended":
                    break
            arguments = ["--resume", folder] if (folder / "last.safetensors").exists() else [*options, "--out", folder]
            subprocess.run(
                command(n, *arguments, "--quiet"), check=True, env=single_threaded(), stdout=subprocess.DEVNULL
            )
            found = load_checkpoint(folder / "last.safetensors")["model"]
            for name, value in expected.items():
                assert found[name].tobytes() == value.tobytes(), f"{name} is not what it would have been"
            exact += 1
    print(f"{kills} kills in {round_} runs of {n} processes: every checkpoint whole, nobody left, {exact} ends exact")
    return 0


if __name__ == "__main__":
    sys.exit(main())
