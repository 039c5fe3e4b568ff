"""Trainings cut short: which batches are seen, and when time is up."""

import datetime
import time
from itertools import count

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import Callback, Checkpoint, Trainer, load_checkpoint
from weft.training.limits import Limits

BATCHES = [(weft.full((2, 1), float(i)), weft.full((2, 1), float(i))) for i in range(10)]


class Seen(Callback):
    def __init__(self):
        self.batches, self.validations = [], 0

    def on_batch_end(self, trainer):
        self.batches.append(int(trainer.current_batch[0][0, 0].item()))

    def on_validation_begin(self, trainer):
        self.validations = len(trainer.validation_loader)


def trainer(*callbacks, **options):
    weft.manual_seed(0)
    model = nn.Linear(1, 1)
    return Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1e-3), callbacks=callbacks, **options)


class TestFastDevRun:
    @pytest.mark.parametrize(("asked", "batches"), [(True, [0]), (3, [0, 1, 2]), (False, list(range(10)) * 5)])
    def test_batches(self, asked, batches):
        seen = Seen()
        history = trainer(seen, fast_dev_run=asked).fit(BATCHES, BATCHES, epochs=5)
        assert seen.batches == batches
        assert len(history) == (1 if asked else 5)
        assert seen.validations == (int(asked) or 10)

    def test_nothing_is_written(self, tmp_path):
        trainer(Checkpoint(tmp_path), fast_dev_run=True).fit(BATCHES, BATCHES, epochs=5)
        assert not list(tmp_path.iterdir())


class TestOverfitBatches:
    @pytest.mark.parametrize(("asked", "batches"), [(2, [0, 1]), (0.3, [0, 1, 2]), (0.01, [0])])
    def test_the_same_ones_in_each_epoch(self, asked, batches):
        seen = Seen()
        trainer(seen, overfit_batches=asked).fit(BATCHES, BATCHES, epochs=3)
        assert seen.batches == batches * 3
        assert seen.validations == len(batches)

    def test_shuffled_data_too(self):
        seen = Seen()
        x = np.arange(12, dtype=np.float32)[:, None]
        trainer(seen, overfit_batches=2).fit(x, x, epochs=3, batch_size=1)
        assert seen.batches == seen.batches[:2] * 3

    def test_of_what_has_no_length(self):
        with pytest.raises(
            ValueError, match=r"`overfit_batches` must be a number of batches .* without length, got 0.5"
        ):
            trainer(overfit_batches=0.5).fit(map(tuple, BATCHES))


class TestMaxTime:
    def test_it_stops_at_the_next_update_and_is_saved(self, tmp_path, monkeypatch):
        clock = count(0, 10)
        monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
        run = trainer(Checkpoint(tmp_path), max_time=45, accumulate=2)
        run.fit(BATCHES, epochs=3)
        assert run.stopping == "`max_time` of 45 s is over"
        assert run.is_between_updates
        assert 0 < run.batch < 10
        saved = load_checkpoint(tmp_path / "last.safetensors")
        assert (saved["batch"], saved["step"]) == (run.batch, run.step)

    @pytest.mark.parametrize(
        ("given", "seconds"),
        [(90, 90), (0.5, 0.5), ("00:01:30", 90), ("1:02:03:04", 93784), (datetime.timedelta(minutes=2), 120)],
    )
    def test_how_it_is_said(self, given, seconds):
        assert Limits(max_time=given).seconds == seconds

    def test_there_is_enough(self):
        run = trainer(max_time="01:00:00")
        run.fit(BATCHES, epochs=2)
        assert (run.epoch, run.stopping) == (2, None)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fast_dev_run": -1}, ValueError, "`fast_dev_run` must be an integer ≥ 0, got -1"),
        ({"fast_dev_run": "yes"}, TypeError, "`fast_dev_run` must be an integer ≥ 0, got 'yes'"),
        ({"overfit_batches": 1.5}, ValueError, "`overfit_batches` must be .*, got 1.5"),
        ({"overfit_batches": True}, ValueError, "`overfit_batches` must be an integer ≥ 0, got True"),
        ({"fast_dev_run": 2, "overfit_batches": 2}, ValueError, "got both: 2, 2"),
        ({"max_time": -1}, ValueError, "`max_time` must be .*, got -1"),
        ({"max_time": "soon"}, ValueError, "`max_time` must be seconds, a timedelta or text as '01:30:00', got 'soon'"),
    ],
)
def test_errors(options, error, message):
    with pytest.raises(error, match=message):
        trainer(**options)
