"""Calibration against a loop over samples; the diagram's bars."""

import numpy as np
import pytest

import weft
from weft.training import calibration, pictures, plot_calibration


def reference(p, y, bins):
    """(confidence, accuracy, samples) of each bin, and the ECE; one sample at a time."""
    rows = [[] for _ in range(bins)]
    for probabilities, target in zip(p, y):
        if np.ndim(probabilities):
            c, hit = max(probabilities), np.argmax(probabilities) == target
        else:
            c, hit = probabilities, target == 1
        m = next(m for m in range(bins) if c <= (m + 1) / bins)
        rows[m].append((c, hit))
    error = sum(abs(sum(h - c for c, h in row)) for row in rows) / len(y)
    return [np.mean(row, axis=0) if row else [np.nan, np.nan] for row in rows], [len(row) for row in rows], error


@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_reference(classes, bins):
    rng = np.random.default_rng(0)
    p = rng.random(60) if classes == 1 else rng.dirichlet(np.ones(classes), 60)
    p[0] = 0 if classes == 1 else np.eye(classes)[0]
    y = rng.integers(0, max(2, classes), 60)
    means, samples, error = reference(p, y, bins)
    found = calibration(p, y, bins=bins)
    np.testing.assert_allclose(np.transpose([found.confidence, found.accuracy]), means)
    assert found.samples.tolist() == samples
    assert found.error == pytest.approx(error)


def test_tensors_and_columns():
    p, y = np.array([[0.9], [0.2]]), np.array([1, 0])
    assert calibration(weft.asarray(p), weft.asarray(y), bins=5).error == calibration(p[:, 0], y, bins=5).error
    assert calibration(weft.asarray(p).astype(weft.bfloat16), y, bins=5).error == pytest.approx(0.15, abs=2e-3)


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        ([[2.0, -1.0]], [0], r"in \[0, 1\], rows adding up to 1, got -1 … 2; pass what softmax or sigmoid give"),
        ([[0.2, 0.2]], [0], r"rows adding up to 1"),
        ([np.nan], [0], r"in \[0, 1\]"),
        ([[0.5, 0.5]], [2], r"`target` must hold classes in \[0, 2\), got 2 … 2"),
        ([[0.5, 0.5]], [0, 1], r"got shapes \(1, 2\) and \(2,\)"),
        ([], [], r"got shapes \(0,\) and \(0,\)"),
    ],
)
def test_errors(p, y, message):
    with pytest.raises(ValueError, match=message):
        calibration(p, np.array(y))


@pytest.mark.parametrize(
    ("p", "label"), [([0.9, 0.2, 0.1], "part of class 1"), ([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], "accuracy")]
)
def test_draws(monkeypatch, p, label):
    drawn = []
    monkeypatch.setattr(pictures, "_write", lambda figure, path: drawn.append(figure))
    plot_calibration(p, [1, 0, 1], "a.png", bins=5)
    left, right = drawn[0].axes
    assert left.get_ylabel() == label
    assert right.get_ylabel() == "samples (%)"
    assert sum(bar.get_height() for bar in right.patches) == pytest.approx(100)
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "calibrated",
        "observed",
        "gap to the confidence",
    ]
