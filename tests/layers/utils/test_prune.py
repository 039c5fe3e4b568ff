"""Pruning, whose masks follow from the definition: NumPy finds the least by itself."""

import copy

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.layers.utils import prune


@pytest.fixture
def layer():
    """Weights of distinct sizes, 0.1 … 1.2, of mixed signs."""
    layer = nn.Linear(3, 4)
    values = np.random.default_rng(0).permutation(np.arange(1, 13)).reshape(4, 3) / 10
    with weft.no_grad():
        layer.weight[:] = weft.asarray((values * (-1) ** np.arange(12).reshape(4, 3)).astype(np.float32))
    return layer


class TestUnstructured:
    def test_the_least_go_and_stay_away(self, layer):
        size = abs(layer.weight.detach().numpy())
        assert prune.l1_unstructured(layer, "weight", amount=0.25) is layer
        np.testing.assert_array_equal(layer.weight_mask.numpy(), size > 0.35)
        prune.l1_unstructured(layer, "weight", amount=3)  # of the nine that are left
        np.testing.assert_array_equal(layer.weight_mask.numpy(), size > 0.65)
        np.testing.assert_allclose(abs(layer.weight.detach().numpy()), size * (size > 0.65))

    def test_scores_of_ones_own(self, layer):
        scores = weft.asarray(np.arange(12, dtype=np.float32).reshape(4, 3))
        prune.l1_unstructured(layer, "weight", amount=5, importance_scores=scores)
        np.testing.assert_array_equal(layer.weight_mask.numpy().ravel(), np.arange(12) >= 5)

    def test_at_random(self, layer):
        for left in (9, 6, 3):
            prune.random_unstructured(layer, "weight", amount=3)
            assert int(layer.weight_mask.sum()) == left


class TestStructured:
    def test_rows_of_least_norm(self, layer):
        norms = (layer.weight.detach().numpy() ** 2).sum(1)
        for gone in (1, 2):
            prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)
            wanted = (norms > np.sort(norms)[gone - 1])[:, None].repeat(3, 1)
            np.testing.assert_array_equal(layer.weight_mask.numpy(), wanted)

    def test_columns_at_random(self, layer):
        prune.random_structured(layer, "weight", amount=2, dim=1)
        columns = layer.weight_mask.numpy().sum(0)
        assert sorted(columns) == [0, 0, 4]


def test_globally(layer):
    """Of two layers, the least of all."""
    other = nn.Linear(2, 2)
    with weft.no_grad():
        other.weight[:] = weft.asarray([[0.01, -0.02], [5.0, 6.0]])
    parts = [(layer, "weight"), (other, "weight")]
    size = abs(layer.weight.detach().numpy())
    for limit in (0.25, 0.65):
        prune.global_unstructured(parts, prune.L1Unstructured, amount=4)
        np.testing.assert_array_equal(layer.weight_mask.numpy(), size > limit)
        assert other.weight_mask.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    with pytest.raises(TypeError, match="`pruning_method` must be an unstructured one, got LnStructured"):
        prune.global_unstructured(parts, prune.LnStructured, amount=1, n=2)


def test_trained_and_removed(layer):
    """What is pruned gets no gradient; state, copies and `remove` keep it away."""
    prune.l1_unstructured(layer, "weight", amount=6)
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_mask"]
    assert prune.is_pruned(nn.Sequential(layer))
    before, mask = layer.weight_orig.detach().numpy().copy(), layer.weight_mask.numpy()
    layer(weft.ones((2, 3))).sum().backward()
    np.testing.assert_array_equal(layer.weight_orig.grad.numpy(), 2 * mask)
    optim.SGD(layer.parameters(), lr=0.5).step()
    np.testing.assert_allclose(layer.weight_orig.detach().numpy(), before - mask, rtol=1e-6)
    twin = copy.deepcopy(layer)
    wanted = layer.weight.detach().numpy()
    np.testing.assert_array_equal(prune.remove(layer, "weight").weight.detach().numpy(), wanted)
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert not prune.is_pruned(layer)
    assert isinstance(layer.weight, weft.Parameter)
    assert (wanted[mask == 0] == 0).all()
    np.testing.assert_array_equal(twin.weight.detach().numpy(), wanted)
    assert prune.is_pruned(twin)


def test_a_method_of_ones_own(layer):
    class EveryOther(prune.BasePruningMethod):
        def compute_mask(self, t, default_mask):
            mask = default_mask.clone()
            mask.reshape(-1)[::2] = 0
            return mask

    EveryOther.apply(layer, "bias")
    assert layer.bias_mask.tolist() == [0.0, 1.0, 0.0, 1.0]
    EveryOther.apply(layer, "bias")  # of the two that are left
    assert layer.bias_mask.tolist() == [0.0, 0.0, 0.0, 1.0]
    prune.identity(layer, "weight")
    assert layer.weight_mask.tolist() == np.ones((4, 3)).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", 1.5), "`amount` must be a count ≥ 0, or a float, .* got 1.5"),
        (lambda m: prune.random_unstructured(m, "bias", 5), "`amount` must be at most 4, .* got 5"),
        (lambda m: prune.remove(m, "weight"), "`name` must be that of a pruned parameter of Linear, got 'weight'"),
        (lambda m: prune.identity(m, "x"), "`name` must be that of a parameter of Linear, got 'x'"),
        (
            lambda m: prune.l1_unstructured(m, "bias", 1, importance_scores=weft.ones(3)),
            r"`importance_scores` must have the parameter's shape \(4,\), got \(3,\)",
        ),
    ],
)
def test_what_is_refused(layer, call, message):
    with pytest.raises(ValueError, match=message):
        call(layer)
    assert list(layer.state_dict()) == ["weight", "bias"]
