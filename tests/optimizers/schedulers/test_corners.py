"""What PyTorch's schedules do at their corners: torch 2.13.0's numbers, for an lr of 1."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim
from weft.optimizers import schedulers as s

NAN, INF = float("nan"), float("inf")

CASES = {  # schedule, metrics or number of steps, the lrs from the start
    "one step more than a cycle goes up again": (
        lambda o: s.OneCycleLR(o, 1.0, total_steps=4),
        4,
        [0.04, 0.811746, 0.283061, 4e-06, 0.283061],
    ),
    "a cycle of one step begins at its end": (lambda o: s.OneCycleLR(o, 1.0, total_steps=1), 1, [4e-06, 0.611262]),
    "a cycle that only rises": (
        lambda o: s.OneCycleLR(o, 1.0, total_steps=4, pct_start=1.0),
        3,
        [0.04, 0.28, 0.76, 1.0],
    ),
    "a line of no steps stays": (lambda o: s.LinearLR(o, 0.5, total_iters=0), 3, [0.5] * 4),
    "a constant of no steps stays": (lambda o: s.ConstantLR(o, 0.5, total_iters=0), 3, [0.5] * 4),
    "a cosine rises again": (lambda o: s.CosineAnnealingLR(o, 3), 7, [1.0, 0.75, 0.25, 0.0, 0.25, 0.75, 1.0, 0.75]),
    "milestones count as often as they are given": (
        lambda o: s.MultiStepLR(o, [3, 0, 1, 1], 0.5),
        4,
        [0.5, 0.125, 0.125, 0.0625, 0.0625],
    ),
    "a cycle in a sequence sets the first lr of all": (
        lambda o: s.SequentialLR(o, [s.ExponentialLR(o, 0.5), s.OneCycleLR(o, 8.0, total_steps=4)], [2]),
        5,
        [0.32, 0.16, 0.32, 6.49397, 2.26449, 3.2e-05],
    ),
    "a chain": (
        lambda o: s.ChainedScheduler([s.ConstantLR(o, 0.5, 2), s.ExponentialLR(o, 0.9)]),
        3,
        [0.5, 0.45, 0.81, 0.729],
    ),
    "no number is bad": (lambda o: s.ReduceLROnPlateau(o, patience=1), [1.0, NAN, NAN, 0.5], [1.0, 1.0, 1.0, 0.1, 0.1]),
    "below zero is better than zero": (
        lambda o: s.ReduceLROnPlateau(o, patience=0),
        [0.0, -1e-9, 0.0, -1.0],
        [1.0, 1.0, 1.0, 0.1, 0.1],
    ),
    "infinity is bad from the start": (
        lambda o: s.ReduceLROnPlateau(o, patience=0),
        [INF, 1.0, INF],
        [1.0, 0.1, 0.1, 0.01],
    ),
}


def sgd():
    return optim.SGD([weft.Parameter([1.0])], lr=1.0, momentum=0.9)


@pytest.mark.parametrize("name", CASES)
def test_trajectory(name):
    make, steps, expected = CASES[name]
    schedule = make(sgd())
    lrs = schedule.get_last_lr()[:]
    for metric in [()] * steps if isinstance(steps, int) else [(m,) for m in steps]:
        schedule.step(*metric)
        lrs += schedule.get_last_lr()
    np.testing.assert_allclose(lrs, expected, rtol=2e-6)


def test_a_line_of_no_steps_in_a_sequence():
    """Where PyTorch divides by zero."""
    o = sgd()
    schedule = s.SequentialLR(o, [s.ExponentialLR(o, 0.5), s.LinearLR(o, 0.25, total_iters=0)], [2])
    lrs = schedule.get_last_lr()[:]
    for _ in range(3):
        schedule.step()
        lrs += schedule.get_last_lr()
    assert lrs == [1.0, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: s.ConstantLR(o, 0.0), r"`factor` must be in \(0, 1\], got 0.0"),
        (lambda o: s.LinearLR(o, 0.0), r"`start_factor` must be in \(0, 1\], got 0.0"),
        (lambda o: s.LinearLR(o, total_iters=-1), "`total_iters` must be an integer ≥ 0, got -1"),
        (lambda o: s.ConstantLR(o, total_iters=-1), "`total_iters` must be an integer ≥ 0, got -1"),
        (
            lambda o: s.SequentialLR(o, [s.StepLR(o, 2), s.StepLR(o, 3), s.StepLR(o, 4)], [5, 3]),
            r"`milestones` must be in rising order, got \[5, 3\]",
        ),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(sgd())
