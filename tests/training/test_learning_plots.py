"""Curves over the learning rate and over the number of samples: what is drawn, and what is read from it."""

import re

import numpy as np
import pytest

from weft import optimizers as optim
from weft.training import learning_curve_reading, pictures, plot_learning_curve, plot_lr_find


@pytest.fixture
def axis(monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    return lambda: drawn[0].axes[0]


class TestLRFind:
    def test_one_step(self, axis):
        plot_lr_find(optim.LRFinderResult([0.1], [2.0], 0.1), "a.png")
        assert axis().get_xscale() == "log"

    def test_draws(self, axis):
        plot_lr_find(optim.LRFinderResult([0.01, 0.1, 1.0], [2.0, 1.0, 4.0], 0.1), "a.png")
        curve, line, point = axis().get_lines()
        assert curve.get_xydata().tolist() == [[0.01, 2.0], [0.1, 1.0], [1.0, 4.0]]
        assert line.get_xdata()[0] == 0.1
        assert point.get_xydata().tolist() == [[0.1, pytest.approx(1.0)]]
        assert (axis().get_xscale(), axis().get_xlabel(), axis().get_ylabel()) == ("log", "learning rate", "loss")

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`found` must have at least one step, got none"):
            plot_lr_find(optim.LRFinderResult([], [], 0.1), "a.png")


@pytest.mark.parametrize(
    ("training", "validation", "target", "reading"),
    [
        (
            [0.0, 0.01, 0.01],
            [0.3, 0.2, 0.1],
            None,
            "high variance: 0.01 training but 0.1 validation .* more data would",
        ),
        ([0.0, 0.01, 0.01], [0.3, 0.1, 0.1], None, "high variance: .*: regularisation would help"),
        ([0.1, 0.2, 0.3], [0.5, 0.4, 0.32], 0.1, "high bias: 0.3 training error misses 0.1: a larger model"),
        ([0.1, 0.2, 0.3], [0.5, 0.4, 0.32], None, r"training and validation have met \(0.3, 0.32\)"),
        ([0.2, 0.3], [0.9, 0.8], 0.1, "high bias and high variance: 0.3 .* 0.1 wanted: a larger model and more data"),
        ([0.2, 0.3], [0.8, 0.8], 0.1, "high bias and high variance: .*: a larger model and regularisation"),
        ([0.0, 0.0], [0.3, 0.1], None, "high variance: .* more data would help"),
    ],
)
def test_reading(training, validation, target, reading):
    assert re.match(reading, learning_curve_reading(training, validation, target=target))


class TestLearningCurve:
    def test_draws_means_of_folds(self, axis):
        plot_learning_curve([10, 100], [[0.0, 0.2], [0.1, 0.1]], [[0.5, 0.5], [0.4, 0.2]], "a.png", target=0.1)
        training, validation, _ = axis().get_lines()
        np.testing.assert_allclose(training.get_ydata(), [0.1, 0.1])
        np.testing.assert_allclose(validation.get_ydata(), [0.5, 0.3])
        assert len(axis().collections) == 2
        assert axis().get_xscale() == "log"
        assert [text.get_text() for text in axis().get_legend().get_texts()] == ["training", "validation", "target"]

    @pytest.mark.parametrize(("sizes", "training"), [([10, 20], [0.1]), ([10], [0.1])])
    def test_errors(self, sizes, training):
        with pytest.raises(ValueError, match=rf"one length S ≥ 2, got {len(sizes)}, 1 and 1"):
            plot_learning_curve(sizes, training, [0.5], "a.png")
