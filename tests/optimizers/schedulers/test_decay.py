"""Schedules that only go one way, against their closed formulas; two groups, forty steps."""

from collections import Counter

import pytest

import weft
from weft import optimizers as optim
from weft.optimizers import schedulers


def check(name, formula, **options):
    """formula(t) is the factor on the initial lr."""
    optimizer = optim.SGD([{"params": [weft.Parameter([1.0])], "lr": lr} for lr in (0.5, 0.02)])
    schedule = getattr(schedulers, name)(optimizer, **options)
    for t in range(40):
        expected = [0.5 * formula(t), 0.02 * formula(t)]
        assert schedule.get_last_lr() == pytest.approx(expected, rel=1e-12, abs=1e-14), t
        assert [g["lr"] for g in optimizer.param_groups] == schedule.get_last_lr()
        schedule.step()


def fails(name, message, error=ValueError, **options):
    with pytest.raises(error, match=message):
        getattr(schedulers, name)(optim.SGD([weft.Parameter([1.0])]), **options)


class TestLambdaLR:
    def test_formula(self):
        check("LambdaLR", lambda t: 1 / (1 + t), lr_lambda=lambda t: 1 / (1 + t))

    def test_a_function_for_each_group(self):
        optimizer = optim.SGD([{"params": [weft.Parameter([1.0])], "lr": 1.0} for _ in range(2)])
        schedule = schedulers.LambdaLR(optimizer, [lambda t: t, lambda t: 2 * t])
        assert schedule.get_last_lr() == [0, 0]
        schedule.step()
        assert schedule.get_last_lr() == [1, 2]

    def test_errors(self):
        fails(
            "LambdaLR",
            "`lr_lambda` must hold one value for each of the 1 parameter groups, got 2",
            lr_lambda=[abs, abs],
        )
        fails("LambdaLR", "`lr_lambda` must be a function of t .* got float", TypeError, lr_lambda=0.5)


class TestMultiplicativeLR:
    def test_formula(self):
        check("MultiplicativeLR", lambda t: 0.9**t, lr_lambda=lambda t: 0.9)

    def test_errors(self):
        fails("MultiplicativeLR", "`lr_lambda` must be a function of t .* got float", TypeError, lr_lambda=0.5)


class TestStepLR:
    def test_formula(self):
        check("StepLR", lambda t: 0.1 ** (t // 7), step_size=7)
        check("StepLR", lambda t: 0.5 ** (t // 3), step_size=3, gamma=0.5)


class TestMultiStepLR:
    def test_formula(self):
        check("MultiStepLR", lambda t: 0.1 ** ((t >= 5) + (t >= 11)), milestones=[11, 5])
        check("MultiStepLR", lambda t: 0.5 ** (2 * (t >= 4)), milestones=[4, 4], gamma=0.5)

    def test_goes_on_from_pytorchs_state_in_which_milestones_are_counted(self):
        optimizer = weft.optimizers.SGD([weft.Parameter([1.0])], lr=1.0)
        schedule = weft.optimizers.schedulers.MultiStepLR(optimizer, [9])
        state = {
            "milestones": Counter({4: 2, 2: 1}),
            "gamma": 0.5,
            "base_lrs": [1.0],
            "last_epoch": 1,
            "_step_count": 2,
        }
        schedule.load_state_dict({**schedule.state_dict(), **state})
        assert schedule.milestones == [2, 4, 4]
        assert schedule.state_dict()["milestones"] == Counter({4: 2, 2: 1})
        lrs = []
        for _ in range(3):
            schedule.step()
            lrs += schedule.get_last_lr()
        assert lrs == [0.5, 0.5, 0.125]


class TestConstantLR:
    def test_formula(self):
        check("ConstantLR", lambda t: 1 / 3 if t < 5 else 1)
        check("ConstantLR", lambda t: 0.5 if t < 9 else 1, factor=0.5, total_iters=9)

    @pytest.mark.parametrize("factor", [0, 1.5])
    def test_errors(self, factor):
        fails("ConstantLR", rf"`factor` must be in \(0, 1\], got {factor}", factor=factor)


class TestLinearLR:
    def test_formula(self):
        check("LinearLR", lambda t: 1 / 3 + 2 / 3 * min(t, 5) / 5)
        check("LinearLR", lambda t: 0.8 - 0.7 * min(t, 9) / 9, start_factor=0.8, end_factor=0.1, total_iters=9)

    def test_errors(self):
        fails("LinearLR", r"`start_factor` must be in \(0, 1\], got 0", start_factor=0)
        fails("LinearLR", r"`end_factor` must be in \[0, 1\], got 1.5", end_factor=1.5)


class TestExponentialLR:
    def test_formula(self):
        check("ExponentialLR", lambda t: 0.93**t, gamma=0.93)


class TestPolynomialLR:
    def test_formula(self):
        check("PolynomialLR", lambda t: 1 - min(t, 5) / 5)
        check("PolynomialLR", lambda t: (1 - min(t, 30) / 30) ** 1.7, total_iters=30, power=1.7)


class TestInverseTimeLR:
    def test_formula(self):
        check("InverseTimeLR", lambda t: 1 / (1 + t))
        check("InverseTimeLR", lambda t: 1 / (1 + 0.3 * t / 5), decay_rate=0.3, decay_steps=5)

    def test_errors(self):
        fails("InverseTimeLR", "`decay_rate` must be ≥ 0, got -1", decay_rate=-1)
        fails("InverseTimeLR", "`decay_steps` must be > 0, got 0", decay_steps=0)


class TestNoamLR:
    def test_formula(self):
        check("NoamLR", lambda t: 512**-0.5 * min((t + 1) ** -0.5, (t + 1) * 10**-1.5), d_model=512, warmup_steps=10)

    def test_peaks_after_the_warm_up(self):
        optimizer = optim.Adam([weft.Parameter([1.0])], lr=1.0)
        schedule, lrs = schedulers.NoamLR(optimizer, d_model=64, warmup_steps=8), []
        for _ in range(20):
            lrs += schedule.get_last_lr()
            schedule.step()
        assert lrs.index(max(lrs)) == 7
        assert max(lrs) == pytest.approx((64 * 8) ** -0.5)

    def test_errors(self):
        fails("NoamLR", "`d_model` and `warmup_steps` must be ≥ 1, got 0 and 4", d_model=0, warmup_steps=4)
