"""`weft train --task forecast` and `weft forecast`, within this process: what is printed, left behind, and refused."""

import json
import os
import shutil

import numpy as np
import pytest

import weft
from weft.__main__ import main
from weft.training import Checkpoint, load_checkpoint, load_model, save_checkpoint

FAST = ["--horizon", "4", "--context", "8", "--hidden-size", "4", "--epochs", "4", "--season", "4"]


def months(count):
    return [f"{1990 + i // 12}-{i % 12 + 1:02}" for i in range(count)]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("plot_history", "plot_forecast"):  # longer than the training; `tests/training` has their pictures
        monkeypatch.setattr(f"weft.training.cli.train_forecast.{name}", lambda *_, **__: None)
    noise = np.random.default_rng(0).normal(size=100)
    write("wave", (10 + np.arange(100) % 4 + 0.1 * noise).round(3))
    threads = weft.num_threads()
    yield
    weft.set_num_threads(threads)


def write(name, values):
    lines = [f"{month},{value}\n" for month, value in zip(months(len(values)), values)]
    with open(f"{name}.csv", "w") as file:
        file.writelines(["month,level\n", *lines])


def train(*more, data="wave.csv", out="run"):
    return main(["train", "--task", "forecast", data, "--out", out, "--quiet", *FAST, *more])


def fails(capsys, *argv):
    """Run a command that must end with status 2 and one line on standard error; returns that line."""
    capsys.readouterr()
    try:
        got = main(argv)
    except SystemExit as error:  # argparse
        got = error.code
    err = capsys.readouterr().err
    assert got == 2, err
    assert err.count("\n") == 1, err
    return err


