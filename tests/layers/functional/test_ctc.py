"""Both layouts of targets, both shapes of inputs; the mathematics is tested with the primitive."""

import numpy as np
import pytest

import weft
from weft.layers import functional as F

rng = np.random.default_rng(0)
X = F.log_softmax(weft.tensor(rng.standard_normal((6, 3, 4))), 2)
ROWS = weft.tensor([[1, 2, 3], [3, 0, 0], [2, 2, 0]])


def test_targets_in_a_row_are_those_of_rows():
    row = weft.tensor([1, 2, 3, 3, 2, 2])
    for reduction in ("none", "mean"):
        expected = F.ctc_loss(X, ROWS, (6, 4, 5), (3, 1, 2), reduction=reduction)
        found = F.ctc_loss(X, row, weft.tensor([6, 4, 5]), [3, 1, 2], reduction=reduction)
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_one_sequence_without_a_batch():
    loss = F.ctc_loss(X[:, 0], ROWS[0], weft.tensor(6), weft.tensor(3), reduction="none")
    assert loss.shape == ()
    assert loss.item() == F.ctc_loss(X[:, :1], ROWS[:1], [6], [3], reduction="sum").item()


def test_empty_targets_in_a_row():
    loss = F.ctc_loss(X, weft.zeros((0,), dtype=weft.int64), [6, 4, 5], [0, 0, 0], reduction="none")
    np.testing.assert_allclose(loss.numpy(), [-X.numpy()[:n, i, 0].sum() for i, n in enumerate((6, 4, 5))], rtol=1e-12)


def test_half_precision_is_computed_in_float32():
    x = X.half()
    exact = F.ctc_loss(x.double(), ROWS, [6, 4, 5], [3, 1, 2]).item()
    assert F.ctc_loss(x, ROWS, [6, 4, 5], [3, 1, 2]).item() == pytest.approx(exact, rel=1e-3)


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`input_lengths` must have shape \(3,\), got \(2,\)"):
        F.ctc_loss(X, ROWS, [6, 4], [3, 1, 2])
    with pytest.raises(ValueError, match=r"`targets` in a row must have as many labels as `target_lengths` say"):
        F.ctc_loss(X, weft.tensor([1, 2]), [6, 4, 5], [3, 1, 2])
    with pytest.raises(ValueError, match=r"`targets` must have shape \(3, S\)"):
        F.ctc_loss(X, ROWS[:2], [6, 4, 5], [3, 1, 2])
    with pytest.raises(ValueError, match=r"`log_probs` must have shape \(T, N, C\)"):
        F.ctc_loss(X[0, 0], ROWS, [6, 4, 5], [3, 1, 2])
    with pytest.raises(TypeError, match="`targets` must have an integer dtype, got float64"):
        F.ctc_loss(X, ROWS.double(), [6, 4, 5], [3, 1, 2])
    with pytest.raises(ValueError, match=r"`blank` must be an integer in \[0, 3\], got 4"):
        F.ctc_loss(X, ROWS, [6, 4, 5], [3, 1, 2], blank=4)
