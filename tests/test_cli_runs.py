"""The folder of a run: whose it is, what becomes of it on full disks, and what a signal says."""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from weft.__main__ import main
from weft.data.locking import open_locked
from weft.training import Callback, Trainer, load_checkpoint, load_model
from weft.training.cli.folder import FILES, LOCK, held
from weft.training.output import Output
from weft.training.usage import UsageError

OPTIONS = [
    "train",
    "--data",
    "small.npz",
    "--model",
    "mlp",
    "--hidden",
    "16",
    "--epochs",
    "2",
    "--threads",
    "1",
    "--quiet",
]


@pytest.fixture(autouse=True)
def _in_a_folder_with_data(tmp_path, monkeypatch, heard):
    monkeypatch.chdir(tmp_path)
    for name in ("plot_history", "plot_confusion"):
        monkeypatch.setattr(f"weft.training.cli.train.{name}", lambda *_, **__: None)
    monkeypatch.setattr(Output, "has_complained", False)
    save_data()


def save_data():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)).astype(np.float32), np.arange(60) % 3
    np.savez("small.npz", x_train=x, y_train=y, x_dev=x, y_dev=y, x_test=x[:30], y_test=y[:30])


def weights(path):
    return {k: v.tolist() for k, v in load_checkpoint(path, kind=("model", "checkpoint"))["model"].items()}


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def process(*options, **pipes):
    return subprocess.Popen(
        [sys.executable, "-m", "weft", *OPTIONS, *options], text=True, stderr=subprocess.PIPE, **pipes
    )


class TestOneRunAtATime:
    def test_three_at_once(self):
        """One trains, and the others name it."""
        runs = [process("--epochs", "20", "--out", "r", stdout=subprocess.DEVNULL) for _ in range(3)]
        errors = [run.communicate()[1] for run in runs]
        winner = [run.returncode for run in runs].index(0)
        assert sorted(run.returncode for run in runs) == [0, 2, 2]
        assert errors.pop(winner) == ""
        for error in errors:
            by = f"process {runs[winner].pid} on "
            assert error.count("\n") == 1
            assert error.startswith("weft train: --out r: ")
            assert by in error or "expected no run in it" in error  # it came when the other had ended
        assert main([*OPTIONS, "--epochs", "20", "--out", "alone"]) == 0
        assert weights("r/model.safetensors") == weights("alone/model.safetensors")
        assert set(contents("r")) - {"curves.png", "confusion.png"} == set(contents("alone"))  # nothing temporary

    def test_while_another_process_has_it(self, capsys):
        with held(Path("r")):
            assert main([*OPTIONS, "--out", "r"]) == 2
            assert f"--out r: process {os.getpid()} on " in capsys.readouterr().err
            assert main([*OPTIONS, "--out", "r", "--overwrite"]) == 2
        assert not Path("r").exists()  # it was made for nothing
        assert main([*OPTIONS, "--out", "r"]) == 0
        with held(Path("r"), is_new=False):
            assert main(["train", "--resume", "r"]) == 2
        assert "is training into it" in capsys.readouterr().err

    def test_lock_of_a_dead_process(self):
        Path("r").mkdir()
        Path("r", LOCK).write_text("process 1 on this machine")
        assert main([*OPTIONS, "--out", "r"]) == 0
        assert LOCK not in contents("r")

    @pytest.mark.parametrize("content", [b"", b"\x00\xff" * 999, b"a\nb"])
    def test_lock_that_nobody_has_signed(self, capsys, content):
        Path("r").mkdir()
        with open_locked(Path("r", LOCK)) as file:
            file.write(content)
            file.flush()
            assert main([*OPTIONS, "--out", "r"]) == 2
        assert "--out r: another process is training into it" in capsys.readouterr().err

    def test_default_folders(self):
        """The first one is held, the second has files of somebody, the third a lock of the dead."""
        Path("runs/small-mlp-2").mkdir(parents=True)
        Path("runs/small-mlp-2/notes.txt").touch()
        Path("runs/small-mlp-3").mkdir()
        Path("runs/small-mlp-3", LOCK).touch()
        with held(Path("runs/small-mlp")):
            assert main(OPTIONS) == 0
        assert "model.safetensors" in contents("runs/small-mlp-3")
        assert sorted(os.listdir("runs")) == ["small-mlp-2", "small-mlp-3"]

    def test_as_an_ordinary_user(self, tmp_path):
        """Root may write anywhere, so the process becomes nobody."""
        if os.getuid() != 0:
            pytest.skip("only root may become another user")
        Path("closed").mkdir(mode=0o555)
        os.chmod(tmp_path, 0o755)
        if (child := os.fork()) == 0:
            status = 1
            try:
                os.setuid(65534)
                with pytest.raises(UsageError, match=r"could not be written: Permission denied"), held(Path("closed")):
                    pass
                with (
                    pytest.raises(UsageError, match=r"could not be written: Permission denied"),
                    held(Path("closed/x")),
                ):
                    pass
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


