"""The range test on a quadratic, whose best rate is known."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim


def problem(curvature=1.0):
    p = weft.Parameter(np.full(4, 3.0, np.float32))
    optimizer = optim.SGD([p], lr=0.123, momentum=0.0)
    curvatures = weft.tensor([curvature, 0.3 * curvature, 0.1 * curvature, 0.03 * curvature])
    return p, optimizer, lambda scale: (curvatures * p * p).sum() * (0.5 * scale)


class TestLrFind:
    @pytest.mark.parametrize("curvature", [1.0, 100.0])
    def test_suggestion_is_stable_and_not_timid(self, curvature):
        _, optimizer, loss = problem(curvature)
        found = optim.lr_find(optimizer, loss, [1.0], start_lr=1e-6, end_lr=10.0)
        # gradient descent on ½ c x² in the steepest direction, ½ c x², converges for lr < 2 / c
        assert 0.005 / curvature < found.suggestion < 3 / curvature
        assert found.suggestion in found.lrs

    def test_sweeps_exponentially_and_stops_where_the_loss_explodes(self):
        _, optimizer, loss = problem()
        found = optim.lr_find(optimizer, loss, [1.0, 1.0, 1.0], start_lr=1e-3, end_lr=1e3, num_steps=61)
        ratios = np.array(found.lrs[1:]) / np.array(found.lrs[:-1])
        np.testing.assert_allclose(ratios, 10**0.1, rtol=1e-12)
        assert found.lrs[0] == 1e-3
        assert 10 < len(found.lrs) == len(found.losses) < 61
        assert found.losses[0] == pytest.approx(4.5 * 1.43)

    def test_everything_is_put_back(self):
        p, optimizer, loss = problem()
        loss(1.0).backward()
        optimizer.step()
        before, saved = p.data.copy(), optimizer.state_dict()
        optim.lr_find(optimizer, loss, [1.0])
        np.testing.assert_array_equal(p.data, before)
        assert optimizer.state_dict() == saved
        assert p.grad is None

    def test_put_back_after_an_error_too(self):
        p, optimizer, _ = problem()
        before = p.data.copy()
        with pytest.raises(ZeroDivisionError):
            optim.lr_find(optimizer, lambda batch: p.sum() / (1 / batch), [1.0, 0.0])
        np.testing.assert_array_equal(p.data, before)
        assert optimizer.param_groups[0]["lr"] == 0.123

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"start_lr": 1.0, "end_lr": 0.1}, "`start_lr` must be > 0 and below `end_lr`, got 1.0 and 0.1"),
            ({"num_steps": 2}, "`num_steps` must be ≥ 3, got 2"),
            ({"batches": []}, "`batches` must yield batches"),
            ({"batches": [float("inf")]}, "`loss` must be finite at `start_lr`"),
        ],
    )
    def test_errors(self, options, message):
        _, optimizer, loss = problem()
        with pytest.raises(ValueError, match=message):
            optim.lr_find(optimizer, loss, **({"batches": [1.0]} | options))


class TestLRFinderResult:
    def test_fields(self):
        result = optim.LRFinderResult([0.1], [2.0], 0.1)
        assert (result.lrs, result.losses, result.suggestion) == ([0.1], [2.0], 0.1)
