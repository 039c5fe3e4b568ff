"""A process that dies, hangs or raises ends all others, within a limit of time, with one line that names it."""

import re
import time

import pytest
from mpi_launch import is_running, start

slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("how", "who", "what"),
    [
        ("kill", 1, "died"),
        ("raise", 0, "raised ValueError: the loss is a banana"),
        pytest.param("kill", 0, "died", marks=slow),
        pytest.param("raise", 2, "raised ValueError: the loss is a banana", marks=slow),
        pytest.param("hang", 0, r"keeps the others waiting, for \d+ s now", marks=slow),
        pytest.param("hang", 1, r"keeps the others waiting, for \d+ s now", marks=slow),
        pytest.param("stop", 0, r"was not heard of for \d+ s", marks=slow),
        pytest.param("stop", 1, r"was not heard of for \d+ s", marks=slow),
        pytest.param("leave", 0, "has ended, while others wait for it", marks=slow),
        pytest.param(
            "leave", 1, r"(keeps the others waiting, for \d+ s now|has ended, while others wait for it)", marks=slow
        ),
    ],
)
def test_all_end(how, who, what):
    is_noticed_by_time = how in (
        "hang",
        "stop",
        "leave",
    )  # else nobody may be taken for one that hangs, on a crowded machine
    run = start(3, "faulty.py", how, who, 5 if is_noticed_by_time else 120)
    assert run.returncode != 0
    lines = [line for line in run.stderr.splitlines() if line.startswith("weft: ")]
    assert len(lines) == 1, run.stderr
    assert re.fullmatch(rf"weft: process {who} of 3 \(\S+, \d+\) {what}; all processes end", lines[0])
    pids = [int(found) for found in re.findall(r"pid\s+(\d+)", run.stdout)]
    assert len(pids) == 3, run.stdout
    deadline = time.monotonic() + 120
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process is left behind"