class TestASecondRun:
    def test_is_refused(self, capsys):
        assert main([*OPTIONS, "--out", "r"]) == 0
        before = contents("r")
        assert main([*OPTIONS, "--seed", "1", "--out", "r"]) == 2
        assert "expected no run in it" in capsys.readouterr().err
        assert contents("r") == before

    def test_overwrites(self):
        assert main([*OPTIONS, "--out", "r"]) == 0
        assert main([*OPTIONS, "--seed", "1", "--out", "alone"]) == 0
        assert main([*OPTIONS, "--seed", "1", "--out", "r", "--overwrite"]) == 0
        assert weights("r/model.safetensors") == weights("alone/model.safetensors")

    def test_is_not_mixed_with_the_old_one(self, monkeypatch):
        """Until it has saved something the old run is whole, from then on nothing of it is there."""
        assert main([*OPTIONS, "--out", "r"]) == 0
        Path("r/notes.txt").write_text("mine")
        before = contents("r")

        class Look(Callback):
            order, seen = 3, []

            def on_batch_end(self, trainer):
                self.seen.append(contents("r"))

        fit, look = Trainer.fit, Look()
        monkeypatch.setattr(Trainer, "fit", lambda self, *args: self.callbacks.append(look) or fit(self, *args))
        assert main([*OPTIONS, "--seed", "1", "--out", "r", "--overwrite"]) == 0
        first, *_, last = look.seen
        assert {**first, LOCK: b""} == {**before, LOCK: b""}
        assert set(last) == {"best.safetensors", "last.safetensors", "log.csv", "notes.txt", LOCK}
        assert not [name for name in FILES if name in last and last[name] == before[name]]

    def test_resumes_from_the_best_where_that_is_all(self):
        """It was killed between the two."""
        assert main([*OPTIONS, "--out", "whole", "--epochs", "1", "--schedule", "none"]) == 0
        Path("whole/last.safetensors").unlink()
        assert main(["train", "--resume", "whole", "--epochs", "2", "--quiet"]) == 0
        assert main([*OPTIONS, "--schedule", "none", "--out", "alone"]) == 0
        assert weights("whole/model.safetensors") == weights("alone/model.safetensors")


class TestSignals:
    @pytest.mark.parametrize(
        ("number", "name"), [(signal.SIGINT, ""), (signal.SIGTERM, " by SIGTERM"), (signal.SIGHUP, " by SIGHUP")]
    )
    def test_within_an_epoch(self, monkeypatch, capsys, number, name):
        class Send(Callback):
            def on_batch_end(self, trainer):
                if trainer.step == 3:
                    signal.raise_signal(number)

        fit = Trainer.fit
        monkeypatch.setattr(Trainer, "fit", lambda self, *args: self.callbacks.insert(0, Send()) or fit(self, *args))
        assert main([*OPTIONS, "--out", "r"]) == 128 + number
        line = f"weft train: interrupted{name}; saved at epoch 2, batch 1; go on with: weft train --resume r/last.safetensors\n"
        assert capsys.readouterr().err == line
        monkeypatch.setattr(Trainer, "fit", fit)
        assert main(["train", "--resume", "r/last.safetensors", "--quiet"]) == 0
        assert main([*OPTIONS, "--out", "whole"]) == 0
        assert weights("r/model.safetensors") == weights("whole/model.safetensors")

    @pytest.mark.slow
    def test_ignored_ones(self):
        """nohup."""
        command = f"exec {sys.executable} -m weft {' '.join(OPTIONS)} --epochs 60 --out r"
        hidden = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), "stdout": subprocess.DEVNULL}
        with subprocess.Popen(command, shell=True, stderr=subprocess.PIPE, text=True, **hidden) as run:
            while not Path("r/last.safetensors").exists():
                run.poll()
            run.send_signal(signal.SIGHUP)
            assert run.communicate()[1] == ""
        assert run.returncode == 0


