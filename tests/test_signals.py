"""Signals at the command `weft` before it has begun; the rest is in training/test_kill.py and test_cli_runs.py."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weft import _signals

pytestmark = pytest.mark.usefixtures("heard")


@pytest.mark.parametrize(
    ("argv", "orig_argv", "expected"),
    [
        (["-m", "train"], ["python", "-m", "weft", "train"], True),
        (["-m"], ["python", "-um", "weft"], True),
        (["-m"], ["python", "-mweft"], True),
        (["-m", "weft"], ["python", "-m", "pytest", "weft"], False),
        (["-m", "-m", "weft"], ["python", "-m", "other", "-m", "weft"], False),
        (["-m"], ["python", "-m", "weft.compat"], False),
        (["/usr/bin/weft", "info"], ["python", "/usr/bin/weft", "info"], True),
        (["weft.py"], ["python", "weft.py"], False),
        ([""], ["python"], False),
        (["-c"], ["python", "-c", "import weft"], False),
        ([], [], False),
    ],
)
def test_is_command(monkeypatch, argv, orig_argv, expected):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert _signals.is_command() is expected


def test_an_import_leaves_the_handlers_alone():
    code = (
        "import signal; numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP\n"
        "before = [*map(signal.getsignal, numbers)]; import weft.training.cli.train\n"
        "assert [*map(signal.getsignal, numbers)] == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_taken():
    before = {number: signal.getsignal(number) for number in _signals.ENDING}
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _signals.take()
        assert [signal.getsignal(n) is _signals.end for n in (signal.SIGINT, signal.SIGTERM)] == [True, True]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup
        with _signals.given_back():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert [signal.getsignal(n) is _signals.end for n in (signal.SIGINT, signal.SIGTERM)] == [True, True]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, ignored)
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_first_moment(number, tmp_path):
    """While NumPy is being imported."""
    script = Path(sys.executable).with_name("weft")
    command = [script] if script.exists() else [sys.executable, "-m", "weft"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with subprocess.Popen([*command, "train"], **pipes) as process:
        status = Path(f"/proc/{process.pid}/status")
        while not int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) >> (signal.SIGTERM - 1) & 1:
            time.sleep(0.001)
        process.send_signal(number)
        out, err = process.communicate()
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert (process.returncode, out, err) == (128 + number, "", f"weft train: interrupted{by}\n")
    assert not list(tmp_path.iterdir())
