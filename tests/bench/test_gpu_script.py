"""`bench/gpu.sh` without a GPU: it can be read, and says what it would do, in eight minutes at most and in which order."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu.sh"
pytestmark = [pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash"), pytest.mark.usefixtures("heard")]


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
    together = sum(int(limit) for _, limit, _ in steps[:9])
    assert together <= 460  # and the two behind them have what is left
    assert re.search(
        rf"^together +at most +{together} s; what follows has what is left of 460 s$", done.stdout, re.MULTILINE
    )
    assert all(sys.executable in command for *_, command in steps)
    assert f"--read-cover {tmp_path}/cover.json -m gpu" in done.stdout


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "a folder"])
def test_a_dry_run_leaves_everything_as_it_is(tmp_path, there):
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    if there:
        out.mkdir()
    done = run("--dry-run", out, TMPDIR=str(temporary), DEVICE="emulator")
    assert not done.returncode, done.stderr
    assert f"--save {out}/gpu.json" in done.stdout
    assert sorted(tmp_path.rglob("*")) == sorted([temporary, out][: 1 + there])


OLD = """#!/bin/sh
echo 3 10
"""  # Python 3.10, as it answers


@pytest.mark.parametrize("mode", [(), ("--pack",), ("--dry-run",)], ids=["run", "pack", "dry run"])
@pytest.mark.parametrize("python", ["/bin/true", "/bin/false", "/bin/echo", "old"])
def test_an_interpreter_that_is_none(tmp_path, python, mode):
    """It would measure nothing, and say that all went well."""
    found = "none"
    if python == "old":
        python, found = tmp_path / "old", "Python 3.10"
        python.write_text(OLD)
        python.chmod(0o755)
    done = run(*mode, tmp_path / "out", PYTHON=str(python), DEVICE="emulator")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"PYTHON must be Python 3.11 or newer, got {python}, which is {found}\n"
    assert not (tmp_path / "out").exists()


def test_without_cubins_they_are_compiled(tmp_path):
    """But not in a rehearsal, whose emulator takes none."""
    assert "weft.bench.precompile" not in run("--dry-run", tmp_path, DEVICE="emulator").stdout
    assert "weft.bench.precompile" in run("--dry-run", tmp_path).stdout
    assert "weft.bench.precompile" not in run("--dry-run", tmp_path, PACKED=str(tmp_path)).stdout


STAND_IN = """#!/bin/bash
# Takes Python's place: says what it was asked for, and can fail or take long.
case "$*" in *version_info*) echo 3 11; exit ;; esac
echo "$*" >> "$ASKED"
echo "first line of $*"
case "$*" in
    *"$FAILS"*) exit 3 ;;
    *"$HANGS"*) exec sleep 60 ;; # in bash's place, which loses an interrupt that comes while it begins a command
    *"$LEAVES"*) (trap "" INT; sleep 60; echo "waited for" >> "$ASKED") & ;;
    *"-m pytest"*) echo "===== 2 passed, 1 skipped in 67.22s (0:01:07) =====" ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path):
    """Runs the script with a Python that does nothing; returns the names and results of OUT/summary.txt, and what was asked."""
    python, asked, out = tmp_path / "python", tmp_path / "asked", tmp_path / "out"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    (tmp_path / "packed" / "cubins").mkdir(parents=True)
    (tmp_path / "packed" / "cover.json").write_text("{}")

    def start(fails="nothing", hangs="nothing", leaves="nothing", **environment):
        asked.write_text("")
        variables = {"PYTHON": str(python), "ASKED": str(asked), "FAILS": fails, "HANGS": hangs, "LEAVES": leaves}
        done = run(out, PACKED=str(tmp_path / "packed"), DEVICE="emulator", **variables, **environment)
        assert not done.returncode, done.stderr
        lines = (out / "summary.txt").read_text().splitlines()
        return done.stdout, [tuple(line.split(maxsplit=1)) for line in lines], asked.read_text()

    start.out = out
    return start


def test_a_step_that_fails_stops_nothing(stand_in):
    said, lines, _ = stand_in(fails="first_minutes")
    results = dict(lines)
    assert list(results) == [
        "info", "first-minutes", "one-per-kernel", "kernels", "models", "memcheck", "racecheck", "initcheck", "synccheck",
        "all-tests", "torch.compile",
    ]  # fmt: skip
    assert results["first-minutes"].startswith("exit status 3, ")
    assert results["memcheck"] == "compute-sanitizer was not found"
    assert {results[name][:3] for name in ("info", "one-per-kernel", "kernels", "models", "all-tests")} == {"ok,"}
    assert said.count("compute-sanitizer was not found") == 8  # at its time, and in the summary
    assert len(list(stand_in.out.iterdir())) <= 8  # the most that a machine may bring back


def test_what_tests_say_is_in_the_summary(stand_in):
    """A step whose tests are all skipped is no more than that. A rehearsal runs those of the kernels in the emulator."""
    _, lines, asked = stand_in()
    for name in ("one-per-kernel", "all-tests"):
        assert re.fullmatch(r"ok, \d+ s: 2 passed, 1 skipped in 67\.22s \(0:01:07\)", dict(lines)[name])
    assert re.fullmatch(r"ok, \d+ s", dict(lines)["info"])
    assert [line.endswith("-m gpu") for line in asked.splitlines() if "-m pytest" in line] == [False, True]


