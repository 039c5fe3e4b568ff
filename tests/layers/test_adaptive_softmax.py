"""Against the two steps written out in NumPy, for every class; gradients are in `test_every_layer.py`."""

import numpy as np
import pytest

import weft
from weft import layers as nn


def log_softmax(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def reference(layer, x):
    """log p of every class."""
    weights = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    head = log_softmax(x @ weights["head.weight"].T + weights.get("head.bias", 0))
    parts = [head[:, : layer.shortlist_size]]
    for i in range(layer.n_clusters):
        hidden = x @ weights[f"tail.{i}.0.weight"].T
        parts.append(log_softmax(hidden @ weights[f"tail.{i}.1.weight"].T) + head[:, [layer.shortlist_size + i]])
    return np.concatenate(parts, 1)


@pytest.mark.parametrize(
    ("cutoffs", "options"), [([3, 6], {}), ([1], {"head_bias": True}), ([2, 5, 8], {"div_value": 1.5})]
)
class TestNumbers:
    def layer(self, cutoffs, options):
        weft.manual_seed(1)
        return nn.AdaptiveLogSoftmaxWithLoss(16, 10, cutoffs, **options).double()

    def test_probabilities(self, cutoffs, options, rng):
        layer, x = self.layer(cutoffs, options), rng.standard_normal((7, 16)) * 3
        log_p = layer.log_prob(weft.tensor(x)).detach().numpy()
        np.testing.assert_allclose(log_p, reference(layer, x), atol=1e-12)
        np.testing.assert_allclose(np.exp(log_p).sum(1), 1, rtol=1e-12)
        np.testing.assert_array_equal(layer.predict(weft.tensor(x)).numpy(), log_p.argmax(1))

    def test_loss(self, cutoffs, options, rng):
        layer, x, target = self.layer(cutoffs, options), rng.standard_normal((10, 16)), rng.permutation(10)
        output, loss = layer(weft.tensor(x), weft.tensor(target))
        expected = reference(layer, x)[np.arange(10), target]
        np.testing.assert_allclose(output.detach().numpy(), expected, atol=1e-12)
        assert loss.item() == pytest.approx(-expected.mean(), rel=1e-12)
        one = layer(weft.tensor(x[3]), weft.tensor(int(target[3])))
        assert one.output.shape == ()
        assert one.output.item() == pytest.approx(expected[3], rel=1e-12)
        assert one.loss.item() == -one.output.item()


def test_the_gradient_is_that_of_the_log_probability(rng):
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 9, [2, 5], head_bias=True).double()
    x, target = weft.tensor(rng.standard_normal((6, 8))), weft.tensor([0, 8, 3, 1, 4, 7])
    layer(x, target).loss.backward()
    found = [p.grad.numpy().copy() for p in layer.parameters()]
    layer.zero_grad()
    nn.functional.nll_loss(layer.log_prob(x), target).backward()
    for a, p in zip(found, layer.parameters()):
        np.testing.assert_allclose(a, p.grad.numpy(), atol=1e-12)


def test_state_is_pytorch_s():
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 10, [3, 6], head_bias=True)
    shapes = {name: p.shape for name, p in layer.state_dict().items()}
    assert shapes == {
        "head.weight": (5, 16), "head.bias": (5,), "tail.0.0.weight": (4, 16), "tail.0.1.weight": (3, 4),
        "tail.1.0.weight": (1, 16), "tail.1.1.weight": (4, 1),
    }  # fmt: skip
    assert (layer.cutoffs, layer.shortlist_size, layer.n_clusters, layer.head_size) == ([3, 6, 10], 3, 2, 5)
    before = layer.tail[1][0].weight.detach().numpy().copy()
    layer.reset_parameters()
    assert (layer.tail[1][0].weight.detach().numpy() != before).all()


def test_errors():
    for cutoffs in ([], [0, 3], [3, 3], [5, 2], [3, 10]):
        with pytest.raises(ValueError, match=r"`cutoffs` must ascend within 1 … 9, and be at least one, got \["):
            nn.AdaptiveLogSoftmaxWithLoss(4, 10, cutoffs)
    with pytest.raises(ValueError, match=r"`cutoffs` must be an integer, got 2.5"):
        nn.AdaptiveLogSoftmaxWithLoss(4, 10, [2.5])
    with pytest.raises(TypeError, match=r"`cutoffs` must be a sequence of integers, got 3"):
        nn.AdaptiveLogSoftmaxWithLoss(4, 10, 3)
    layer = nn.AdaptiveLogSoftmaxWithLoss(4, 10, [3])
    with pytest.raises(ValueError, match=r"shapes \(N, 4\) and \(N,\), or \(4,\) and \(\), got \(2, 4\) and \(3,\)"):
        layer(weft.ones((2, 4)), weft.tensor([1, 2, 3]))
    with pytest.raises(IndexError, match=r"`target` must hold classes in \[0, 10\); at position 1, got 10"):
        layer(weft.ones((2, 4)), weft.tensor([1, 10]))
    with pytest.raises(TypeError, match="`target_` must have an integer dtype, got float32"):
        layer(weft.ones((2, 4)), weft.ones(2))
