"""Schedules of schedules, and reduction on a plateau: sequences worked out by hand."""

import json

import pytest

import weft
from weft import optimizers as optim
from weft.optimizers import schedulers as s


def sgd(lr=1.0):
    return optim.SGD([weft.Parameter([1.0])], lr=lr)


def trajectory(schedule, n):
    lrs = []
    for _ in range(n):
        lrs += schedule.get_last_lr()
        schedule.step()
    return lrs


class TestSequentialLR:
    def test_warm_up_then_decay(self):
        o = sgd()
        schedule = s.SequentialLR(o, [s.LinearLR(o, 0.25, total_iters=3), s.ExponentialLR(o, 0.5)], [3])
        assert trajectory(schedule, 6) == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.5, 0.25])

    def test_three_schedules_and_restarts(self):
        o = sgd()
        parts = [s.ConstantLR(o, 0.5, 9), s.CosineAnnealingWarmRestarts(o, 2), s.StepLR(o, 2, 0.1)]
        schedule = s.SequentialLR(o, parts, [2, 5])
        assert trajectory(schedule, 9) == pytest.approx([0.5, 0.5, 1.0, 0.5, 1.0, 1.0, 1.0, 0.1, 0.1])

    def test_within_another(self):
        o = sgd()
        inner = s.ChainedScheduler([s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.1)])
        schedule = s.SequentialLR(o, [inner, s.ConstantLR(o, 0.25, 9)], [3])
        # as in PyTorch the chain, entered anew, takes its first factors at once
        assert trajectory(schedule, 5) == pytest.approx([0.05, 0.005, 0.001, 0.25, 0.25])

    def test_saving(self):
        def build():
            o = sgd()
            return o, s.SequentialLR(o, [s.LinearLR(o, 0.25, total_iters=3), s.ExponentialLR(o, 0.5)], [3])

        (first, schedule), (second, continued) = build(), build()
        trajectory(schedule, 2)
        second.load_state_dict(first.state_dict())
        continued.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        assert trajectory(continued, 5) == trajectory(schedule, 5)

    def test_errors(self):
        o, other = sgd(), sgd()
        with pytest.raises(ValueError, match="`milestones` must be one fewer than the 1 schedulers, got 2"):
            s.SequentialLR(o, [s.StepLR(o, 1)], [1, 2])
        with pytest.raises(ValueError, match="`schedulers` of SequentialLR must hold at least one"):
            s.SequentialLR(o, [], [])
        with pytest.raises(TypeError, match=r"`schedulers\[0\]` .* must be a schedule of time, got ReduceLROnPlateau"):
            s.SequentialLR(o, [s.ReduceLROnPlateau(o)], [])
        with pytest.raises(ValueError, match=r"`schedulers\[1\]` of SequentialLR must belong to the same optimizer"):
            s.SequentialLR(o, [s.StepLR(o, 1), s.StepLR(other, 1)], [3])


class TestChainedScheduler:
    def test_factors_multiply(self):
        o = sgd()
        schedule = s.ChainedScheduler([s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.5)])
        assert trajectory(schedule, 4) == pytest.approx([0.1, 0.05, 0.25, 0.125])

    def test_saving(self):
        def build():
            o = sgd()
            return o, s.ChainedScheduler([s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.5)], optimizer=o)

        (first, schedule), (second, continued) = build(), build()
        trajectory(schedule, 1)
        second.load_state_dict(first.state_dict())
        continued.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        assert trajectory(continued, 4) == trajectory(schedule, 4)

    def test_errors(self):
        with pytest.raises(ValueError, match="`schedulers` of ChainedScheduler must hold at least one"):
            s.ChainedScheduler([])


class TestReduceLROnPlateau:
    @pytest.mark.parametrize(
        ("options", "metrics", "expected"),
        [
            # the third bad step exceeds patience = 2
            ({"patience": 2}, [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
            ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
            ({"patience": 0, "mode": "max"}, [1, 2, 2, 3], [1, 1, 0.5, 0.5]),
            ({"patience": 0, "threshold": 0.1}, [10, 9.5, 8.9], [1, 0.5, 0.5]),
            ({"patience": 0, "threshold": 1.0, "threshold_mode": "abs"}, [10, 9.5, 8.9], [1, 0.5, 0.5]),
            ({"patience": 0, "threshold": 0.1, "mode": "max"}, [10, 10.5, 11.5], [1, 0.5, 0.5]),
            ({"patience": 0, "min_lr": 0.4}, [1, 1, 1], [1, 0.5, 0.4]),
            ({"patience": 0, "eps": 0.3}, [1, 1, 1], [1, 0.5, 0.5]),
            ({"patience": 0}, [1, float("nan"), 0.5], [1, 0.5, 0.5]),
        ],
    )
    def test_sequences(self, options, metrics, expected):
        optimizer = sgd()
        schedule, lrs = s.ReduceLROnPlateau(optimizer, factor=0.5, **options), []
        for k, metric in enumerate(metrics):
            if k == 1:  # continue in another object
                saved = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
                schedule = s.ReduceLROnPlateau(optimizer)
                schedule.load_state_dict(saved)
            schedule.step(weft.tensor(metric, dtype=weft.float64))
            lrs += schedule.get_last_lr()
        assert lrs == pytest.approx(expected)

    def test_before_the_first_metric_it_can_be_saved(self):
        schedule = s.ReduceLROnPlateau(sgd(), mode="max")
        saved = json.loads(json.dumps(schedule.state_dict(), allow_nan=False))
        schedule.load_state_dict(saved)
        assert schedule.best == float("-inf")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"factor": 1.0}, "`factor` must be < 1, got 1.0"),
            ({"mode": "up"}, "`mode` must be 'min' or 'max', got 'up'"),
            ({"threshold_mode": "up"}, "`threshold_mode` must be 'rel' or 'abs', got 'up'"),
            ({"min_lr": [0.1, 0.2]}, "`min_lr` must hold one value for each of the 1 parameter groups, got 2"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=message):
            s.ReduceLROnPlateau(sgd(), **options)


class TestComposites:
    """Schedules of schedules in the second place of another, where they begin anew."""

    def test_a_sequence(self):
        o = sgd()
        inner = s.SequentialLR(o, [s.ConstantLR(o, 0.1, 9), s.ExponentialLR(o, 0.5)], [2])
        schedule = s.SequentialLR(o, [s.ConstantLR(o, 0.5, 9), inner], [2])
        assert trajectory(schedule, 7) == pytest.approx([0.5, 0.5, 0.1, 0.1, 1.0, 0.5, 0.25])

    def test_a_chain(self):
        o = sgd()
        inner = s.ChainedScheduler([s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.1)])
        schedule = s.SequentialLR(o, [s.ConstantLR(o, 0.25, 9), inner], [2])
        assert trajectory(schedule, 6) == pytest.approx([0.25, 0.25, 0.5, 0.05, 0.01, 0.001])
