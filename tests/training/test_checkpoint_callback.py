"""Checkpoints written while training, and the run that goes on from them."""

import os
import signal

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.data import ArrayDataset, DataLoader
from weft.training import Callback, Checkpoint, CSVLogger, Trainer, WriteError, load_checkpoint

pytestmark = pytest.mark.usefixtures("heard")


def loader():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)).astype(np.float32)
    return DataLoader(ArrayDataset(x, x.sum(1, keepdims=True)), 8, shuffle=True, seed=1)


def trainer(*callbacks, **options):
    weft.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1), nn.Linear(4, 1))
    return Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.01), callbacks=callbacks, **options)


def weights(t):
    return [p.tolist() for p in t.model.parameters()]


class At(Callback):
    """Does something at a batch."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_batch_end(self, trainer):
        if trainer.step == self.step:
            self.action(trainer)


class TestFiles:
    def test_last_and_best(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "run")
        t = trainer(checkpoint)
        t.fit(loader(), loader(), epochs=3)
        last, best = load_checkpoint(checkpoint.last), load_checkpoint(checkpoint.best)
        assert last["epoch"] == 3
        losses = [row["val_loss"] for row in t.history]
        assert best["epoch"] == 1 + int(np.argmin(losses))
        assert last["callbacks"]["Checkpoint"]["best"] == min(losses)
        assert sorted(p.name for p in checkpoint.folder.iterdir()) == ["best.safetensors", "last.safetensors"]

    @pytest.mark.parametrize("monitor", ["val_loss", None])
    def test_no_best_without_validation(self, tmp_path, monitor):
        trainer(Checkpoint(tmp_path, monitor=monitor)).fit(loader(), epochs=1)
        assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]

    @pytest.mark.parametrize(("accumulate", "steps"), [(1, [2, 4, 5, 6, 8, 10, 10]), (2, [2, 3, 4, 6])])
    def test_every_n_updates_and_announced(self, tmp_path, accumulate, steps):
        said = []
        trainer(Checkpoint(tmp_path, every=2, announce=said.append), accumulate=accumulate).fit(loader(), epochs=2)
        assert [int(line.rpartition(" ")[2]) for line in said] == steps
        assert said[0].startswith(f"saved {tmp_path / 'last.safetensors'} at epoch 0, batch {2 * accumulate}, step 2")

    def test_extra_entries(self, tmp_path):
        checkpoint = Checkpoint(tmp_path, extra={"note": "hello"})
        trainer(checkpoint).fit(loader(), epochs=1)
        assert load_checkpoint(checkpoint.last)["note"] == "hello"

    def test_errors(self, tmp_path):
        with pytest.raises(ValueError, match=r"`every` must be at least 1, got 0"):
            Checkpoint(tmp_path, every=0)
        with pytest.raises(ValueError, match=r"`monitor` must be one of .* got 'val_acc'"):
            trainer(Checkpoint(tmp_path, monitor="val_acc")).fit(loader(), loader(), epochs=1)


class TestResume:
    def test_from_the_middle_of_an_epoch(self, tmp_path):
        whole = trainer(Checkpoint(tmp_path / "a"))
        whole.fit(loader(), loader(), epochs=3)

        class Crash(Exception):
            pass

        def crash(_):
            raise Crash

        broken = trainer(At(8, crash), Checkpoint(tmp_path / "b", every=3))
        with pytest.raises(Crash):
            broken.fit(loader(), loader(), epochs=3)
        checkpoint = Checkpoint(tmp_path / "b")
        again = trainer(checkpoint)
        again.load_state_dict(load_checkpoint(checkpoint.last))
        assert (again.epoch, again.batch, again.step) == (1, 1, 6)
        again.fit(loader(), loader(), epochs=3)
        assert weights(again) == weights(whole)
        assert checkpoint.monitor.best == min(row["val_loss"] for row in whole.history)


class TestInterrupt:
    def press(self, trainer):
        os.kill(os.getpid(), signal.SIGINT)

    def test_saves_and_raises(self, tmp_path):
        checkpoint = Checkpoint(tmp_path)
        t = trainer(At(7, self.press), checkpoint)
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            t.fit(loader(), loader(), epochs=3)
        assert signal.getsignal(signal.SIGINT) is before
        assert load_checkpoint(checkpoint.last)["step"] == t.step == 7

        whole, again = trainer(), trainer()
        whole.fit(loader(), epochs=3)
        again.load_state_dict(load_checkpoint(checkpoint.last))
        again.fit(loader(), epochs=3)
        assert weights(again) == weights(whole)

    def test_waits_for_the_update(self, tmp_path):
        checkpoint = Checkpoint(tmp_path)

        class Press(Callback):
            def on_batch_end(self, t):
                if t.batch == 1:
                    os.kill(os.getpid(), signal.SIGINT)

        t = trainer(Press(), checkpoint, accumulate=3)
        with pytest.raises(KeyboardInterrupt):
            t.fit(loader(), epochs=3)
        assert t.batch == 3
        assert load_checkpoint(checkpoint.last)["batch"] == 3

    def test_during_validation(self, tmp_path):
        checkpoint = Checkpoint(tmp_path)

        class Press(Callback):
            def on_validation_begin(self, t):
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            trainer(Press(), checkpoint).fit(loader(), loader(), epochs=3)
        assert load_checkpoint(checkpoint.last)["epoch"] == 1

    def test_a_second_time_does_not_wait(self, tmp_path):
        class Press(Callback):
            def on_batch_begin(self, t):
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            trainer(Press(), Checkpoint(tmp_path)).fit(loader(), epochs=3)
        assert not list(tmp_path.iterdir())


class TestSignals:
    """SIGTERM and SIGHUP: the machine that ends a job, the terminal that is gone."""

    @pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
    def number(self, request):
        return request.param

    @pytest.fixture(autouse=True)
    def handlers(self):
        """Those from before, whatever was left behind."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.getsignal(number) for number in numbers}
        yield
        found = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            signal.signal(number, before[number])
        assert found == before

    def test_saves_and_ends_with_the_shells_status(self, tmp_path, number):
        checkpoint = Checkpoint(tmp_path)
        t = trainer(At(7, lambda _: signal.raise_signal(number)), checkpoint)
        with pytest.raises(SystemExit) as ended:
            t.fit(loader(), loader(), epochs=3)
        assert ended.value.code == 128 + number
        assert load_checkpoint(checkpoint.last)["step"] == t.step == 7
        whole, again = trainer(), trainer()
        whole.fit(loader(), epochs=3)
        again.load_state_dict(load_checkpoint(checkpoint.last))
        again.fit(loader(), epochs=3)
        assert weights(again) == weights(whole)

    def test_several_times_at_once(self, tmp_path, number):
        """As `timeout` and closing terminals send them; Ctrl-C alone means haste."""

        def press(_):
            for each in (number, number, signal.SIGTERM, signal.SIGHUP):
                signal.raise_signal(each)

        t = trainer(At(3, press), Checkpoint(tmp_path))
        with pytest.raises(SystemExit):
            t.fit(loader(), epochs=1)
        assert load_checkpoint(tmp_path / "last.safetensors")["step"] == 3

    def test_two_checkpoints(self, tmp_path, number):
        folders = [tmp_path / "a", tmp_path / "b"]
        t = trainer(At(3, lambda _: signal.raise_signal(number)), *map(Checkpoint, folders))
        with pytest.raises(SystemExit):
            t.fit(loader(), epochs=1)
        assert [load_checkpoint(folder / "last.safetensors")["step"] for folder in folders] == [3, 3]

    def test_a_handler_of_ones_own_is_called_after_the_save(self, tmp_path, number):
        seen, before = [], signal.getsignal(number)
        signal.signal(number, lambda n, _: seen.append((n, load_checkpoint(tmp_path / "last.safetensors")["step"])))
        trainer(At(3, lambda _: signal.raise_signal(number)), Checkpoint(tmp_path)).fit(loader(), epochs=1)
        signal.signal(number, before)
        assert seen == [(number, 3)]

    def test_what_is_ignored_stays_so(self, tmp_path, number):
        before = signal.signal(number, signal.SIG_IGN)  # nohup
        t = trainer(At(3, lambda _: os.kill(os.getpid(), number)), Checkpoint(tmp_path))
        t.fit(loader(), epochs=1)
        signal.signal(number, before)
        assert (t.epoch, t.stopping) == (1, None)

    @pytest.mark.parametrize("event", [name for name in dir(Callback) if name.startswith("on_")])
    @pytest.mark.parametrize("order", [-1, 3])
    def test_a_callback_that_raises(self, tmp_path, event, order):
        """The fixture looks at the handlers. The other callbacks still end."""
        ended = []

        class Raises(Callback):
            def on_fit_end(self, trainer):
                ended.append(self)

        class End(Callback):
            def on_fit_end(self, trainer):
                ended.append(self)

        def fail(*_):
            raise ArithmeticError(event)

        Raises.order = order
        setattr(Raises, event, fail)
        callbacks = [End(), Raises(), Checkpoint(tmp_path)]
        with pytest.raises(ArithmeticError, match=event):
            trainer(*callbacks).fit(loader(), loader(), epochs=1)
        assert [type(c) for c in ended].count(End) == (0 if (event, order) == ("on_fit_begin", -1) else 1)

    def test_an_error_says_more_than_the_signal(self, tmp_path, number):
        def fail(_):
            signal.raise_signal(number)
            raise ArithmeticError("of one's own")

        with pytest.raises(ArithmeticError, match="of one's own"):
            trainer(At(3, fail), Checkpoint(tmp_path)).fit(loader(), epochs=1)

    def test_in_another_thread(self, tmp_path):
        import threading

        t = trainer(Checkpoint(tmp_path))
        thread = threading.Thread(target=t.fit, args=(loader(),))
        thread.start()
        thread.join()
        assert t.epoch == 1


