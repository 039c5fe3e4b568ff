"""`weft train` killed at random moments again and again: what it said was saved is there, and the end is the same."""

import csv
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from weft.__main__ import main
from weft.training import load_checkpoint

EVERY = 2  # updates from one checkpoint to the next


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # drawing takes longer than the training here
    rng = np.random.default_rng(0)
    x = rng.standard_normal((250, 12)).astype(np.float32)
    y = x[:, :3].argmax(1)
    np.savez("data.npz", x_train=x[:200], y_train=y[:200], x_dev=x[200:], y_dev=y[200:], x_test=x[200:], y_test=y[200:])
    return ["--data", "data.npz", "--model", "mlp", "--hidden", "32", "--batch-size", "8", "--patience", "99"]


def weights(folder):
    tree = load_checkpoint(f"{folder}/model.safetensors", kind="model")
    return {name: array.tolist() for name, array in tree["model"].items()}


def history(folder):
    with open(f"{folder}/log.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "samples_per_second")} for row in csv.DictReader(file)
        ]


def start(options):
    resume = ["--resume"] if os.path.exists("broken/last.safetensors") else options
    command = [sys.executable, "-m", "weft", "train", *resume, "--out", "broken", "--checkpoint-every", str(EVERY)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def kill(process, saves, delay):
    """Let it save some times and go on for a moment; the last step said to be saved, or None if it had ended before."""
    step = 0
    for line in process.stdout:
        if line.startswith("saved broken/last.safetensors "):
            step, saves = int(line.rpartition(" ")[2]), saves - 1
            if saves < 0:
                break
    time.sleep(delay)
    process.kill()
    for line in process.stdout:  # what it had still said
        if line.startswith("saved broken/last.safetensors "):
            step = int(line.rpartition(" ")[2])
    return step if process.wait() < 0 else None


def check(data, epochs, kills):
    options = [*data, "--epochs", str(epochs), "--threads", "1"]
    assert main(["train", *options, "--out", "whole", "--quiet"]) == 0
    rng = np.random.default_rng(kills)
    announced = 0
    for _ in range(kills):
        with start(options) as process:
            step = kill(process, saves=int(rng.integers(0, 10)), delay=rng.uniform(0, 0.02))
        assert step is not None, "the run ended before it was killed often enough: let it be longer"
        announced = max(announced, step)
        assert load_checkpoint("broken/last.safetensors")["step"] >= announced
        if os.path.exists("broken/best.safetensors"):
            load_checkpoint("broken/best.safetensors")
    with start(options) as process:
        process.stdout.read()
    assert process.returncode == 0
    assert weights("broken") == weights("whole")
    assert history("broken") == history("whole")


def test_three_kills(data):
    check(data, epochs=4, kills=3)


@pytest.mark.slow
def test_fifty_kills(data):
    check(data, epochs=30, kills=50)
