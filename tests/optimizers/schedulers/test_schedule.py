"""What all schedules share: initial lr, groups, own schedules, saving. Expected numbers are worked out by hand."""

import json

import pytest

import weft
from weft import optimizers as optim
from weft.optimizers import schedulers
from weft.optimizers import schedulers as s


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


SCHEDULES = {
    # name → (schedule, lr of a group at 0.5 that joins after two steps of one at 1): PyTorch's numbers, where it has any
    "ExponentialLR": (lambda o: s.ExponentialLR(o, 0.5), [0.25, 0.125]),
    "StepLR": (lambda o: s.StepLR(o, 3, 0.1), [0.05, 0.05]),
    "CosineAnnealingLR": (lambda o: s.CosineAnnealingLR(o, 10), [0.4388530503664742, 0.36180339887498947]),
    "LinearLR": (lambda o: s.LinearLR(o, 0.1, total_iters=5), [0.6956521739130435, 0.8913043478260869]),
    "PolynomialLR": (lambda o: s.PolynomialLR(o, 10), [0.43749999999999994, 0.375]),
    "ConstantLR": (lambda o: s.ConstantLR(o, 0.1, 2), [0.5, 0.5]),
    "MultiStepLR": (lambda o: s.MultiStepLR(o, [2, 4]), [0.5, 0.05]),
    "MultiplicativeLR": (lambda o: s.MultiplicativeLR(o, lambda t: 0.5), [0.25, 0.125]),
    # where PyTorch raises: lr₀ · f(t), or what all groups share
    "LambdaLR": (lambda o: s.LambdaLR(o, lambda t: 0.5**t), [0.0625, 0.03125]),
    "CosineAnnealingWarmRestarts": (lambda o: s.CosineAnnealingWarmRestarts(o, 4), [0.0732233, 0.5]),
    "OneCycleLR": (lambda o: s.OneCycleLR(o, 1.0, total_steps=10), [0.95048463, 0.81174566]),
    "CyclicLR": (lambda o: s.CyclicLR(o, 0.1, 1.0, 4), [0.775, 1.0]),
    "InverseTimeLR": (lambda o: s.InverseTimeLR(o), [0.125, 0.1]),
    "WarmupCosineLR": (lambda o: s.WarmupCosineLR(o, 2, 8), [0.4665063509461097, 0.375]),
    "NoamLR": (lambda o: s.NoamLR(o, 16), [1.976423537605237e-06, 2.4705294220065464e-06]),
    "ChainedScheduler": (lambda o: s.ChainedScheduler([s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.5)]), [0.25, 0.125]),
    "SequentialLR": (lambda o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.5)], [3]), [0.5, 0.25]),
    "ReduceLROnPlateau": (lambda o: s.ReduceLROnPlateau(o, patience=2), [0.05, 0.05]),
}  # fmt: skip


def unfrozen(make):
    """An optimizer with a second group since the second step, and its schedule."""
    o = optim.SGD([weft.Parameter([1.0])], lr=1.0, momentum=0.9)
    schedule = make(o)
    for _ in range(2):
        advance(schedule)
    o.add_param_group({"params": [weft.Parameter([2.0])], "lr": 0.5})
    return o, schedule


def advance(schedule):
    schedule.step(*([1.0] if isinstance(schedule, s.ReduceLROnPlateau) else []))


class TestGroupsAddedLater:
    def test_every_schedule_is_here(self):
        assert SCHEDULES.keys() == set(s.__all__) - {"LRScheduler"}

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_they_join(self, name):
        make, expected = SCHEDULES[name]
        o, schedule = unfrozen(make)
        got = []
        for _ in range(2):
            if name == "ReduceLROnPlateau":
                advance(schedule)
            advance(schedule)
            got.append(o.param_groups[1]["lr"])
        assert got == pytest.approx(expected)
        assert len(schedule.get_last_lr()) == 2

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_and_are_resumed(self, name):
        make, _ = SCHEDULES[name]
        (o, schedule), (other, resumed) = unfrozen(make), unfrozen(make)
        advance(schedule)
        other.load_state_dict(o.state_dict())
        resumed.load_state_dict(schedule.state_dict())
        for _ in range(3):
            advance(schedule)
            advance(resumed)
            assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in o.param_groups]

    @pytest.mark.parametrize(
        ("make", "name"),
        [
            (lambda o: s.LambdaLR(o, [lambda t: 1.0, lambda t: 0.5]), "lr_lambda"),
            (lambda o: s.CyclicLR(o, 0.1, [1.0, 2.0]), "max_lr"),
            (lambda o: s.OneCycleLR(o, [1.0, 2.0], total_steps=10), "initial_lr"),
        ],
    )
    def test_one_value_for_each(self, make, name):
        o = optim.SGD([{"params": [weft.Parameter([1.0])]}, {"params": [weft.Parameter([1.0])]}], lr=1.0, momentum=0.9)
        schedule = make(o)
        o.add_param_group({"params": [weft.Parameter([2.0])]})
        with pytest.raises(ValueError, match=f"`{name}` (was given for each|is not the same in all)"):
            schedule.step()

    def test_one_value_of_its_own(self):
        o = optim.SGD([weft.Parameter([1.0])], lr=1.0, momentum=0.9)
        cycle = s.OneCycleLR(o, 1.0, total_steps=10)
        o.add_param_group({"params": [weft.Parameter([2.0])], "max_lr": 0.5})
        for _ in range(3):
            cycle.step()
            first, second = cycle.get_last_lr()
            assert second == pytest.approx(first / 2)
        o = optim.SGD([weft.Parameter([1.0])], lr=1.0)
        own = s.LambdaLR(o, lambda t: 0.5)
        o.add_param_group({"params": [weft.Parameter([2.0])], "lr": 1.0})
        own.lr_lambdas.append(lambda t: 0.25)
        own.step()
        assert own.get_last_lr() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("make", "lrs"),
    [
        (lambda o: s.StepLR(o, 3, 0.5), [1.0, 0.5, 1.0, 0.25, 0.25]),
        (lambda o: s.ExponentialLR(o, 0.5), [0.5, 0.0625, 0.25, 0.5**7, 0.5**8]),
        (lambda o: s.CosineAnnealingLR(o, 10), [0.975528, 0.654508, 0.904508, 0.206107, 0.095492]),
        (lambda o: s.LambdaLR(o, lambda t: 1 / (1 + t)), [0.5, 0.2, 1 / 3, 0.125, 1 / 9]),
        (lambda o: s.MultiStepLR(o, [2, 4]), [1.0, 0.01, 0.1, 0.01, 0.01]),
        (lambda o: s.MultiplicativeLR(o, lambda t: 0.5), [0.5, 0.25, 0.125, 0.0625, 0.03125]),
    ],
)
def test_step_to_an_epoch(make, lrs):
    """PyTorch 2.13: schedule.step(1), (4), (2), (7), then step()."""
    schedule, found = make(optim.SGD([weft.Parameter([1.0])], lr=1.0)), []
    for epoch in (1, 4, 2, 7, None):
        schedule.step(epoch)
        found += schedule.get_last_lr()
    assert found == pytest.approx(lrs, abs=1e-6)
    assert schedule.last_epoch == 8
    with pytest.raises(ValueError, match="`epoch` must be an integer ≥ 0, got -1"):
        schedule.step(-1)