class TestKnownAtTheStart:
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (
                lambda folder: folder.write_text(""),
                r"run/last\.safetensors` could not be written: (Not a dir|File exists)",
            ),
            (lambda folder: (folder / "last.safetensors").mkdir(parents=True), r"run/last.* written: it is a folder; "),
            (lambda folder: (folder / "best.safetensors").mkdir(parents=True), r"run/best.* written: it is a folder; "),
        ],
    )
    def test_a_folder_that_cannot_be_written(self, tmp_path, make, message):
        make(tmp_path / "run")
        t = trainer(Checkpoint(tmp_path / "run"))
        with pytest.raises(WriteError, match=message):
            t.fit(loader(), loader(), epochs=1)
        assert t.step == 0

    def test_a_log_that_cannot_be_written(self, tmp_path):
        t = trainer(CSVLogger(tmp_path))
        with pytest.raises(WriteError, match=r"could not be written: it is a folder; what was there before is intact"):
            t.fit(loader(), epochs=1)
        assert t.step == 0


def test_what_is_said_to_be_saved_is(tmp_path):
    """At that very moment."""
    said = []

    def announce(line):
        path, step = line.split()[1], int(line.rpartition(" ")[2])
        said.append((load_checkpoint(path)["step"], step))

    trainer(Checkpoint(tmp_path, every=2, announce=announce)).fit(loader(), loader(), epochs=2)
    assert len(said) > 5
    assert all(found == step for found, step in said)


class TestFullDisk:
    def test_previous_checkpoint_survives(self, tmp_path, monkeypatch):
        checkpoint = Checkpoint(tmp_path, every=2)

        def fill(_):
            def full(descriptor):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(
            WriteError, match=r"last\.safetensors` could not be written: No space left on device; .*intact"
        ):
            trainer(At(5, fill), checkpoint).fit(loader(), epochs=3)
        monkeypatch.undo()
        assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
        assert load_checkpoint(checkpoint.last)["step"] == 4
