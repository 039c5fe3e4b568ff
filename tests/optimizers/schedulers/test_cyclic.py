"""Schedules that come and go, against their closed formulas."""

import math
from itertools import pairwise

import pytest

import weft
from weft import optimizers as optim
from weft.optimizers import schedulers


def sgd(lr=0.5, **options):
    return optim.SGD([weft.Parameter([1.0])], lr=lr, **options)


def cosine(start, end, done):
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def trajectory(schedule, n=40):
    lrs = []
    for _ in range(n):
        lrs += schedule.get_last_lr()
        schedule.step()
    return lrs


class TestCosineAnnealingLR:
    @pytest.mark.parametrize(("T", "low"), [(10, 0.0), (7, 0.01), (40, 0.1)])
    def test_formula(self, T, low):
        lrs = trajectory(schedulers.CosineAnnealingLR(sgd(), T, low))
        assert lrs == pytest.approx([cosine(0.5, low, t / T) for t in range(40)], rel=1e-12, abs=1e-14)


class TestCosineAnnealingWarmRestarts:
    @pytest.mark.parametrize(("T", "factor", "low"), [(5, 1, 0.0), (3, 2, 0.01), (1, 3, 0.0)])
    def test_formula(self, T, factor, low):
        expected, length = [], T
        while len(expected) < 40:
            expected += [cosine(0.5, low, t / length) for t in range(length)]
            length *= factor
        lrs = trajectory(schedulers.CosineAnnealingWarmRestarts(sgd(), T, factor, low))
        assert lrs == pytest.approx(expected[:40], rel=1e-12, abs=1e-14)

    @pytest.mark.parametrize(
        ("epoch", "done"), [(0, 0), (1.5, 1.5 / 4), (4, 0), (5.25, 1.25 / 8), (11.9, 7.9 / 8), (12, 0), (20, 8 / 16)]
    )
    def test_fractions_of_epochs(self, epoch, done):
        schedule = schedulers.CosineAnnealingWarmRestarts(sgd(), 4, T_mult=2)
        schedule.step(epoch)
        assert schedule.get_last_lr() == pytest.approx([cosine(0.5, 0, done)], rel=1e-12, abs=1e-14)
        assert schedule.last_epoch == int(epoch)

    def test_errors(self):
        for name in ("T_0", "T_mult"):
            with pytest.raises(ValueError, match=f"`{name}` must be an integer ≥ 1, got 0"):
                schedulers.CosineAnnealingWarmRestarts(sgd(), **({"T_0": 1} | {name: 0}))
        with pytest.raises(ValueError, match="`epoch` must be ≥ 0, got -1"):
            schedulers.CosineAnnealingWarmRestarts(sgd(), 3).step(-1)


class TestWarmupCosineLR:
    def test_formula(self):
        lrs = trajectory(schedulers.WarmupCosineLR(sgd(), warmup_steps=4, total_steps=24, eta_min=0.05))
        expected = [0.5 * (t + 1) / 5 if t < 4 else cosine(0.5, 0.05, min(1, (t - 4) / 20)) for t in range(40)]
        assert lrs == pytest.approx(expected, rel=1e-12)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`warmup_steps` must be in \[0, total_steps\), got 9 of 9"):
            schedulers.WarmupCosineLR(sgd(), 9, 9)