def test_what_hangs_is_stopped(stand_in, tmp_path):
    """By `timeout`, here after 5 s instead of 60; what it had said is there, and the next step begins."""
    sooner = tmp_path / "bin" / "timeout"
    sooner.parent.mkdir()
    sooner.write_text(
        '#!/bin/bash\n[ "$1" = -s ] && exec /usr/bin/timeout -s INT -k 30 5 "${@:6}"\nexec /usr/bin/timeout "$@"\n'
    )
    sooner.chmod(0o755)
    _, lines, asked = stand_in(hangs="first_minutes", PATH=f"{sooner.parent}:/usr/bin:/bin")
    assert dict(lines)["first-minutes"].startswith("exit status 124, ")
    assert "first line of -m weft.bench.first_minutes" in (stand_in.out / "first_minutes.txt").read_text()
    assert "--read-cover" in asked


def test_what_a_step_leaves_behind_ends_with_it(stand_in):
    """A process that runs on, as a worker of tests may, would keep the log's pipe open, and the script waiting for its end."""
    _, lines, asked = stand_in(leaves="first_minutes")
    assert dict(lines)["first-minutes"].startswith("ok, ")
    assert "waited for" not in asked


def test_no_time_left(stand_in):
    _, lines, asked = stand_in(WEFT_SECONDS="12")
    assert {results for _, results in lines if "sanitizer" not in results} == {"no time left"}
    assert "weft" not in asked


def test_a_second_start_goes_on(stand_in):
    stand_in(fails="first_minutes")
    said, lines, asked = stand_in()
    assert said.startswith("===== goes on; so far:\ninfo ")
    assert "first_minutes" in asked
    assert "weft info" not in asked
    assert "-m pytest" not in asked
    assert asked.count("--resume") == 3
    assert dict(lines)["first-minutes"].startswith("ok, ")


@pytest.mark.parametrize("waits", [True, False], ids=["", "before it waits"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand(stand_in, tmp_path, how, waits):
    """The step ends with the script (whose output one that runs on would keep open), and is asked for again."""
    python, asked, packed = (str(tmp_path / name) for name in ("python", "asked", "packed"))
    script = SCRIPT
    if not waits:  # the script is busy between the step's start and waiting for it, as on a crowded machine
        script = tmp_path / "bench" / "gpu.sh"
        script.parent.mkdir()
        script.write_text(SCRIPT.read_text().replace("    wait $!\n", "    sleep 1\n    wait $!\n"))
        assert script.read_text() != SCRIPT.read_text()
    variables = {"PATH": "/usr/bin:/bin", "PYTHON": python, "PACKED": packed, "ASKED": asked}
    command, log = (
        ["env", "--default-signal=INT", "bash", str(script), str(stand_in.out)],
        stand_in.out / "first_minutes.txt",
    )
    options = {
        "env": {**variables, "FAILS": "nothing", "HANGS": "first_minutes", "LEAVES": "nothing"},
        "stdout": subprocess.PIPE,
        "text": True,
    }
    with subprocess.Popen(command, **options) as script:
        while not next(script.stdout).startswith("===== first-minutes"):
            pass
        while "first line" not in (log.read_text() if log.exists() else ""):
            pass
        script.send_signal(how)
        script.communicate(timeout=120)
    assert script.returncode == 128 + how
    lines = (stand_in.out / "summary.txt").read_text().splitlines()
    assert lines[1:] == ["first-minutes                stopped by hand"]
    said, _, again = stand_in()
    assert said.startswith("===== goes on; so far:\ninfo ")
    assert "first_minutes" in again


@pytest.mark.parametrize("missing", ["packed", "cubins", "cover.json"])
def test_what_was_packed_must_be_there(tmp_path, missing):
    """Or the minutes would go to compiling it."""
    packed = tmp_path / "packed"
    if missing != "packed":
        packed.mkdir()
    if missing == "cover.json":
        (packed / "cubins").mkdir()
    if missing == "cubins":
        (packed / "cover.json").write_text("{}")
    done = run(tmp_path / "out", PACKED=str(packed), PYTHON="/bin/false")
    assert done.returncode == 2
    assert str(packed) in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("args", [(), ("--pak", "folder"), ("--pack",), ("--pack", "--dry-run")])
def test_usage(args, tmp_path):
    """The comment that the script begins with, and none of its code."""
    done = run(*args)
    assert done.returncode == 2
    assert "bench/gpu.sh OUT [WHEELS]" in done.stdout
    assert all(line.startswith("#") for line in done.stdout.splitlines())


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("--pack", "--help")])
def test_help(args):
    done = run(*args)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bench/gpu.sh OUT [WHEELS]" in done.stdout


def test_an_interpreter_from_here(stand_in, tmp_path):
    """PYTHON may be a path from where the script is started, as `.venv/bin/python` is; its steps run elsewhere."""
    variables = {
        "ASKED": str(tmp_path / "asked"),
        "DEVICE": "emulator",
        **dict.fromkeys(["FAILS", "HANGS", "LEAVES"], "nothing"),
    }
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": "./python", "PACKED": "packed", **variables}
    done = subprocess.run(
        ["bash", str(SCRIPT), "an out"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    assert re.search(r"^info +ok,", (tmp_path / "an out" / "summary.txt").read_text(), re.MULTILINE)
    assert "For README.md" not in done.stdout  # there is no gpu.json
    none = run(tmp_path / "out", PYTHON="./nothing")
    assert none.returncode == 2
    assert none.stderr == "PYTHON must be an interpreter, got ./nothing\n"
    assert not (tmp_path / "out").exists()
