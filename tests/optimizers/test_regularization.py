"""Penalties and decay groups against NumPy."""

import numpy as np
import pytest

import weft
from weft import optimizers as optim


@pytest.fixture
def params(rng):
    return [weft.Parameter(rng.standard_normal(shape)) for shape in [(3, 4), (4,), (2, 2, 2)]]


class TestL1Penalty:
    @pytest.mark.parametrize("biases", [False, True])
    def test_value_and_gradient(self, params, biases):
        penalty = optim.l1_penalty(iter(params), 0.5, biases=biases)
        penalty.backward()
        chosen = params if biases else [params[0], params[2]]
        assert penalty.item() == pytest.approx(0.5 * sum(np.abs(p.data).sum() for p in chosen), rel=1e-12)
        for p in chosen:
            np.testing.assert_array_equal(p.grad.data, 0.5 * np.sign(p.data))
        assert biases or params[1].grad is None


class TestL2Penalty:
    @pytest.mark.parametrize("biases", [False, True])
    def test_value_and_gradient(self, params, biases):
        penalty = optim.l2_penalty(iter(params), 0.5, biases=biases)
        penalty.backward()
        chosen = params if biases else [params[0], params[2]]
        assert penalty.item() == pytest.approx(0.25 * sum((p.data**2).sum() for p in chosen), rel=1e-12)
        for p in chosen:
            np.testing.assert_allclose(p.grad.data, 0.5 * p.data, rtol=1e-12)

    def test_is_weight_decay(self, params):
        copies = [weft.Parameter(p.data.copy()) for p in params]
        decayed = optim.SGD(optim.decay_groups(params, 0.3), lr=0.1)
        for p in params:
            p.grad = weft.zeros_like(p)
        decayed.step()
        penalised = optim.SGD(copies, lr=0.1)
        optim.l2_penalty(copies, 0.3).backward()
        penalised.step()
        for p, q in zip(params, copies):
            np.testing.assert_allclose(p.data, q.data, rtol=1e-12)

    def test_nothing_to_penalise(self, params):
        with pytest.raises(ValueError, match="`parameters` must hold a weight of two axes or more"):
            optim.l2_penalty([params[1]])


class TestDecayGroups:
    def test_split(self, params):
        weights, others = optim.decay_groups(iter(params), 0.1)
        assert weights["weight_decay"] == 0.1
        assert [p is q for p, q in zip(weights["params"], [params[0], params[2]])] == [True, True]
        assert others["weight_decay"] == 0.0
        assert others["params"][0] is params[1]

    def test_no_empty_group(self, params):
        assert len(optim.decay_groups(params[1:2], 0.1)) == 1
