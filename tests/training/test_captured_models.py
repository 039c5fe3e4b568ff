"""What a captured Trainer's step reads of the host: whatever changes it, and whenever, a run is that of eager steps."""

import numpy as np
import pytest
from captured_trainer import AT_END, CHANGES, Counts, Curriculum, losses, unchanged

import weft
from weft.training import Trainer, step


@pytest.fixture(params=["cpu", "emulator", pytest.param("cuda", marks=pytest.mark.gpu)])
def accelerator(request, monkeypatch):
    """Each device that records steps, from the first batch on; skips where it is not."""
    monkeypatch.setattr(step, "BATCHES", 0)
    try:
        return weft.backend.device.devices.canonical(request.param)
    except weft.DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("name", "at"), [*((name, (0, 4)) for name in CHANGES), *((name, (0, 5)) for name in AT_END)])
def test_what_a_callback_changes(name, at, accelerator):
    """Right after the step was recorded and replayed, and at an epoch's end."""
    kind = Curriculum if name == "trainer" else Trainer
    eager, _ = losses(accelerator, False, CHANGES[name], at, trainer=kind)
    captured, said = losses(accelerator, None, CHANGES[name], at, trainer=kind)
    assert captured == eager
    assert not said
    assert (captured != unchanged(accelerator, kind)) == (name != "nothing")


def test_a_hook_ends_it(accelerator):
    eager, _ = losses(accelerator, False, CHANGES["hook"], (1, 1))
    captured, said = losses(accelerator, None, CHANGES["hook"], (1, 1))
    assert captured == eager
    if accelerator == "cpu":  # where nobody has asked for a recording
        assert not said
        return
    assert len(said) == 1
    assert r"the module '0.0.0.0.0.0.0.0.0.0.2' (ReLU) has hooks" in said[0].replace("body.", "")


def test_what_a_step_of_ones_own_reads_of_the_trainer(accelerator):
    eager, _ = losses(accelerator, False, CHANGES["nothing"], trainer=Curriculum)
    assert losses(accelerator, None, CHANGES["nothing"], trainer=Curriculum) == (eager, [])


def test_a_forward_that_counts_runs_as_usual(accelerator):
    eager, _ = losses(accelerator, False, CHANGES["nothing"], model=Counts)
    captured, said = losses(accelerator, None, CHANGES["nothing"], model=Counts)
    assert captured == eager
    assert len(said) == (accelerator != "cpu")
    assert not said or "it changes `model.count` on the host, which a replay would not" in said[0]
    with pytest.raises(RuntimeError, match=r"it changes `model\.count` on the host"):
        losses(accelerator, True, CHANGES["nothing"], model=Counts)


@pytest.mark.parametrize(("batches", "is_small", "expected"), [(4, True, True), (40, True, False), (4, False, False)])
def test_a_cpu_records_what_pays(batches, is_small, expected, monkeypatch):
    """Of small models, after so many batches that a recording is sure to pay, and for none that asks for no steps of its own."""
    monkeypatch.setattr(step, "BATCHES", batches)
    monkeypatch.setattr(step, "SMALL", 100 if is_small else 5)
    weft.manual_seed(0)
    model = weft.layers.Linear(2, 2)
    trainer = Trainer(model, weft.layers.CrossEntropyLoss(), weft.optimizers.SGD(model.parameters(), lr=0.1))
    captured = []
    monkeypatch.setattr(weft.backend.modes.program.Program, "__init__", _told(captured))
    trainer.fit(weft.ones((40, 2)), weft.asarray(np.arange(40) % 2), epochs=4, batch_size=8, shuffle=False)
    assert bool(captured) == expected


def _told(calls):
    original = weft.backend.modes.program.Program.__init__

    def init(self, *args):
        calls.append(self)
        original(self, *args)

    return init
