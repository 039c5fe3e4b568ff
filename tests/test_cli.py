"""The command line, mostly within this process: exit status, what is printed, what is left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import weft
from weft.__main__ import main
from weft.kernels.toolchain import compiler
from weft.training import load_checkpoint, load_model
from weft.training.cli import info as cli_info
from weft.training.cli import parser as cli
from weft.training.step import Step

NOTHING = np.zeros(0, int)
FAST = ["--model", "mlp", "--hidden", "16", "--epochs", "2", "--batch-size", "200"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if "plots" not in request.fixturenames:  # they take longer than the training here
        for name in ("plot_history", "plot_confusion"):
            monkeypatch.setattr(f"weft.training.cli.train.{name}", lambda *_, **__: None)
    threads = weft.num_threads()
    yield
    weft.set_num_threads(threads)


@pytest.fixture
def plots():
    """For the tests that draw."""


@pytest.fixture
def small(tmp_path):
    """A data set of 60 samples with 4 features and 3 classes."""

    def make(name="small.npz", n=60, features=4, labels=None, **changes):
        rng = np.random.default_rng(0)
        y = np.arange(n) % 3 if labels is None else labels
        x = rng.standard_normal((n, features)).astype(np.float32) + 5 * np.eye(3, features)[np.arange(n) % 3]
        arrays = {"x_train": x, "y_train": y, "x_test": x[:30], "y_test": y[:30], **changes}
        np.savez(tmp_path / name, **{k: v for k, v in arrays.items() if v is not None})
        return name

    return make


def weights(path):
    return {k: v.tolist() for k, v in load_checkpoint(path, kind=("model", "checkpoint"))["model"].items()}


def fails(capsys, *argv, status=2):
    """Run a command that must fail with one line on standard error; returns that line."""
    try:
        got = main(argv)
    except SystemExit as error:  # argparse
        got = error.code
    err = capsys.readouterr().err
    assert got == status, err
    assert err.count("\n") == 1, err
    return err


class TestTop:
    def test_help(self, capsys):
        assert main([]) == main(["--help"]) == 0
        out = capsys.readouterr().out
        for command in ("train", "bench", "info"):
            assert f"weft {command} " in out

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"weft {weft.__version__}\n"

    def test_unknown(self, capsys):
        names = "new, data, train, generate, translate, forecast, export, bench, info"
        assert f"unknown command 'trian'; choose from {names}" in fails(capsys, "trian")

    @pytest.mark.parametrize("command", ["train", "translate", "forecast", "info", "bench"])
    def test_help_of_each(self, capsys, command):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert f"usage: weft {command}" in capsys.readouterr().out

    def test_as_a_module(self):
        done = subprocess.run([sys.executable, "-m", "weft", "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"weft {weft.__version__}\n"

    def test_import_weft_does_not_need_it(self):
        code = "import sys, weft; assert not [m for m in sys.modules if m.startswith('weft.training')]"
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_output_that_nobody_reads_to_the_end(self):
        command = [sys.executable, "-u", "-m", "weft", "bench", "--list"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as process:
            process.stdout.readline()
            process.stdout.close()
            complaint = process.stderr.read()
        assert complaint == ""
        assert process.returncode in (0, 1)  # 0: all was written before


@pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
@pytest.mark.parametrize("options", [["--precision", "float16"], ["--accumulate", "2", "--clip-grad-norm", "1"]])
def test_training_waits_for_the_device_between_epochs_alone(small, options):
    """Five batches an epoch, of which the last are replayed."""
    argv = ["--data", small(), "--device", "emulator", *FAST, "--batch-size", "11", *options, "--quiet", "--debug"]
    weft.set_sync_debug_mode("error")
    try:
        assert main(["train", *argv]) == 0
    finally:
        weft.set_sync_debug_mode("default")


class TestOutOfMemory:
    """What `report`, in which all commands run, makes of it."""

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (MemoryError("8 GiB"), "weft train: out of memory (8 GiB); try a smaller --batch-size\n"),
            (weft.OutOfMemoryError("cuda:0 has no 8 GiB left"), "weft train: cuda:0 has no 8 GiB left\n"),
        ],
    )
    def test_takes_one_line(self, capsys, error, line):
        def run():
            raise error

        assert cli.report("weft train", run) == 1
        assert capsys.readouterr().err == line
        with pytest.raises(MemoryError):
            cli.report("weft train", run, debug=True)


class TestInfo:
    def test_this_machine(self, capsys):
        assert main(["info"]) == 0
        out = capsys.readouterr().out
        for what in (weft.__version__, np.__version__, "cpu (default)", "threads", "BLAS", "memory", "CuPy"):
            assert what in out

    def test_every_gpus_memory(self, capsys, monkeypatch):
        monkeypatch.setattr(cli_info, "devices", lambda: ["cpu", "cuda:0", "cuda:1", "emulator"])
        monkeypatch.setattr(cli_info, "memory_summary", lambda name: f"that of {name}")
        assert main(["info"]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [line[-1] for line in lines if line[0] == "memory"] == ["cpu", "cuda:0", "cuda:1"]

    def test_model(self, capsys):
        assert main(["info", "--model", "mlp", "--input-shape", "1", "8", "8", "--classes", "3"]) == 0
        assert "parameters: 49,923\n" in capsys.readouterr().out  # 64·256 + 256 + 256·128 + 128 + 128·3 + 3

    def test_errors(self, capsys):
        assert "--input-shape 3: `input_shape` must be (C, H, W)" in fails(
            capsys, "info", "--model", "cnn", "--input-shape", "3"
        )
        assert "invalid choice: 'vgg'" in fails(capsys, "info", "--model", "vgg")
        assert "--arch and --json go with --kernels" in fails(capsys, "info", "--json")


@pytest.mark.skipif(sys.platform == "darwin", reason="there is neither CuPy nor NVRTC for macOS")
class TestKernels:
    @pytest.fixture
    def family(self, monkeypatch):
        """Of all the sources, one."""
        source, (expressions, options) = next(iter(compiler.families().items()))
        monkeypatch.setattr(compiler, "families", lambda: {source: (expressions, options)})
        return source, expressions

    def test_table(self, family, capsys):
        source, expressions = family
        assert main(["info", "--kernels", "--arch", "sm_90a", "sm_80"]) == 0
        heading, columns, *lines = capsys.readouterr().out.splitlines()
        assert heading.split() == ["sm_80", "sm_90a"]
        assert columns.split() == ["regs", "smem", "stack", "spill"] * 2
        assert lines[0] == source
        for line, expression in zip(lines[1:], expressions):
            assert re.fullmatch(rf"  {re.escape(expression)}(\s+\d+){{8}}", line)
        assert lines[len(expressions) + 1] == ""
        assert lines[len(expressions) + 2].startswith("regs: a thread's registers")

    def test_json(self, family, capsys):
        source, expressions = family
        assert main(["info", "--kernels", "--json", "--arch", "sm_90a"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [(row["source"], row["arch"], row["kernel"]) for row in found] == [
            (source, "sm_90a", expression) for expression in expressions
        ]
        assert all(0 < row["registers"] < 256 and row["spill_stores"] == 0 for row in found)

    def test_bar_on_a_terminal(self, family, capsys, monkeypatch):
        pytest.importorskip("rich")
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        assert main(["info", "--kernels", "--arch", "sm_90a"]) == 0
        shown = capsys.readouterr()
        assert "compiling" in shown.err
        assert f"{family[0]} sm_90a" in shown.err
        assert "compiling" not in shown.out

    def test_errors(self, family, capsys, monkeypatch):
        assert "does not compile for `sm_1`" in fails(capsys, "info", "--kernels", "--arch", "sm_1")
        monkeypatch.setattr(compiler, "families", lambda: {family[0]: (["nothing<float>"], ())})
        assert main(["info", "--kernels", "--arch", "sm_90a"]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"weft info: `{family[0]}` does not compile for sm_90a with NVRTC ")
        assert 'identifier "nothing" is undefined' in error


class TestTrain:
    def test_a_run_and_what_it_leaves(self, capsys, plots):
        pytest.importorskip("sklearn")
        assert main(["train", *FAST, "--epochs", "12", "--batch-size", "64", "--threads", "1"]) == 0
        out = capsys.readouterr().out
        folder = "runs/digits-mlp"
        assert sorted(os.listdir(folder)) == [
            "best.safetensors",
            "confusion.png",
            "curves.png",
            "last.safetensors",
            "log.csv",
            "model.json",
            "model.safetensors",
        ]
        assert re.search(r"digits: train 1293, dev 144, test 360, samples \(1, 8, 8\) uint8, 10 classes\n", out)
        assert out.count("epoch ") == 12
        accuracy = float(re.search(r"test accuracy +(\d+\.\d+) %  \(\d+ of 360 wrong\)", out)[1])
        assert f"{folder}/model.safetensors" in out

        saved, test = load_model(f"{folder}/model.safetensors"), weft.data.load("digits").test
        right = (saved.predict_classes(test.x) == test.y).mean()
        assert 100 * right == pytest.approx(accuracy, abs=0.01)
        assert right > 0.8
        readable = json.loads(Path(f"{folder}/model.json").read_text())
        assert readable["info"]["test_accuracy"] == pytest.approx(right)
        assert readable["class_names"] == [str(i) for i in range(10)]
        assert load_model(f"{folder}/best.safetensors").predict(test.x).shape == (360, 10)

    def test_same_seed_same_weights_and_a_free_folder(self, small):
        data = small()
        for _ in range(2):
            assert main(["train", "--data", data, *FAST, "--quiet"]) == 0
        assert sorted(os.listdir("runs")) == ["small-mlp", "small-mlp-2"]
        one, two = (weights(f"runs/{name}/model.safetensors") for name in ("small-mlp", "small-mlp-2"))
        assert one == two
        assert main(["train", "--data", data, *FAST, "--quiet", "--seed", "1", "--out", "other"]) == 0
        assert weights("other/model.safetensors") != one

    def test_quiet(self, small, capsys):
        assert main(["train", "--data", small(), *FAST, "--quiet"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("test accuracy")
        assert "epoch" not in out

    @pytest.mark.parametrize("schedule", ["none", "onecycle", "cosine", "step", "exponential", "plateau"])
    def test_schedules(self, small, schedule, capsys):
        assert main(["train", "--data", small(), *FAST, "--schedule", schedule, "--out", "r"]) == 0
        assert main(["train", "--out", "r", "--resume"]) == 0
        assert "at epoch 2, batch 0, step 2" in capsys.readouterr().out

    @pytest.mark.parametrize("optimizer", ["adam", "adamw", "lion", "nadam", "radam", "rmsprop", "sgd"])
    def test_optimizers(self, small, optimizer, capsys):
        options = ["--epochs", "4", "--batch-size", "5", "--label-smoothing", "0.05", "--clip-grad-norm", "1"]
        assert main(["train", "--data", small(n=400), *FAST, *options, "--optimizer", optimizer, "--out", "r"]) == 0
        assert float(re.search(r"test accuracy +(\S+) %", capsys.readouterr().out)[1]) >= 90

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_precision(self, small, precision, capsys):
        options = ["--data", small(n=400), *FAST, "--epochs", "4", "--batch-size", "20", "--precision", precision]
        assert main(["train", *options, "--out", "r"]) == 0
        assert float(re.search(r"test accuracy +(\S+) %", capsys.readouterr().out)[1]) >= 90
        assert bool(load_checkpoint("r/last.safetensors")["scaler"]) == (precision == "float16")
        assert main(["train", *options, "--out", "again", "--quiet"]) == 0
        assert weights("r/model.safetensors") == weights("again/model.safetensors")
        line = fails(capsys, "train", "--resume", "r", "--precision", "float32")
        assert f"--precision cannot change on resuming: the run was begun with {precision}" in line

    @pytest.mark.skipif("emulator" not in weft.devices(), reason="the emulator needs a C++ compiler")
    def test_emulator(self, small, capsys, monkeypatch):
        """Steps are captured there, unlike on a CPU; 54 samples in batches of 10, of which two are to warm up."""
        step, note = Step.train_step, Mock()  # of an installed package, which a captured step does not look into
        monkeypatch.setattr(Step, "train_step", lambda self, *batch: note() and step(self, *batch))
        options = ["--data", small(), *FAST, "--epochs", "3", "--batch-size", "10", "--quiet"]
        runs = {}
        for device, steps in (("cpu", 18), ("emulator", 6)):
            note.reset_mock()
            assert main(["train", *options, "--device", device, "--out", device]) == 0
            assert note.call_count == steps
            runs[device] = load_checkpoint(f"{device}/model.safetensors", kind="model")["model"]
        for name, weight in runs["cpu"].items():
            np.testing.assert_allclose(runs["emulator"][name], weight, rtol=1e-3, atol=1e-4)

    @pytest.mark.skipif("cuda:0" in weft.devices(), reason="there is a GPU")
    def test_without_a_gpu(self, capsys):
        assert "weft train: `cuda` needs " in fails(capsys, "train", "--device", "cuda")

    def test_patience(self, small, capsys):
        options = ["--epochs", "300", "--patience", "2", "--lr", "0.1", "--schedule", "none"]
        assert main(["train", "--data", small(), *FAST, *options]) == 0
        assert "stopped early: val_loss has not improved for 2 epochs" in capsys.readouterr().out

    def test_own_validation_part(self, small, capsys):
        x, y = np.zeros((9, 4), np.float32), np.arange(9) % 3
        assert main(["train", "--data", small(x_dev=x, y_dev=y), *FAST]) == 0
        assert "train 60, dev 9, test 30" in capsys.readouterr().out

    def test_without_matplotlib(self, small, capsys, monkeypatch, plots):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert main(["train", "--data", small(), *FAST, "--out", "r"]) == 0
        assert 'pip install "weft[train]"' in capsys.readouterr().out
        assert "model.safetensors" in os.listdir("r")


class TestResume:
    def test_stopped_by_ctrl_c(self, small, heard):
        """In a process of its own, as a user would; the bits are those of the run that was not stopped.

        It says what it has saved after each update. Nobody reads that, and the pipe holds a page: so it waits there.
        """
        part = {"x_dev": np.zeros((9, 4), np.float32), "y_dev": np.arange(9) % 3}  # to split, scikit-learn is imported
        options = ["--data", small(n=900, **part), *FAST, "--epochs", "3", "--batch-size", "10", "--threads", "1"]
        assert main(["train", *options, "--out", "whole", "--quiet"]) == 0
        weft.set_num_threads(2)  # resuming goes back to one
        command = [sys.executable, "-u", "-m", "weft", "train", *options, "--checkpoint-every", "1", "--out", "broken"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "pipesize": 4096}
        with subprocess.Popen(command, text=True, **pipes) as process:
            while "epoch 1/3" not in process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            err = process.communicate()[1]
        assert process.returncode == 130
        said = re.fullmatch(r"weft train: interrupted; saved at epoch \d+, batch \d+; go on with: (weft .*)\n", err)
        assert said, err
        assert main([*said[1].split()[1:], "--quiet"]) == 0
        assert weights("broken/model.safetensors") == weights("whole/model.safetensors")
        assert weft.num_threads() == 1

    def test_more_epochs(self, small):
        data = small()
        options = ["--data", data, *FAST, "--schedule", "none", "--quiet"]
        assert main(["train", *options, "--epochs", "4", "--out", "whole"]) == 0
        assert main(["train", *options, "--out", "r"]) == 0
        assert main(["train", "--resume", "r/last.safetensors", "--epochs", "4", "--quiet"]) == 0
        assert weights("r/model.safetensors") == weights("whole/model.safetensors")

    def test_what_cannot_change(self, small, capsys):
        data = small()
        assert main(["train", "--data", data, *FAST, "--out", "r", "--quiet"]) == 0
        line = fails(capsys, "train", "--resume", "r", "--lr", "0.5")
        assert "--lr cannot change on resuming: the run was begun with None" in line
        assert "'onecycle' is laid out for that number" in fails(capsys, "train", "--resume", "r", "--epochs", "9")
        other = small("other.npz", labels=(np.arange(60) + 1) % 3)
        assert "data in other.npz are not those the run was begun with" in fails(
            capsys, "train", "--resume", "r", "--data", other
        )

    def test_checkpoints(self, small, capsys, tmp_path):
        assert "--resume needs a checkpoint or a folder" in fails(capsys, "train", "--resume")
        (tmp_path / "empty").mkdir()
        assert "expected a run with last.safetensors, found none" in fails(capsys, "train", "--resume", "empty")
        assert "found nothing of that name" in fails(capsys, "train", "--resume", "nope.safetensors")
        assert main(["train", "--data", small(), *FAST, "--out", "r", "--quiet"]) == 0
        capsys.readouterr()
        content = (tmp_path / "r" / "last.safetensors").read_bytes()
        (tmp_path / "cut").write_bytes(content[:-10])
        assert f"found the first {len(content) - 10} of {len(content)} bytes" in fails(
            capsys, "train", "--resume", "cut"
        )
        (tmp_path / "flip").write_bytes(content[:-10] + bytes([content[-10] ^ 4]) + content[-9:])
        assert "bytes that do not match its checksum" in fails(capsys, "train", "--resume", "flip")
        (tmp_path / "text").write_text("hello")
        assert "expected a safetensors file" in fails(capsys, "train", "--resume", "text")
        assert "expected a checkpoint, found a model" in fails(capsys, "train", "--resume", "r/model.safetensors")
        weft.training.save_checkpoint("library", {"epoch": 1})
        assert "expected a checkpoint of `weft train`" in fails(capsys, "train", "--resume", "library")


class TestOptions:
    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (["--modle", "cnn"], "unrecognized arguments: --modle cnn; see weft train --help"),
            (["--mod", "cnn"], "unrecognized arguments: --mod cnn"),
            (["--model", "vgg"], "invalid choice: 'vgg'"),
            (["--epochs", "0"], "argument --epochs: must be an integer at least 1, got '0'"),
            (["--epochs", "many"], "must be an integer at least 1, got 'many'"),
            (["--lr", "0"], "argument --lr: must be a number above 0, got '0'"),
            (["--lr", "nan"], "must be a number above 0, got 'nan'"),
            (["--label-smoothing", "1"], "must be a number at least 0 and below 1, got '1'"),
            (["--validation", "1.5"], "must be a number above 0 and below 1, got '1.5'"),
            (["--batch-size"], "expected one argument"),
            (["--optimizer", "adagrad2"], "invalid choice: 'adagrad2'"),
            (["--precision", "float64"], "invalid choice: 'float64'"),
            (["--hidden", "9"], "--hidden is for --model mlp, got cnn"),
            (["--seed", "-1"], "must be an integer at least 0"),
            (
                ["--data", "nowhere"],
                "`nowhere`: expected 'digits', a folder, an .npz file or a table (.csv, .parquet), found nothing of that name",
            ),
            (["--device", "tpu"], "`device` must be one of"),
        ],
    )
    def test_one_line(self, capsys, argv, message):
        assert message in fails(capsys, "train", *argv)
        assert not os.path.exists("runs")

    def test_debug_shows_the_traceback(self):
        with pytest.raises(weft.data.DataError):
            main(["train", "--data", "nowhere", "--debug"])


class TestData:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y_test": np.arange(30) % 4}, "y_test`: expected labels 0 … 2, found 3 at position 3 (7 out of range)"),
            ({"y_train": np.arange(60) % 3 - 1}, "expected labels 0 … 1, found -1 at position 0"),
            (
                {"y_train": np.zeros(60, np.float32), "y_test": np.zeros(30, np.float32)},
                "expected integer class labels",
            ),
            ({"y_train": np.zeros(59, int)}, "`x_train` and `y_train` of the same length"),
            ({"x_test": np.zeros((30, 5), np.float32)}, "must have samples of shape (4,)"),
            ({"x_train": None}, "expected an array `x_train`"),
            ({"x_train": np.full((60, 4), np.nan, np.float32)}, "must be finite"),
            ({"x_train": np.full((60, 4), "a"), "x_test": np.full((30, 4), "a")}, "must be real numbers"),
            ({"x_train": np.zeros((2, 4)), "y_train": np.arange(2), "y_test": np.zeros(30, int)}, "0.1 of 2 samples"),
        ],
    )
    def test_one_line(self, small, capsys, changes, message):
        assert message in fails(capsys, "train", "--data", small(**changes), *FAST)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"x_test": np.zeros((0, 4)), "y_test": NOTHING}, "--data small.npz: `test` must hold at least one sample"),
            ({"x_dev": np.zeros((0, 4)), "y_dev": np.zeros(0, int)}, "`dev` must hold at least one sample, got none"),
            ({"x_train": np.zeros((0, 4)), "y_train": NOTHING, "y_test": np.zeros(30, int)}, "`train` must hold at least"),
            ({"y_train": np.zeros(60, int), "y_test": np.zeros(30, int)}, "`y` of train must hold at least two classes, got 1 (0)"),
            ({"y_train": np.full(60, 7), "y_test": np.full(30, 7)}, "`y` of train must hold at least two classes, got 1 (7)"),
            ({"x_test": np.full((30, 4), np.nan, np.float32)}, "--data small.npz: `x of test` must be finite, got nan in sample 0"),
            ({"x_dev": np.full((3, 4), -np.inf), "y_dev": np.arange(3)}, "`x of dev` must be finite, got -inf in sample 0"),
            ({"y_train": np.arange(120).reshape(60, 2) % 3}, "labels (N,), found shape (60, 2); one label per sample is wanted"),
            ({"y_train": np.eye(3, dtype=int)[np.arange(60) % 3]}, "found one-hot rows of shape (60, 3); give the index of the 1"),
            ({"y_train": np.arange(60) % 3.0}, "found dtype float64; convert them with .astype(int)"),
            ({"y_train": np.array(["a", "b", "c"] * 20)}, "labels of the kind that y_train has, found dtype int64"),
            ({"y_test": np.arange(60).reshape(30, 2) % 3}, "expected integer class labels"),
            ({"y_train": np.arange(60) * 10**7}, "found 60 distinct labels of 60 samples, up to 590000000; classes: load_npz("),
            ({"y_train": np.maximum(np.arange(60) - 57, 0), "y_test": np.zeros(30, int)}, "None (weft train --no-stratify)"),
        ],
    )  # fmt: skip
    def test_said_at_the_start(self, small, capsys, changes, message):
        assert message in fails(capsys, "train", "--data", small(**changes), *FAST)
        assert not os.path.exists("runs")

    def test_a_class_with_one_sample(self, small, capsys):
        y = np.arange(60) % 2 + 2 * (np.arange(60) == 1)
        assert main(["train", "--data", small(labels=y), "--no-stratify", *FAST]) == 0

    def test_labels_with_gaps_are_kept_with_the_model(self, small, tmp_path):
        assert main(["train", "--data", small(labels=np.arange(60) % 3 * 7), *FAST, "--out", "gaps"]) == 0
        model = load_model("gaps/model.safetensors")
        assert model.class_names == ("0", "7", "14")
        assert set(model.predict_names(np.load("small.npz")["x_test"])) <= {"0", "7", "14"}

    def test_wrong_model_for_the_data(self, small, capsys):
        line = fails(capsys, "train", "--data", small(), "--model", "cnn")
        assert "--model cnn on samples of shape (4,): `input_shape` must be (C, H, W)" in line

    def test_truncated(self, small, capsys, tmp_path):
        (tmp_path / "cut.npz").write_bytes((tmp_path / small()).read_bytes()[:-100])
        assert "`cut.npz`: expected an .npz file, found a damaged one" in fails(capsys, "train", "--data", "cut.npz")


class TestFailures:
    def test_loss_not_finite(self, small, capsys):
        argv = [
            "train",
            "--data",
            small(),
            *FAST,
            "--optimizer",
            "sgd",
            "--lr",
            "1e30",
            "--quiet",
            "--schedule",
            "none",
        ]
        with np.errstate(all="ignore"):
            line = fails(capsys, *argv, "--epochs", "9", status=1)
        assert re.match(r"weft train: the loss is (nan|inf) at epoch \d, batch 1: ", line)

    def test_full_disk(self, small, capsys, monkeypatch, tmp_path):
        argv = ["train", "--data", small(), *FAST, "--out", "r", "--quiet"]
        assert main(argv) == 0
        capsys.readouterr()
        before = {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir()}

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        line = fails(capsys, *argv, "--overwrite", "--seed", "5", status=1)
        assert "could not be written: No space left on device; the file that was there before is intact" in line
        assert {p.name: p.read_bytes() for p in (tmp_path / "r").iterdir()} == before

    def test_folder_that_cannot_be(self, small, capsys, tmp_path):
        (tmp_path / "file").write_text("")
        assert "could not be written" in fails(capsys, "train", "--data", small(), *FAST, "--out", "file", "--quiet")


@pytest.mark.slow
class TestAccuracy:
    """What the README promises of commands without further options, on two cores."""

    def accuracy(self, capsys, *argv):
        assert main(["train", *argv]) == 0
        return float(re.search(r"test accuracy +(\S+) %", capsys.readouterr().out)[1])

    def test_default(self, capsys):
        pytest.importorskip("sklearn")
        assert self.accuracy(capsys) >= 98

    @pytest.mark.parametrize(
        ("data", "model", "least"), [("mnist", "mlp", 98), ("mnist", "cnn", 99), ("fashion-mnist", "cnn", 91)]
    )
    def test_real_data(self, capsys, data_dir, data, model, least):
        assert self.accuracy(capsys, "--data", str(data_dir / data), "--model", model) >= least
