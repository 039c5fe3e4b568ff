"""`weft bench` measures in processes of its own, prints and saves; whatever cannot be done is one line."""

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

import weft
from weft.backend.device import devices
from weft.bench import command, perform, results, worker

pytestmark = pytest.mark.usefixtures("heard")
PATIENT = ["--limit", "600"]  # for each bench, of which some compile first, on a crowded machine
TINY = ["--tiny", "--no-torch", *PATIENT]


@pytest.fixture
def no_gpu(monkeypatch):
    existing = devices.existing

    def without(name):
        if name and name.startswith("cuda"):
            raise devices.DeviceError("`cuda` needs an NVIDIA GPU;\n the driver reports none")
        return existing(name)

    monkeypatch.setattr(devices, "existing", without)


def run(capfd, *argv, status=0):
    assert command.main([*argv]) == status
    out, err = capfd.readouterr()
    return out, err


def test_saves_what_it_prints(tmp_path, capfd):
    saved = tmp_path / "new" / "results.json"
    out, _ = run(capfd, "mlp-inf", "--device", "cpu", "--threads", "1", "--save", str(saved), *TINY)
    document = results.load(saved)
    (entry,) = document["benches"]
    assert (entry["part"], entry["device"], entry["name"], entry["threads"]) == ("models", "cpu", "mlp-inference", 1)
    assert entry["about"] in out
    assert "samples/s" in out
    assert f"{document['machines']['cpu']['device']}, 1 thread; python" in out
    assert ", without PyTorch\n" in out
    assert "numpy" in document["versions"]
    assert entry["about"] in saved.with_suffix(".md").read_text()
    assert f"saved {saved}" in out


