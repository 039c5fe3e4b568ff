"""SWALR against PyTorch's numbers."""

import json

import numpy as np
import pytest

import weft
from weft import optimizers as optim
from weft.optimizers.swa_utils import SWALR


def optimizer(*lrs):
    return optim.SGD([{"params": [weft.Parameter([1.0])], "lr": lr} for lr in lrs])


class TestSWALR:
    def test_cosine(self):
        """torch 2.13.0: torch.optim.swa_utils.SWALR(SGD(lr=0.1), 0.05, anneal_epochs=4), 7 steps."""
        schedule, found = SWALR(optimizer(0.1), 0.05, anneal_epochs=4), []
        for _ in range(7):
            found += schedule.get_last_lr()
            schedule.step()
        pytorch = [0.1, 0.09267766952966369, 0.075, 0.057322330470336316, 0.05, 0.05, 0.05]
        np.testing.assert_allclose(found, pytorch, rtol=1e-12)

    def test_after_another_schedule(self):
        """torch 2.13.0: ExponentialLR(gamma=0.5) for 3 steps, then SWALR([0.05, 0.5], 3, "linear"), made before, for 5."""
        o = optimizer(0.1, 1.0)
        decay = optim.schedulers.ExponentialLR(o, 0.5)
        schedule, found = SWALR(o, [0.05, 0.5], anneal_epochs=3, anneal_strategy="linear"), []
        for k in range(8):
            (decay if k < 3 else schedule).step()
            found.append([group["lr"] for group in o.param_groups])
        first = [0.05, 0.025, 0.0125, 0.025, 0.0375, 0.05, 0.05, 0.05]
        np.testing.assert_allclose(found, [[lr, 10 * lr] for lr in first], rtol=1e-12)

    def test_at_once(self):
        schedule = SWALR(optimizer(0.1), 0.05, anneal_epochs=0)
        schedule.step()
        assert schedule.get_last_lr() == [0.05]

    def test_goes_on_from_its_state(self):
        o, other = optimizer(0.1), optimizer(0.1)
        schedule, resumed = SWALR(o, 0.05, anneal_epochs=4), SWALR(other, 0.05)
        for _ in range(2):
            schedule.step()
        resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        other.load_state_dict(o.state_dict())
        for each in (schedule, resumed):
            each.step()
        assert schedule.get_last_lr() == resumed.get_last_lr()

    def test_errors(self):
        with pytest.raises(ValueError, match="`anneal_strategy` must be 'cos' or 'linear', got 'step'"):
            SWALR(optimizer(0.1), 0.05, anneal_strategy="step")
        with pytest.raises(ValueError, match=r"`anneal_epochs` must be .*≥ 0, got -1"):
            SWALR(optimizer(0.1), 0.05, anneal_epochs=-1)
        with pytest.raises(ValueError, match="`swa_lr` must hold one value for each of the 1 parameter groups, got 2"):
            SWALR(optimizer(0.1), [0.05, 0.1])
