"""What all schedules share: initial lr, groups, own schedules, saving. Expected numbers are worked out by hand."""

import json

import pytest

import weft
from weft import optimizers as optim
from weft.optimizers import schedulers


def sgd(*lrs, **options):
    return optim.SGD([{"params": [weft.Parameter([1.0])], "lr": lr} for lr in lrs], **options)


class TestLRScheduler:
    def test_remembers_the_initial_lr(self):
        optimizer = sgd(1.0, 0.5)
        schedule = schedulers.StepLR(optimizer, step_size=1, gamma=0.5)
        schedule.step()
        assert [g["initial_lr"] for g in optimizer.param_groups] == [1.0, 0.5]
        assert [g["lr"] for g in optimizer.param_groups] == schedule.get_last_lr() == [0.5, 0.25]
        assert (schedule.last_epoch, schedule.base_lrs) == (1, [1.0, 0.5])

    def test_own_schedule_by_group(self):
        class Halving(schedulers.LRScheduler):
            def next_lr(self, lr, base_lr):
                return base_lr / 2**self.last_epoch

        optimizer = sgd(1.0, 8.0)
        schedule = Halving(optimizer)
        schedule.step()
        assert schedule.get_last_lr() == [0.5, 4.0]

    def test_own_schedule_as_in_pytorch(self):
        class Counting(schedulers.LRScheduler):
            def get_lr(self):
                return [float(self.last_epoch) for _ in self.optimizer.param_groups]

        schedule = Counting(sgd(1.0))
        schedule.step()
        schedule.step()
        assert schedule.get_last_lr() == [2.0]

    def test_schedules_on_one_optimizer_multiply(self):
        optimizer = sgd(1.0)
        parts = [schedulers.ExponentialLR(optimizer, 0.5), schedulers.StepLR(optimizer, 2, gamma=0.1)]
        for _ in range(2):
            for part in parts:
                part.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.25 * 0.1)

    def test_resume_at_an_epoch(self):
        optimizer = sgd(1.0)
        first = schedulers.ExponentialLR(optimizer, 0.5)
        for _ in range(3):
            first.step()
        second = schedulers.ExponentialLR(optimizer, 0.5, last_epoch=2)
        assert (second.last_epoch, second.get_last_lr()) == (3, [0.125])
        second.step()
        assert second.get_last_lr() == [0.0625]

    def test_resume_needs_the_initial_lr(self):
        with pytest.raises(KeyError, match=r"`initial_lr` must be in param_groups\[0\] to resume from last_epoch=2"):
            schedulers.ExponentialLR(sgd(1.0), 0.5, last_epoch=2)

    def test_not_an_optimizer(self):
        with pytest.raises(TypeError, match="`optimizer` of StepLR must be a weft Optimizer, got list"):
            schedulers.StepLR([], 1)

    def test_callable_objects_are_saved(self):
        class Power:
            def __init__(self, base):
                self.base = base

            def __call__(self, t):
                return self.base**t

        first = schedulers.LambdaLR(sgd(1.0, 1.0), [Power(0.5), lambda t: 1.0])
        first.step()
        saved = json.loads(json.dumps(first.state_dict()))
        second = schedulers.LambdaLR(sgd(1.0, 1.0), [Power(0.9), lambda t: 2.0])
        second.load_state_dict(saved)
        second.step()
        assert second.get_last_lr() == [0.25, 2.0]


CASES = {
    "ConstantLR": {"factor": 0.5, "total_iters": 4},
    "CosineAnnealingLR": {"T_max": 5, "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 3, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3, "mode": "triangular2"},
    "ExponentialLR": {"gamma": 0.9},
    "InverseTimeLR": {},
    "LinearLR": {"total_iters": 6},
    "MultiStepLR": {"milestones": [2, 7]},
    "NoamLR": {"d_model": 16, "warmup_steps": 4},
    "OneCycleLR": {"max_lr": 0.5, "total_steps": 12},
    "PolynomialLR": {"total_iters": 9, "power": 2.0},
    "StepLR": {"step_size": 3},
    "WarmupCosineLR": {"warmup_steps": 3, "total_steps": 11},
}


class TestSaving:
    @pytest.mark.parametrize("name", CASES)
    @pytest.mark.parametrize("cls", [optim.SGD, optim.Adam])
    def test_a_schedule_continues_exactly(self, name, cls):
        def build():
            options = {"momentum": 0.9} if cls is optim.SGD else {}
            optimizer = cls([weft.Parameter([1.0])], lr=0.3, **options)
            return optimizer, getattr(schedulers, name)(optimizer, **CASES[name])

        optimizer, schedule = build()
        for _ in range(5):
            schedule.step()
        groups = json.loads(json.dumps(optimizer.state_dict()["param_groups"]))
        saved = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
        other, continued = build()
        other.load_state_dict({"state": {}, "param_groups": groups})
        continued.load_state_dict(saved)
        for _ in range(6):
            schedule.step()
            continued.step()
            assert continued.get_last_lr() == schedule.get_last_lr()
            assert other.param_groups[0] | {"params": 0} == optimizer.param_groups[0] | {"params": 0}