def test_a_folder_and_resume(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    argv = ["--operations", "--threads", "1", "--seconds", "0.01", "--no-torch", *PATIENT, "--save", str(tmp_path)]
    run(capfd, "mlp-tiny", *argv)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]  # no ratios to draw
    first = results.load(tmp_path / "bench.json")["benches"]
    out, _ = run(capfd, "mlp-tiny", "max-pool", "--resume", *argv)
    both = results.load(tmp_path / "bench.json")["benches"]
    assert both[:1] == first
    assert [e["name"] for e in both] == ["mlp-tiny", "max-pool"]
    assert "MLP 16-32-10" not in out


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_the_gpu_is_rehearsed(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    argv = ["mlp-training", "gelu", "--device", "emulator", "--no-torch", *PATIENT, "--save", str(tmp_path / "r.json")]
    out, _ = run(capfd, *argv)
    document = results.load(tmp_path / "r.json")
    assert document["machines"] == {"emulator": {"device": "emulator"}}
    assert document["ceilings"].keys() == {"copy", "bfloat16", "float32", "tf32"}
    names = {e["name"]: list(e["runs"]) for e in document["benches"]}
    assert names["mlp-training-bfloat16"] == ["weft", "weft.capture"]
    assert names["gelu-backward"] == ["weft"]
    assert not [name for name in names if name.startswith("cnn")]
    for words in ("weft.capture", "TFLOP/s", "limits measured here: copy"):
        assert words in out
    assert {p.name for p in tmp_path.iterdir()} == {"r.json", "r.md", "r-models.png", "r-kernels.png"}


def test_without_a_gpu_that_is_one_line(no_gpu, capfd):
    out, _ = run(capfd, "mlp-inference", "--models", "--threads", "1", *TINY)
    assert out.splitlines()[0] == "no GPU is measured: `cuda` needs an NVIDIA GPU; the driver reports none"
    assert "MLP inference" in out


def fails(capfd, *argv):
    try:
        status = command.main([*argv])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nonsense"], "no bench here has a name that begins with 'nonsense'; see weft bench --list"),
        (["--threads", "0"], "argument --threads: must be an integer at least 1, got '0'"),
        (["--threads", "4096"], "--threads must be between 1 and"),
        (["--seconds", "-1"], "argument --seconds: must be a number above 0, got '-1'"),
        (["--sav", "x"], "unrecognized arguments: --sav"),
        (["--resume"], "--resume needs --save PATH"),
        (["--device", "tpu"], "--device must be one of cpu, cuda, emulator, got 'tpu'"),
        (["--list", "--device", "tpu"], "--device must be one of cpu, cuda, emulator, got 'tpu'"),
        (["--device", "cuda:x"], "`cuda` needs an NVIDIA GPU"),
        (["--device", "cuda"], "`cuda` needs an NVIDIA GPU; the driver reports none"),
        (["--kernels"], "--kernels measures on a GPU: `cuda` needs an NVIDIA GPU; the driver reports none. --device emulator"),
        (["--kernels", "--device", "cpu"], "nothing to measure: there are no kernels for cpu"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(no_gpu, argv, message, capfd):
    assert message in fails(capfd, *argv)


def test_results_that_are_none_are_one_line(no_gpu, tmp_path, capfd):
    (tmp_path / "bench.json").write_text("{}")
    assert "bench.json holds no results of `weft bench --save`" in fails(capfd, "--save", str(tmp_path), "--resume")


def test_results_that_cannot_be_saved_are_one_line(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    argv = [
        "mlp-inference",
        "--device",
        "cpu",
        "--threads",
        "1",
        *TINY,
        "--save",
        str(tmp_path / "file" / "results.json"),
    ]
    assert command.main(argv) == 2
    said = capfd.readouterr()
    assert "results.json` could not be written" in said.err
    assert said.out == ""  # nothing was measured first


def test_names_can_be_listed(capfd):
    out, _ = run(capfd, "--list", "--device", "cuda", "--kernels", "attention")
    names = out.split()[2::3]
    assert len(names) == 8
    assert all(name.startswith("attention-") for name in names)
    everything, _ = run(capfd, "--list")
    for line in ("CPU       models      mlp-training", "CPU       operations  conv", "GPU       kernels     launches"):
        assert line in everything.splitlines()
    assert "CPU       kernels" not in everything


# --- processes that end too early -----------------------------------------------------------------------------------------
def entry(name, status="ok"):
    return {
        "part": "kernels",
        "device": "emulator",
        "name": name,
        "about": name,
        "runs": {},
        "passes": 1,
        "status": status,
    }


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
def test_a_process_that_ends_is_followed_by_another(monkeypatch, tmp_path, capfd):
    tasks = []

    def measure(task, cores, found, path, signals):
        tasks.append(json.loads(json.dumps(vars(task))))
        found["machines"]["emulator"] = {"device": "emulator"}
        if len(tasks) == 1:
            results.put(found, entry("gelu-forward"))
            return -signal.SIGSEGV, entry("gelu-backward", "failed")
        results.put(found, entry("dropout"))
        return 0, None

    monkeypatch.setattr(perform, "_run", measure)
    argv = ["--device", "emulator", "--kernels", "--save", str(tmp_path / "r.json")]
    out, _ = run(capfd, *argv, status=1)
    assert [e["name"] for e in tasks[1]["known"]] == ["gelu-forward", "gelu-backward"]
    assert tasks[1]["total"] <= tasks[0]["total"]
    found = {e["name"]: e for e in results.load(tmp_path / "r.json")["benches"]}
    assert list(found) == ["gelu-forward", "gelu-backward", "dropout"]
    assert found["gelu-backward"]["problem"] == "the process ended in it (exit status -11)"
    assert "going on in a new process" in out
    assert "FAILED: gelu-backward" in out


def test_a_process_that_cannot_begin(monkeypatch, capfd):
    monkeypatch.setattr(perform, "_run", lambda *_: (1, None))
    assert "the process that measures on cpu ended with exit status 1" in fails(
        capfd, "--device", "cpu", "mlp-training"
    )


# --- signals ------------------------------------------------------------------------------------------------------------
COMMAND = """
import sys
sys.argv = ["weft", "bench", *sys.argv[1:]]
sys.orig_argv = sys.argv
from weft.__main__ import main
sys.exit(main())
"""  # the command
STAND_IN = """
import json, os, sys, time
with open(os.environ["PIDS"], "a") as file:
    print(os.getpid(), file=file)
known = [entry["name"] for entry in json.load(sys.stdin)["known"]]
entry = {"part": "models", "device": "cpu", "threads": 1, "about": "ABOUT", "runs": {}, "passes": 1, "status": "ok"}
def send(**message):
    print(json.dumps(message), flush=True)
send(machine={"device": "a device"}, kind="cpu", versions={"python": "3"})
if "first" not in known:
    send(entry=entry | {"name": "first", "about": "what came first", "status": "wrong"}, new=["weft"])
    send(begin=entry | {"name": "second"})
    time.sleep(600)
send(entry=entry | {"name": "second", "about": "what came then"}, new=["weft"])
"""  # measures the first of two benches at once, and takes ten minutes for the second


class TestSignals:
    """The process itself, with a stand-in for the one that measures."""

    @pytest.fixture
    def start(self, tmp_path):
        folder = tmp_path / "stand-in"
        folder.mkdir()
        (folder / "worker.py").write_text(STAND_IN)
        python = folder / "python"  # which is asked for `-m weft.bench.worker`
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder / "worker.py"}"\n')
        python.chmod(0o755)
        code = COMMAND.replace(
            "from weft.__main__", f"import weft\nsys.executable = {str(python)!r}\nfrom weft.__main__"
        )
        pids = tmp_path / "pids"
        options = {"env": {**os.environ, "PIDS": str(pids)}, "text": True, "start_new_session": True}

        def run(*argv):
            command = [sys.executable, "-c", code, "--models", "--device", "cpu", "--threads", "1", *map(str, argv)]
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

        run.worker = lambda: int(pids.read_text().split()[-1])
        return run

    @pytest.mark.skipif(os.name != "posix", reason="stand-ins are scripts, and signals go to groups of processes")
    @pytest.mark.parametrize(
        ("number", "everyone"),
        [
            pytest.param(number, everyone, marks=[] if number == "SIGTERM" and not everyone else [pytest.mark.slow])
            for number in ("SIGINT", "SIGTERM", "SIGHUP")
            for everyone in (False, True)  # all processes of the group, as a terminal does
        ],
    )
    def test_prints_and_saves_what_there_is(self, start, tmp_path, number, everyone):
        path, by = tmp_path / "r.json", "" if number == "SIGINT" else f" by {number}"
        with start("--save", path) as process:
            while "what came first" not in process.stdout.readline():
                pass
            while not path.exists():
                time.sleep(0.01)
            (os.killpg if everyone else os.kill)(process.pid, getattr(signal, number))
            out, err = process.communicate(timeout=60)
        assert process.returncode == 128 + getattr(signal, number), err
        assert "WRONG: first\nsaved " in out
        how = f"go on with: weft bench --resume --models --device cpu --threads 1 --save {path}"
        assert err == f"weft bench: interrupted{by}; {how}\n"
        assert [e["name"] for e in results.load(path)["benches"]] == ["first"]
        assert "what came first" in path.with_suffix(".md").read_text()
        with pytest.raises(ProcessLookupError):
            os.kill(start.worker(), 0)
        with start("--save", path, "--resume") as process:
            process.communicate(timeout=60)
        assert [e["name"] for e in results.load(path)["benches"]] == ["first", "second"]

    @pytest.mark.skipif(os.name != "posix", reason="stand-ins are scripts")
    def test_without_save(self, start):
        with start() as process:
            while "what came first" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out.endswith("\nWRONG: first\n")
        told = "nothing is kept without --save PATH, by which --resume goes on"
        assert err == f"weft bench: interrupted; {told}\n"


ELSEWHERE = """
import sys
from weft.bench import perform
perform.__package__ = sys.argv.pop(1)
sys.argv = ["weft", "bench", "mlp", "--device", "cpu", "--threads", "1", *sys.argv[1:]]
from weft import _signals
from weft.__main__ import main
_signals.take()
sys.exit(main())
"""  # the command, with the worker of another package
WORKER = """
import json, sys, time
task = json.load(sys.stdin)
print(json.dumps({"kind": "cpu", "machine": {"device": "one"}, "versions": {}}), flush=True)
print(json.dumps({"entry": ENTRY, "new": ["weft"]}), flush=True)
print("measuring", file=sys.stderr, flush=True)
time.sleep(60)
print("left behind", file=sys.stderr)
"""


@pytest.fixture
def measuring(tmp_path):
    """Starts a command whose worker has measured one bench, and is at the next; its output holds open whatever is left."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "worker.py").write_text(
        WORKER.replace("ENTRY", repr(entry("mlp-training") | {"device": "cpu", "threads": 1}))
    )

    @contextlib.contextmanager
    def start(*options):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        command = [sys.executable, "-c", ELSEWHERE, "other", *map(str, options)]
        with subprocess.Popen(command, env=environment, **pipes) as process:
            try:
                assert process.stderr.readline() == "measuring\n"
                while "mlp-training" not in process.stdout.readline():
                    pass
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    return start


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(
    ("to", "number", "by"),
    [("killpg", "SIGINT", ""), ("kill", "SIGTERM", " by SIGTERM"), ("killpg", "SIGHUP", " by SIGHUP")],
)
def test_a_signal_leaves_what_is_known(measuring, tmp_path, number, by, to):
    """Printed and saved; and the process that measures, which a terminal tells too, ends without a word."""
    number = getattr(signal, number)
    with measuring("--save", tmp_path / "r.json") as process:
        getattr(os, to)(process.pid, number)
        out, err = process.communicate()
    how = f"weft bench --resume mlp --device cpu --threads 1 --save {shlex.quote(str(tmp_path / 'r.json'))}"
    assert (process.returncode, err) == (128 + number, f"weft bench: interrupted{by}; go on with: {how}\n")
    assert f"saved {tmp_path / 'r.json'}" in out
    assert [e["name"] for e in results.load(tmp_path / "r.json")["benches"]] == ["mlp-training"]


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_an_interrupt_while_options_are_read(tmp_path):
    """It was a traceback."""
    code = (
        "import signal, sys\nfrom weft import _signals\nfrom weft.__main__ import main\nfrom weft.bench import command\n"
        "parser = command._parser\n"
        "command._parser = lambda: signal.raise_signal(signal.SIGINT) or parser()\n"
        "sys.argv = ['weft', 'bench', '--list']\n_signals.take()\nsys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "weft bench: interrupted\n")


def test_a_worker_that_nobody_tells_anything(monkeypatch):
    """The command has ended before it could."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert worker.main() == 130