class TestLostOutput:
    def test_that_nobody_reads_to_the_end(self):
        """`weft train | head -1`."""
        command = [sys.executable, "-m", "weft", *OPTIONS[:-1], "--epochs", "30", "--out", "r"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            assert run.stdout.readline()
            run.stdout.close()
            error = run.stderr.read()
        assert run.returncode == 0
        assert error in ("", "weft: output is lost from here on (Broken pipe); training goes on, files are written\n")
        assert Path("r/log.csv").read_text().count("\n") == 31
        load_model("r/model.safetensors")

    def test_without_standard_streams(self):
        """No file of the run may take the place of standard output."""
        command = f"{shlex.quote(sys.executable)} -m weft {' '.join(OPTIONS[:-1])} --out r <&- >&- 2>&-"
        assert subprocess.run(command, shell=True, check=False).returncode == 0
        load_model("r/model.safetensors")
        assert main([*OPTIONS, "--out", "whole"]) == 0
        assert weights("r/model.safetensors") == weights("whole/model.safetensors")

    @pytest.mark.parametrize("options", ["info --model mlp", "train --list"])
    def test_in_an_encoding_that_lacks_characters(self, options):
        """All that it has, whoever says that it is ASCII."""
        command = [sys.executable, "-m", "weft", *options.split()]
        ascii_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        outputs = []
        for choice in ({"PYTHONIOENCODING": "utf-8"}, {"PYTHONIOENCODING": "ascii"}, ascii_locale):
            done = subprocess.run(command, capture_output=True, env=os.environ | choice, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
            outputs.append(done.stdout)
        readable, *others = outputs
        assert others == [readable.decode().encode("ascii", "replace")] * 2
        assert readable not in others

    @pytest.mark.parametrize("options", ["--version", "info --model mlp", "--help", "bench --list"])
    def test_a_command_that_only_prints_fails_without_standard_output(self, options):
        command = f"{shlex.quote(sys.executable)} -m weft {options} >&-"
        done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
    def test_on_a_full_disk(self):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "weft", *OPTIONS[:-1], "--out", "r"]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0
        assert done.stderr.startswith("weft: output is lost from here on (No space left on device)")
        assert done.stderr.count("\n") == 1

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
    def test_a_command_that_only_prints_fails_then(self):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "weft", "info", "--model", "mlp"]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr in ("", "weft info: output could not be written: No space left on device\n")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with room for all, and one with another seed that it is to replace."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib", None)
        patch.chdir(folder)
        save_data()
        for seed in (0, 1):
            assert main([*OPTIONS, "--seed", str(seed), "--out", str(seed)]) == 0
    return folder


SIZES = [int(size) for size in np.geomspace(16, 40_000, 30)]


@pytest.mark.parametrize(
    "size", [pytest.param(size, marks=[pytest.mark.slow] if i % 5 else []) for i, size in enumerate(SIZES)]
)
def test_full_disk(size, capsys, whole):
    """No file may be longer: one line, the old run or a whole part of the new one, and it goes on when there is room."""
    shutil.copytree(whole / "1", "old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        statuses = main([*OPTIONS, "--out", "new"]), main([*OPTIONS, "--out", "old", "--overwrite"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "could not be written: File too large" not in line] == []
    assert len(lines) == sum(status != 0 for status in statuses)
    for folder, status in zip((Path("new"), Path("old")), statuses):
        names = set(contents(folder)) if folder.exists() else set()
        assert names <= set(FILES)  # nothing temporary is left
        for name in names & {"last.safetensors", "best.safetensors", "model.safetensors"}:
            load_model(folder / name)
        assert ("model.safetensors" in names) >= (status == 0)
        is_begun = bool({"last.safetensors", "best.safetensors"} & names)
        assert is_begun or folder.name == "new"
        is_new = folder.name == "new" or contents(folder) != contents(whole / "1")  # and not a bit of both
        assert main(["train", "--resume", str(folder), "--quiet"] if is_begun else [*OPTIONS, "--out", "new"]) == 0
        assert weights(folder / "model.safetensors") == weights(whole / ("0" if is_new else "1") / "model.safetensors")


class TestLimitsAndLoggers:
    def test_when_the_time_is_over_it_says_how_to_go_on(self, capsys):
        assert main([*OPTIONS, "--out", "whole"]) == 0
        capsys.readouterr()
        assert main([*OPTIONS, "--out", "cut", "--max-time", "00:00:00"]) == 0
        said = capsys.readouterr().out
        assert said.startswith("--max-time is over: saved at epoch 1, batch 1; go on with: weft train --resume cut")
        assert not Path("cut/model.safetensors").exists()
        assert main(["train", "--resume", "cut", "--quiet"]) == 0
        assert weights("cut/model.safetensors") == weights("whole/model.safetensors")

    def test_a_logger_writes_into_the_folder(self):
        pytest.importorskip("tensorboardX")
        assert main([*OPTIONS, "--out", "run", "--logger", "tensorboard"]) == 0
        assert list(Path("run").glob("events.out.tfevents*"))

    def test_wrong_use(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "wandb", None)
        for options, said in (
            (["--logger", "wandb"], "`--logger wandb` needs wandb"),
            (
                ["--max-time", "soon"],
                "--max-time: `max_time` must be seconds, a timedelta or text as '01:30:00', got 'soon'",
            ),
        ):
            assert main([*OPTIONS, "--out", "none", *options]) == 2
            assert said in capsys.readouterr().err