def test_train_and_forecast(capsys, tmp_path):
    assert main(["train", "--task", "forecast", "--data", "wave.csv", *FAST]) == 0
    printed = capsys.readouterr().out
    assert "level: 100 values from 1990-01 to 1998-04; validation from 1995-11, test from 1997-02" in printed
    assert "12 times from 1997-02, 4 steps each" in printed
    rows = {line[:17].strip(): line[17:].split() for line in printed.splitlines()}
    assert rows["test"] == ["MAE", "RMSE", "MASE"]
    assert "weft forecast runs/wave-gru" in printed
    folder = tmp_path / "runs" / "wave-gru"
    left = {p.name for p in folder.iterdir()}
    assert {"model.safetensors", "model.json", "log.csv", "last.safetensors", "best.safetensors"} <= left
    saved = json.loads((folder / "model.json").read_text())["info"]
    assert f"{saved['test']['forecast']['MAE']:.4g}" == rows["forecast"][0]

    assert main(["forecast", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "time,level"
    assert [line.split(",")[0] for line in lines[1:]] == ["1998-05", "1998-06", "1998-07", "1998-08"]
    values = [float(line.split(",")[1]) for line in lines[1:]]
    assert values == pytest.approx([10, 11, 12, 13], abs=0.5)  # 100 values are 25 seasons
    assert main(["forecast", str(folder / "best.safetensors"), "--steps", "9"]) == 0
    longer = capsys.readouterr().out.splitlines()
    assert len(longer) == 10
    assert longer[-1].startswith("1999-01,")


def test_errors_of_the_baselines(capsys):
    """Against NumPy: every forecast that begins and ends in the test part, scaled by the training part's error."""
    assert train() == 0
    values = np.loadtxt("wave.csv", delimiter=",", skiprows=1, usecols=1)
    wrong = {"naive": [], "seasonal naive": []}
    for origin in range(85, 97):
        for h in range(4):
            wrong["naive"].append(values[origin + h] - values[origin - 1])
            wrong["seasonal naive"].append(values[origin + h] - values[origin + h - 4])
    scale = np.abs(values[4:70] - values[:66]).mean()
    table = load_model("run/model.safetensors").info["test"]
    for name, e in wrong.items():
        mae = np.abs(e).mean()
        expected = {"MAE": mae, "RMSE": np.sqrt(np.square(e).mean()), "MASE": mae / scale}
        assert table[name] == pytest.approx(expected)


def test_another_file_goes_on_from_its_own_end(capsys):
    assert train() == 0
    write("longer", 100 + np.arange(102) % 4)
    capsys.readouterr()
    assert main(["forecast", "run", "longer.csv", "--steps", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["time", "1998-07", "1998-08"]
    assert [float(line.split(",")[1]) for line in lines[1:]] == pytest.approx([102, 103], abs=1)


class Copied(Checkpoint):
    """Copies what a run has saved after its second epoch: there it is as if it had been killed."""

    def on_epoch_end(self, trainer):
        super().on_epoch_end(trainer)
        if trainer.epoch == 2 and not os.path.exists("half"):
            os.mkdir("half")
            shutil.copy(self.last, "half/last.safetensors")


@pytest.mark.parametrize("model", ["gru", "linear"])
def test_resumes_to_the_same_bits(monkeypatch, capsys, model):
    """With what early stopping knows, which puts the best weights back at the end."""
    monkeypatch.setattr("weft.training.cli.run.Checkpoint", Copied)
    assert train("--model", model, "--dropout", "0.2", "--patience", "2", "--epochs", "20") == 0
    capsys.readouterr()
    assert main(["train", "--resume", "half"]) == 0
    assert "resumed from half/last.safetensors at epoch 2" in capsys.readouterr().out
    for name in ("last", "model"):
        whole, again = (
            load_checkpoint(f"{f}/{name}.safetensors", kind=("model", "checkpoint")) for f in ("run", "half")
        )
        assert all(np.array_equal(whole["model"][key], again["model"][key]) for key in whole["model"])
    assert load_model("run/model.safetensors").info["test"] == load_model("half/model.safetensors").info["test"]


def test_a_picture_of_the_forecast(tmp_path):
    pytest.importorskip("matplotlib")
    assert train() == 0
    assert main(["forecast", "run", "--plot", "next.png"]) == 0
    assert (tmp_path / "next.png").read_bytes()[:4] == b"\x89PNG"


def test_help(capsys):
    for argv, words in (
        (["train", "--help"], ["forecast"]),
        (["train", "--task", "forecast", "--help"], ["--season", "--horizon", "weft forecast", "MASE"]),
        (["forecast", "--help"], ["--steps", "--plot", "CSV"]),
        (["--help"], ["weft forecast"]),
    ):
        with pytest.raises(SystemExit) if argv != ["--help"] else pytest.MonkeyPatch.context():
            main(argv)
        printed = capsys.readouterr().out
        assert all(word in printed for word in words)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("", "--task forecast needs --data with a CSV file, or --resume with a run"),
        ("nowhere.csv", "`nowhere.csv`: expected a file, found nothing of that name"),
        ("wave.csv --column price", "expected a column 'price', found month, level; name one of these with --column"),
        ("wave.csv --horizon 16", "expected at least 16 values for validation (--horizon 16), found 15 of 100"),
        ("wave.csv --context 67", "expected at least 79 values to train on (--horizon 12 and 67 to look back), found 70 of 100"),
        ("wave.csv --data wave.csv", "FILE must be given once, got it with and without --data"),
        ("wave.csv --season 70", "--season must be less than the 70 values to train on, got 70"),
        ("wave.csv --harmonics 1", "--harmonics needs --season of at least 2, got 1"),
        ("wave.csv --difference season", "--difference season needs --season of at least 2, got 1"),
        ("wave.csv --season 4 --harmonics 3", "--harmonics must be at most half of --season, 4, got 3"),
        ("wave.csv --test 0.6 --validation 0.5", "--validation and --test must leave something to train on, got 0.5 and 0.6"),
        ("flat.csv", "expected a series that varies, found 5 in all of the 70 values to train on"),
        ("below.csv --log", "--log needs a series of positive numbers, got -1 at 1990-03; leave it out"),
        ("gap.csv", "of line 4, found none; fill it in, or give --fill"),
        ("wave.csv --horizon 0", "must be an integer at least 1, got '0'"),
        ("wave.csv --heads 3", "unrecognized arguments: --heads 3"),
    ],
)  # fmt: skip
def test_training_that_cannot_be(capsys, argv, message):
    write("flat", [5.0] * 100)
    write("below", [1, 2, -1, *range(1, 98)])
    write("gap", [1, 2, "", *range(97)])
    assert message in fails(capsys, "train", "--task", "forecast", *argv.split())


def test_resuming_that_cannot_be(capsys):
    assert train() == 0
    assert "--context cannot change on resuming: the run was begun with 8" in fails(
        capsys, "train", "--resume", "run", "--context", "9"
    )
    write("wave", np.arange(100))
    assert "are not those the run was begun with" in fails(capsys, "train", "--resume", "run")


def test_forecasting_that_cannot_be(capsys):
    assert train() == 0
    write("short", [1, 2, 3])
    with open("days.csv", "w") as file:
        file.writelines(["day,x\n", *(f"2024-01-{i:02},{i}\n" for i in range(1, 30))])
    message = "short.csv: `series` must have the 12 values that the model looks back, got 3"
    assert message in fails(capsys, "forecast", "run", "short.csv")
    assert "FILE must have the step of the training, 1 months, got 1 days" in fails(
        capsys, "forecast", "run", "days.csv"
    )
    assert "must be an integer at least 1 and below 1000000, got '0'" in fails(
        capsys, "forecast", "run", "--steps", "0"
    )
    assert "must be an integer at least 1 and below 1000000, got '-3'" in fails(capsys, "forecast", "run", "--steps=-3")
    assert "expected a column 'x'" in fails(capsys, "forecast", "run", "--column", "x")
    assert "nowhere" in fails(capsys, "forecast", "nowhere")


def test_runs_of_other_tasks(capsys):
    from weft.training import save_model

    net = {"name": "mlp", "input_shape": [4], "num_classes": 3, "hidden": [2]}
    save_model("net.safetensors", weft.training.saved_model.build_model(net), architecture=net)
    message = "expected a model of `weft train --task forecast`, found that of another task (Sequential)"
    assert message in fails(capsys, "forecast", "net.safetensors")
    assert train() == 0
    assert "expected a language model, found Forecaster" in fails(capsys, "generate", "run")
    assert "found one of another task" in fails(capsys, "train", "--task", "text", "--resume", "run")
    save_checkpoint("text.safetensors", load_checkpoint("run/last.safetensors") | {"info": {"task": "text"}})
    assert "found one of another task" in fails(capsys, "train", "--task", "forecast", "--resume", "text.safetensors")


def test_arguments_in_any_order_and_no_output(capsys, monkeypatch):
    """A file behind an option; a process without a standard output; steps to beyond the last date there is."""
    assert train() == 0
    capsys.readouterr()
    assert main(["forecast", "run", "wave.csv", "--steps", "3"]) == 0
    printed = capsys.readouterr().out
    assert main(["forecast", "run", "--steps", "3", "wave.csv"]) == 0
    assert capsys.readouterr().out == printed
    assert "since dates end with the year 9999" in fails(capsys, "forecast", "run", "--steps", "100000")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", None)
        assert main(["forecast", "run"]) == 0
