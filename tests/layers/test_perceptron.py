"""The perceptron against a loop over its rule, and what is known of it: separable data are learned, XOR is not."""

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def rosenblatt(X, y, lr, epochs):
    w, b = np.zeros(X.shape[1]), 0.0
    for _ in range(epochs):
        for x, target in zip(X, y):
            error = target - float(w @ x + b >= 0)
            w, b = w + lr * error * x, b + lr * error
    return w, b


class TestPerceptron:
    @pytest.mark.parametrize("truth", [[0, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1]])
    def test_learns_gates(self, truth):
        neuron = nn.Perceptron(2)
        assert neuron.fit(CORNERS, truth) is neuron
        assert neuron.predict(CORNERS).tolist() == truth
        assert neuron.mistakes[-1] == 0
        assert len(neuron.mistakes) < 20

    def test_xor_never_settles(self):
        neuron = nn.Perceptron(2).fit(CORNERS, [0, 1, 1, 0], epochs=200)
        assert len(neuron.mistakes) == 200
        assert min(neuron.mistakes) > 0
        assert neuron.predict(CORNERS).tolist() != [0, 1, 1, 0]

    def test_follows_the_rule(self, rng):
        X = rng.standard_normal((30, 3))
        y = (rng.random(30) < 0.5).astype(int)
        neuron = nn.Perceptron(3, lr=0.25, dtype=weft.float64).fit(X, y, epochs=4)
        w, b = rosenblatt(X, y, 0.25, 4)
        np.testing.assert_allclose(neuron.weight.numpy(), w, atol=1e-12)
        assert neuron.bias.item() == pytest.approx(b)

    def test_separates_what_is_separable_within_novikoffs_bound(self, rng):
        """At most (R/γ)² mistakes, R being the largest ‖(x, 1)‖ and γ the margin of a separating plane of length 1."""
        X = rng.standard_normal((300, 5))
        plane = np.array([1.0, -2.0, 0.5, 0.0, 1.0, 0.3])
        plane /= np.linalg.norm(plane)
        side = np.c_[X, np.ones(300)] @ plane
        kept = np.abs(side) > 0.2
        X, y = X[kept], (side[kept] > 0).astype(int)
        neuron = nn.Perceptron(5, dtype=weft.float64).fit(X, y, epochs=1000)
        assert neuron.mistakes[-1] == 0
        assert sum(neuron.mistakes) <= (np.linalg.norm(np.c_[X, np.ones(len(X))], axis=1).max() / 0.2) ** 2
        np.testing.assert_array_equal(neuron.predict(X).numpy(), y)

    def test_runs_on_any_array_library(self):
        neuron = nn.Perceptron(2, device="strict").fit(CORNERS, [0, 1, 1, 1])
        assert neuron.predict(CORNERS).device == "strict"
        assert neuron.predict(CORNERS).tolist() == [0, 1, 1, 1]

    def test_is_a_module(self):
        neuron = nn.Perceptron(2)
        assert list(neuron.state_dict()) == ["weight", "bias"]
        assert neuron(weft.zeros(2)).item() == 1.0
        assert repr(neuron) == "Perceptron(in_features=2, lr=1.0)"

    def test_errors(self):
        with pytest.raises(ValueError, match="`lr` must be positive, got 0"):
            nn.Perceptron(2, lr=0)
        with pytest.raises(ValueError, match=r"`X` must have shape \(N, 2\), got \(4, 3\)"):
            nn.Perceptron(2).fit(np.ones((4, 3)), np.ones(4))
        with pytest.raises(ValueError, match=r"`y` must have shape \(4\), got \(3,\)"):
            nn.Perceptron(2).fit(CORNERS, [0, 1, 0])
        with pytest.raises(ValueError, match="`y` must hold 0 and 1 alone; convert signs with"):
            nn.Perceptron(2).fit(CORNERS, [-1, 1, 1, -1])
