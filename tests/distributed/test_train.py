"""`weft train` in several processes, as a user starts it."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mpi_launch import command, is_running

from weft.training import load_checkpoint

WEFT = ("-m", "weft", "train")
OPTIONS = ("--model", "mlp", "--schedule", "cosine", "--epochs", "4")


def weft(n, *options, limit=300):
    start = command(n, *WEFT, *options) if n > 1 else [sys.executable, *WEFT, *map(str, options)]
    return subprocess.run(
        start,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def log(folder):
    with open(folder / "log.csv", newline="") as file:
        return [
            {k: float(v) for k, v in row.items() if k not in ("seconds", "samples_per_second")}
            for row in csv.DictReader(file)
        ]


def same_run(folder, other, tolerance=1e-5):
    for a, b in zip(log(folder), log(other), strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=tolerance, err_msg=name)


def test_two_processes_are_one(tmp_path):
    """The same log, one line for each epoch, and files of one process alone; then one process goes on from theirs."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert weft(1, *OPTIONS, "--out", one).returncode == 0
    run = weft(2, *OPTIONS, "--out", two)
    assert run.returncode == 0, run.stderr
    assert len(re.findall(r"^epoch ", run.stdout, re.MULTILINE)) == 4
    assert run.stdout.count("test accuracy") == 1
    same_run(two, one)
    assert {p.name for p in two.iterdir()} == {p.name for p in one.iterdir()}
    assert json.loads((two / "model.json").read_text())["info"]["epochs"] == 4


def test_wrong_use_is_said_once(tmp_path):
    run = weft(2, "--data", tmp_path / "nowhere.npz")
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if "nowhere.npz" in line]
    assert len(lines) == 1, run.stderr


def begin(n, folder, *options):
    return subprocess.Popen(
        command(n, *WEFT, *options, "--out", folder, "--checkpoint-every", 5),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )


def children(pid):
    """Processes that descend from one, by what /proc tells."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, new = set(), {pid}
    while new:
        new = {p for p, parent in parents.items() if parent in new} - found
        found |= new
    return found


def ranks_of(pid):
    """The Python processes of a run, by rank."""
    found = {}
    for child in children(pid):
        try:
            environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            is_python = b"weft" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        for name in (b"PMI_RANK=", b"OMPI_COMM_WORLD_RANK="):
            for entry in environment:
                if is_python and entry.startswith(name):
                    found[int(entry.removeprefix(name))] = child
    return found


def until(condition, limit=300):
    deadline = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)
    return found


def kill_one(folder, n, who, wait, *options):
    """Begin, kill one process `wait` seconds after the first checkpoint, and wait for the end of all."""
    run = begin(n, folder, *options)
    try:
        until(lambda: (folder / "last.safetensors").exists() or run.poll() is not None)
        time.sleep(wait)
        found = ranks_of(run.pid)
        if who in found:
            os.kill(found[who], signal.SIGKILL)
        out, _ = run.communicate(timeout=300)
        until(lambda: not any(map(is_running, found.values())))
        return out, who in found
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_killed_process_and_another_number(tmp_path):
    """The last checkpoint is whole; the same number goes on to the same bits, another number to the same curve."""
    whole = tmp_path / "whole"
    assert weft(3, *OPTIONS, "--epochs", 30, "--out", whole).returncode == 0
    expected = load_checkpoint(whole / "last.safetensors")["model"]
    for resumed_by, folder in ((3, tmp_path / "same"), (2, tmp_path / "other")):
        out, was_killed = kill_one(folder, 3, 1, 0.3, *OPTIONS, "--epochs", 30)
        assert was_killed
        assert re.search(r"weft: process 1 of 3 \(.*\) died; all processes end", out), out
        load_checkpoint(folder / "last.safetensors")
        run = weft(resumed_by, "--resume", folder)
        assert run.returncode == 0, run.stderr
        if resumed_by == 3:
            found = load_checkpoint(folder / "last.safetensors")["model"]
            assert all(found[name].tobytes() == value.tobytes() for name, value in expected.items())
        same_run(folder, whole, 1e-12 if resumed_by == 3 else 0.03)  # after 1,200 updates roundings have grown


@pytest.mark.slow
def test_signal_saves_once(tmp_path):
    """SIGTERM to the launcher, as a scheduler sends it: all stop after the same update, with one line."""
    run = begin(2, tmp_path / "run", *OPTIONS, "--epochs", 200)
    until(lambda: (tmp_path / "run" / "last.safetensors").exists())
    for pid in ranks_of(run.pid).values():
        os.kill(pid, signal.SIGTERM)
    out, _ = run.communicate(timeout=300)
    assert len(re.findall("go on with: weft train --resume", out)) == 1, out
    load_checkpoint(tmp_path / "run" / "last.safetensors")
