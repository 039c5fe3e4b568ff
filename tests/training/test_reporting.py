"""What is written while training, read back."""

import csv
import io

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import Callback, CSVLogger, ProgressBar, Trainer
from weft.training.reporting import summary_line

X = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
BATCHES = [(X[:8], X[:8, :1]), (X[8:], X[8:, :1])]


def fit(*callbacks, epochs=3):
    weft.manual_seed(0)
    model = nn.Linear(3, 1)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=callbacks, metrics=["mae"])
    trainer.fit(BATCHES, BATCHES, epochs=epochs)
    return trainer


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestCSVLogger:
    def test_is_the_history(self, tmp_path):
        class Late(Callback):
            def on_epoch_end(self, trainer):
                if trainer.epoch > 1:
                    trainer.log(late=0.5)

        history = fit(CSVLogger(tmp_path / "log.csv"), Late()).history
        with open(tmp_path / "log.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["late"] for row in rows] == ["", "0.5", "0.5"]
        assert [{k: float(v) for k, v in row.items() if v} for row in rows] == history


class TestProgressBar:
    def test_one_line_for_each_epoch(self, capsys):
        history = fit(ProgressBar()).history
        lines = capsys.readouterr().out.splitlines()
        assert lines == [summary_line(row, 3) for row in history]
        assert lines[0].startswith("epoch 1/3  loss ")
        assert "val_mae" in lines[0]

    def test_bar_on_a_terminal(self):
        file = Terminal()
        bar = ProgressBar(file)
        bar.interval = 0.0
        history = fit(bar).history
        shown = file.getvalue()
        for row in history:
            assert summary_line(row, 3) in shown
        assert "epoch 2/3" in shown
        assert "samples/s" in shown
        assert "\x1b[?25h" in shown  # the cursor is shown again

    def test_terminal_without_rich(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "rich.console", None)
        file = Terminal()
        history = fit(ProgressBar(file)).history
        assert file.getvalue().splitlines() == [summary_line(row, 3) for row in history]

    def test_bar_is_put_away_after_an_error(self):
        class Fail(Callback):
            def on_batch_end(self, trainer):
                raise RuntimeError("on purpose")

        file = Terminal()
        with pytest.raises(RuntimeError, match="on purpose"):
            fit(ProgressBar(file), Fail())
        assert file.getvalue().count("\x1b[?25h") >= file.getvalue().count("\x1b[?25l")