class TestOneCycleLR:
    @pytest.mark.parametrize("strategy", ["cos", "linear"])
    @pytest.mark.parametrize("three_phase", [False, True])
    def test_formula(self, strategy, three_phase):
        optimizer = sgd(momentum=0.9)
        schedule = schedulers.OneCycleLR(
            optimizer,
            1.0,
            total_steps=40,
            pct_start=0.25,
            anneal_strategy=strategy,
            three_phase=three_phase,
            base_momentum=0.8,
            max_momentum=0.9,
            div_factor=10,
            final_div_factor=100,
        )
        between = cosine if strategy == "cos" else lambda a, b, s: a + (b - a) * s
        # knots: (step, lr, momentum)
        knots = [(0, 0.1, 0.9), (9, 1.0, 0.8), *([(18, 0.1, 0.9)] if three_phase else []), (39, 0.001, 0.9)]
        for t in range(40):
            (t0, lr0, m0), (t1, lr1, m1) = next((a, b) for a, b in pairwise(knots) if t <= b[0])
            s = (t - t0) / (t1 - t0)
            group = optimizer.param_groups[0]
            assert group["lr"] == schedule.get_last_lr()[0] == pytest.approx(between(lr0, lr1, s), rel=1e-12)
            assert group["momentum"] == pytest.approx(between(m0, m1, s), rel=1e-12)
            schedule.step()
        with pytest.raises(ValueError, match="at most total_steps = 40 times, this is call 41"):
            schedule.step()

    def test_cycles_beta1_and_knows_epochs(self):
        optimizer = optim.Adam([weft.Parameter([1.0])])
        schedule = schedulers.OneCycleLR(optimizer, [1.0], epochs=4, steps_per_epoch=10)
        assert schedule.total_steps == 40
        assert optimizer.param_groups[0]["betas"] == (0.95, 0.999)
        for _ in range(11):
            schedule.step()
        assert optimizer.param_groups[0]["betas"] == (pytest.approx(0.85), 0.999)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "`total_steps` must be given, or both"),
            ({"total_steps": 0}, "`total_steps` must be an integer ≥ 1, got 0"),
            ({"total_steps": 9, "pct_start": 1.5}, r"`pct_start` must be in \[0, 1\], got 1.5"),
            ({"total_steps": 9, "anneal_strategy": "up"}, "`anneal_strategy` must be 'cos' or 'linear', got 'up'"),
            ({"total_steps": 9, "max_lr": [1.0, 2.0]}, "`max_lr` must hold one value for each of the 1 .* got 2"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=message):
            schedulers.OneCycleLR(sgd(momentum=0.9), **({"max_lr": 1.0} | options))

    def test_needs_a_momentum_to_cycle(self):
        with pytest.raises(ValueError, match="`cycle_momentum` needs an optimizer with momentum or betas, got Adagrad"):
            schedulers.OneCycleLR(optim.Adagrad([weft.Parameter([1.0])]), 1.0, total_steps=9)


class TestCyclicLR:
    @pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
    def test_formula(self, mode):
        optimizer = sgd(momentum=0.5)
        schedule = schedulers.CyclicLR(optimizer, 0.1, 0.6, step_size_up=4, step_size_down=6, mode=mode, gamma=0.95)
        for t in range(35):
            cycle, phase = divmod(t, 10)
            height = phase / 4 if phase <= 4 else (10 - phase) / 6
            height *= {"triangular": 1, "triangular2": 0.5**cycle, "exp_range": 0.95**t}[mode]
            assert schedule.get_last_lr() == pytest.approx([0.1 + 0.5 * height], rel=1e-9)
            assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.9 - 0.1 * height, rel=1e-9)
            schedule.step()

    def test_resumed_in_a_new_optimizer(self):
        optimizer = sgd(momentum=0.5)
        optimizer.param_groups[0]["initial_lr"] = 0.1
        schedule = schedulers.CyclicLR(optimizer, 0.1, 0.6, step_size_up=4, last_epoch=3)
        assert schedule.get_last_lr() == pytest.approx([0.6])  # as in PyTorch: the step that begins is counted
        assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.8)

    def test_state_has_pytorchs_names(self):
        """PyTorch goes on from it; and it says how long a cycle is, whatever the schedule that takes it up was made with."""
        schedule = schedulers.CyclicLR(sgd(), 0.1, 0.6, step_size_up=4, step_size_down=6)
        state = schedule.state_dict()
        assert (state["total_size"], state["step_ratio"], state["_scale_fn_custom"]) == (10.0, 0.4, None)
        other = schedulers.CyclicLR(sgd(), 0.1, 0.6, step_size_up=3)
        other.load_state_dict(state)
        assert trajectory(other, 12) == trajectory(schedule, 12)

    def test_own_scale(self):
        schedule = schedulers.CyclicLR(sgd(), 0.0, 1.0, step_size_up=2, scale_fn=lambda k: 1 / k, cycle_momentum=False)
        lrs = trajectory(schedule, 8)
        assert lrs == pytest.approx([0, 0.5, 1, 0.5, 0, 0.25, 0.5, 0.25])

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`mode` must be 'triangular', .* got 'square'"):
            schedulers.CyclicLR(sgd(), 0.1, 1.0, mode="square")
        with pytest.raises(ValueError, match="`cycle_momentum` needs an optimizer with momentum or betas, got Adagrad"):
            schedulers.CyclicLR(optim.Adagrad([weft.Parameter([1.0])]), 0.1, 1.0)
