"""Output that goes nowhere: nothing is raised, one line says so, and the process ends in peace."""

import contextlib
import io
import os
import sys

import pytest

from weft import layers as nn
from weft import optimizers as optim
from weft.training import ProgressBar, Trainer
from weft.training.output import Output, say


@pytest.fixture(autouse=True)
def _nobody_has_complained(monkeypatch):
    monkeypatch.setattr(Output, "has_complained", False)


def pipe_that_nobody_reads():
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


def closed():
    file = io.StringIO()
    file.close()
    return file


def full():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    return open("/dev/full", "w")


@pytest.mark.parametrize("make", [pipe_that_nobody_reads, closed, full])
def test_training_goes_on(make, capfd):
    model = nn.Linear(1, 1)
    file = make()
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=[ProgressBar(file)])
    assert len(trainer.fit([([[1.0]], [[1.0]])], epochs=3)) == 3
    error = capfd.readouterr().err
    assert error.startswith("weft: output is lost from here on (")
    assert error.count("\n") == 1
    if make is full:
        with pytest.raises(OSError):  # Python would say so, too: what it has kept is the user's
            file.close()
    else:
        file.close()  # raises nothing


def test_a_disk_that_has_room_again():
    """What was kept is written then."""

    class Full(io.StringIO):
        room = False

        def write(self, text):
            if not self.room:
                raise OSError(28, "No space left on device")
            return super().write(text)

    file = Full()
    print("one", file=Output(file))
    file.room = True
    print("two", file=Output(file))
    assert file.getvalue() == "two\n"


def test_no_standard_output(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    say("into the void")
    assert not Output().isatty()
    monkeypatch.setattr(sys, "stderr", None)
    print("too", file=Output(closed()))


def test_bar_on_a_terminal_that_is_gone():
    pytest.importorskip("rich")
    main, terminal = os.openpty()
    file = os.fdopen(terminal, "w")
    model = nn.Linear(1, 1)
    bar = ProgressBar(file)
    bar.interval = 0.0
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), callbacks=[bar])
    trainer.fit([([[1.0]], [[1.0]])] * 3, epochs=1)
    os.close(main)
    assert len(trainer.fit([([[1.0]], [[1.0]])] * 3, epochs=3)) == 3
    with contextlib.suppress(OSError):  # what was kept
        file.close()
