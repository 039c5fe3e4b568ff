"""What a captured Trainer's step reads of the host: whatever changes it, and whenever, a run is that of eager steps."""

import pytest
from captured_trainer import AT_END, CHANGES, Counts, Curriculum, losses, unchanged

from weft.training import Trainer


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
    assert len(said) == 1
    assert r"the module '0.0.0.0.0.0.0.0.0.0.2' (ReLU) has hooks" in said[0].replace("body.", "")


def test_what_a_step_of_ones_own_reads_of_the_trainer(accelerator):
    eager, _ = losses(accelerator, False, CHANGES["nothing"], trainer=Curriculum)
    assert losses(accelerator, None, CHANGES["nothing"], trainer=Curriculum) == (eager, [])


def test_a_forward_that_counts_runs_as_usual(accelerator):
    eager, _ = losses(accelerator, False, CHANGES["nothing"], model=Counts)
    captured, said = losses(accelerator, None, CHANGES["nothing"], model=Counts)
    assert captured == eager
    assert len(said) == 1
    assert "it changes `model.count` on the host, which a replay would not" in said[0]
    with pytest.raises(RuntimeError, match=r"it changes `model\.count` on the host"):
        losses(accelerator, True, CHANGES["nothing"], model=Counts)
