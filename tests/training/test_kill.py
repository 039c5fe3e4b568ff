"""`weft train` ended at random moments by SIGKILL, SIGTERM, SIGINT and SIGHUP, again and again.

What it said was saved is there, no file is half written, whoever can say something says one line, and the end is the same.
"""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from weft.__main__ import main
from weft.training import load_checkpoint, load_model

EVERY = 2  # updates from one checkpoint to the next
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MOMENTS = ("start", "epochs", "epochs", "end")  # while saving, too: that is half of an epoch's time


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
    """The run goes on, if there is one to go on with."""
    begun = [name for name in ("last", "best") if os.path.exists(f"broken/{name}.safetensors")]
    command = [sys.executable, "-m", "weft", "train", *(["--resume"] if begun else options), "--out", "broken"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "pipesize": 4096}  # a run that nobody reads waits
    return subprocess.Popen([*command, "--checkpoint-every", str(EVERY)], text=True, env=environment, **pipes)


def is_listening(process):
    """Whether its handlers are there: before that it is Python that starts, not weft. None: it has ended."""
    try:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
    except OSError:
        return None
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1) if caught and process.poll() is None else None


def announced(line):
    """The step that a line says is saved, or 0."""
    return int(line.rpartition(" ")[2]) if line.startswith("saved broken/last.safetensors ") else 0


def wait_for(process, moment, epochs, rng):
    """Until about that moment; returns the greatest step that is said to be saved."""
    step, saves, delay = 0, int(rng.integers(0, 10)), rng.uniform(0, 0.02)
    if moment == "start":
        while is_listening(process) is False:
            time.sleep(0.001)
        delay = rng.uniform(0, 0.7)
    else:
        for line in process.stdout:
            step = max(step, announced(line))
            saves -= step > 0
            if (moment == "epochs" and saves < 0) or line.startswith(f"epoch {epochs}/{epochs}"):
                break
        if moment == "end":
            delay = rng.uniform(0, 0.15)
    time.sleep(delay)
    return step


def end(process, number, moment, epochs, rng):
    """Send the signal at the moment; returns the exit status, and the greatest step said to be saved."""
    step = wait_for(process, moment, epochs, rng)
    process.send_signal(number)
    out, err = process.communicate()
    step = max([step, *map(announced, out.splitlines())])
    assert process.returncode in (0, -number, 128 + number), err
    assert "Traceback" not in err, err
    assert "ignored" not in err, err
    if process.returncode > 0:
        assert err.count("\n") == 1, err
        assert re.match(r"weft train: interrupted( by SIG\w+)?(; .*go on with: weft train --resume .*)?\n", err), err
        assert "--resume" in err or not step, err
    else:
        assert err == ""
    return process.returncode, step


def check(data, epochs, kills):
    """Each moment meets each signal. A run that was faster than the signal must be whole, and another one is begun."""
    options = [*data, "--epochs", str(epochs), "--threads", "1"]
    assert main(["train", *options, "--out", "whole", "--quiet"]) == 0
    whole = weights("whole"), history("whole")
    rng, step, outcomes = np.random.default_rng(kills), 0, Counter()
    for i in range(kills):
        number, moment = SIGNALS[i % 4], MOMENTS[i // 4 % 4]
        with start(options) as process:
            status, said = end(process, number, moment, epochs, rng)
        outcomes[moment, "ended" if status == 0 else "killed"] += 1
        step = max(step, said)
        if step:
            assert load_checkpoint("broken/last.safetensors")["step"] >= step
        for path in Path("broken").glob("*.safetensors"):
            load_model(path)
        if status == 0:
            assert (weights("broken"), history("broken")) == whole
            shutil.rmtree("broken")
            step = 0
    with start(options) as process:
        process.communicate()
    assert process.returncode == 0
    assert (weights("broken"), history("broken")) == whole
    assert [path.name for path in Path("broken").iterdir() if path.name.startswith(".")] == []
    return outcomes


pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and at the size of a pipe"),
    pytest.mark.usefixtures("heard"),
]


def test_eight_signals(data):
    """At the start and within an epoch."""
    outcomes = check(data, epochs=8, kills=8)
    assert sum(n for (_, how), n in outcomes.items() if how == "killed") >= 4


@pytest.mark.slow
def test_two_hundred_signals(data):
    outcomes = check(data, epochs=30, kills=200)
    print(dict(outcomes))
    for moment in MOMENTS:
        assert outcomes[moment, "killed"]
