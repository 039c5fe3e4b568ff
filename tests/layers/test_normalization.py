"""Normalising layers: state, running statistics, training and evaluation; formulas are tested in `functional`."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.layers import functional as F


def t(x):
    return weft.tensor(x)


class TestBatchNorm:
    def test_state(self):
        norm = nn.BatchNorm2d(3)
        assert {k: v.tolist() for k, v in norm.state_dict().items()} == {
            "weight": [1.0] * 3,
            "bias": [0.0] * 3,
            "running_mean": [0.0] * 3,
            "running_var": [1.0] * 3,
            "num_batches_tracked": 0,
        }
        assert norm.num_batches_tracked.dtype == weft.int64
        assert [k for k, _ in norm.named_parameters()] == ["weight", "bias"]
        assert list(nn.BatchNorm1d(3, affine=False, track_running_stats=False).state_dict()) == []
        assert next(iter(nn.BatchNorm1d(3, bias=False).state_dict())) == "weight"

    def test_running_statistics_follow_the_batches(self, rng):
        norm, mean, var = nn.BatchNorm1d(4, momentum=0.3).double(), np.zeros(4), np.ones(4)
        for step in range(3):
            x = rng.standard_normal((6, 4)) + 2
            norm(t(x))
            mean, var = 0.7 * mean + 0.3 * x.mean(0), 0.7 * var + 0.3 * x.var(0, ddof=1)
            assert norm.num_batches_tracked.item() == step + 1
        np.testing.assert_allclose(norm.running_mean.numpy(), mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_var.numpy(), var, rtol=1e-12)
        x = rng.standard_normal((6, 4))
        np.testing.assert_allclose(norm.eval()(t(x)).detach().numpy(), (x - mean) / np.sqrt(var + 1e-5), rtol=1e-12)
        np.testing.assert_allclose(norm.running_mean.numpy(), mean, rtol=1e-12)
        assert norm.num_batches_tracked.item() == 3

    def test_momentum_none_averages_all_batches(self, rng):
        norm, batches = nn.BatchNorm1d(2, momentum=None).double(), rng.standard_normal((5, 8, 2))
        for x in batches:
            norm(t(x))
        np.testing.assert_allclose(norm.running_mean.numpy(), batches.mean((0, 1)), rtol=1e-12)
        np.testing.assert_allclose(norm.running_var.numpy(), batches.var(1, ddof=1).mean(0), rtol=1e-12)

    def test_without_running_statistics_evaluation_uses_the_batch(self, rng):
        norm, x = nn.BatchNorm1d(2, track_running_stats=False).double(), t(rng.standard_normal((5, 2)))
        np.testing.assert_array_equal(norm(x).detach().numpy(), norm.eval()(x).detach().numpy())

    def test_statistics_are_not_on_the_tape_and_stay_in_place(self, rng):
        norm = nn.BatchNorm1d(2)
        memory = norm.running_mean.data
        norm(weft.randn(4, 2, requires_grad=True)).sum().backward()
        assert norm.running_mean.data is memory
        assert norm.running_mean.is_leaf
        assert not norm.running_mean.requires_grad

    def test_reset(self, rng):
        norm = nn.BatchNorm1d(2)
        norm(weft.randn(4, 2))
        norm.weight.data[...] = 5
        norm.reset_running_stats()
        assert (norm.running_mean.tolist(), norm.num_batches_tracked.item()) == ([0.0, 0.0], 0)
        assert norm.weight.tolist() == [5.0, 5.0]
        norm.reset_parameters()
        assert norm.weight.tolist() == [1.0, 1.0]
        nn.BatchNorm1d(2, affine=False, track_running_stats=False).reset_parameters()

    def test_repr(self):
        assert (
            repr(nn.BatchNorm2d(3))
            == "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"
        )

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`input` of BatchNorm2d must have shape \(N, C, H, W\), got \(2, 3\)"):
            nn.BatchNorm2d(3)(weft.ones((2, 3)))
        with pytest.raises(
            ValueError, match=r"`input` of BatchNorm1d must have shape \(N, C, L\) or \(N, C\), got \(3,\)"
        ):
            nn.BatchNorm1d(3)(weft.ones(3))
        with pytest.raises(
            ValueError,
            match=r"`running_mean` must have shape \(4,\), one for each channel of `input` \(2, 4\), got \(3,\)",
        ):
            nn.BatchNorm1d(3)(weft.ones((2, 4)))


class TestInstanceNorm:
    def test_is_plain_unless_asked(self):
        assert list(nn.InstanceNorm2d(3).state_dict()) == []
        named = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
        assert list(nn.InstanceNorm2d(3, affine=True, track_running_stats=True).state_dict()) == named

    @pytest.mark.parametrize("layer", [nn.InstanceNorm1d(3).double(), nn.InstanceNorm2d(3).double()])
    def test_takes_one_example(self, rng, layer):
        x = rng.standard_normal((1, 3, 4, 5)[: max(layer.dims)])
        np.testing.assert_array_equal(layer(t(x))[0].numpy(), layer(t(x[0])).numpy())

    def test_running_statistics_count_in_evaluation_alone(self, rng):
        norm = nn.InstanceNorm1d(3, track_running_stats=True, momentum=0.5).double()
        x = rng.standard_normal((4, 3, 6))
        np.testing.assert_allclose(norm(t(x)).numpy(), F.instance_norm(t(x)).numpy(), atol=1e-12)
        np.testing.assert_allclose(norm.running_mean.numpy(), 0.5 * x.mean((0, 2)), atol=1e-12)
        expected = F.batch_norm(t(x), norm.running_mean, norm.running_var).numpy()
        np.testing.assert_allclose(norm.eval()(t(x)).numpy(), expected, atol=1e-12)

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"`input` of InstanceNorm2d must have shape \(N, C, H, W\) or \(C, …\), got \(2, 3\)"
        ):
            nn.InstanceNorm2d(3)(weft.ones((2, 3)))


class TestOthers:
    def test_state(self):
        assert {k: v.shape for k, v in nn.LayerNorm((2, 3)).state_dict().items()} == {"weight": (2, 3), "bias": (2, 3)}
        assert list(nn.LayerNorm(3, bias=False).state_dict()) == ["weight"]
        assert list(nn.LayerNorm(3, elementwise_affine=False).state_dict()) == []
        assert {k: v.shape for k, v in nn.RMSNorm([2, 3]).state_dict().items()} == {"weight": (2, 3)}
        assert {k: v.shape for k, v in nn.GroupNorm(2, 4).state_dict().items()} == {"weight": (4,), "bias": (4,)}
        assert list(nn.GroupNorm(2, 4, affine=False).state_dict()) == []

    def test_arguments_reach_the_function(self, rng):
        x = t(rng.standard_normal((2, 4, 3)))
        for layer, expected in [
            (nn.LayerNorm((4, 3), eps=0.1), F.layer_norm(x, (4, 3), eps=0.1)),
            (nn.RMSNorm(3, eps=0.1), F.rms_norm(x, (3,), eps=0.1)),
            (nn.GroupNorm(2, 4, eps=0.1), F.group_norm(x, 2, eps=0.1)),
        ]:
            np.testing.assert_allclose(layer.double()(x).detach().numpy(), expected.numpy(), atol=1e-12)

    def test_reset(self):
        norm = nn.LayerNorm(2)
        norm.weight.data[...], norm.bias.data[...] = 5, 5
        norm.reset_parameters()
        assert (norm.weight.tolist(), norm.bias.tolist()) == ([1.0, 1.0], [0.0, 0.0])

    def test_repr(self):
        assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=True)"
        assert repr(nn.RMSNorm(3)) == "RMSNorm((3,), eps=None, elementwise_affine=True)"
        assert repr(nn.GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)"

    def test_errors(self):
        with pytest.raises(ValueError, match="`num_groups` must divide `num_channels`, got 3 and 4"):
            nn.GroupNorm(3, 4)


class TestSyncBatchNorm:
    @pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (2, 3, 2, 2), (2, 3, 1, 2, 2)])
    def test_its_numbers_are_those_of_the_others(self, rng, shape):
        other = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)](3).double()
        norm = nn.SyncBatchNorm.convert_sync_batchnorm(other)
        assert type(norm) is nn.SyncBatchNorm
        assert norm.weight is other.weight
        x = rng.standard_normal(shape)
        np.testing.assert_array_equal(norm(t(x)).detach().numpy(), other(t(x)).detach().numpy())

    def test_conversion(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.ReLU())).eval()
        assert nn.SyncBatchNorm.convert_sync_batchnorm(net) is net
        norm = net[1][0]
        assert (type(norm), norm.momentum, norm.training) == (nn.SyncBatchNorm, None, False)
        assert list(net.state_dict())[2:] == [
            f"1.0.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        ]

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`input` of SyncBatchNorm must have shape \(N, C, …\), got \(3,\)"):
            nn.SyncBatchNorm(3)(weft.ones(3))
        with pytest.raises(ValueError, match="`process_group` must be None, all processes, got 'world'"):
            nn.SyncBatchNorm(3, process_group="world")


class TestThreeDimensions:
    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"`input` of BatchNorm3d must have shape \(N, C, D, H, W\), got \(2, 3, 4, 4\)"
        ):
            nn.BatchNorm3d(3)(weft.ones((2, 3, 4, 4)))

    def test_takes_one_example(self, rng):
        x = rng.standard_normal((1, 3, 2, 4, 5))
        norm = nn.InstanceNorm3d(3).double()
        np.testing.assert_array_equal(norm(t(x))[0].numpy(), norm(t(x[0])).numpy())


class TestLocalResponse:
    def test_across_maps(self):
        """PyTorch 2.13's numbers: torch.nn.CrossMapLRN2d(size, 1.0, 1.0, 1.0)(x)."""
        x = t(np.arange(1.0, 6).reshape(1, 5, 1, 1))
        expected = {2: [2 / 3, 4 / 7, 0.5, 8 / 19, 5 / 14], 3: [3 / 8, 6 / 17, 3 / 11, 2 / 9, 1 / 3]}
        for size, numbers in expected.items():
            np.testing.assert_allclose(nn.CrossMapLRN2d(size, 1.0, 1.0, 1.0)(x).flatten().numpy(), numbers)

    def test_arguments_reach_the_function(self, rng):
        x = t(rng.standard_normal((2, 4, 3)))
        expected = F.local_response_norm(x, 3, 0.5, 0.6, 2.0).numpy()
        np.testing.assert_array_equal(nn.LocalResponseNorm(3, 0.5, 0.6, 2.0)(x).numpy(), expected)

    def test_repr(self):
        assert repr(nn.LocalResponseNorm(2)) == "LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)"
        assert repr(nn.CrossMapLRN2d(2)) == "CrossMapLRN2d(2, alpha=0.0001, beta=0.75, k=1)"

    def test_errors(self):
        with pytest.raises(ValueError, match=r"`input` must have shape \(N, C, H, W\), got \(2, 3, 4\)"):
            nn.CrossMapLRN2d(2)(weft.ones((2, 3, 4)))
        with pytest.raises(ValueError, match=r"`size` must be an integer .*got 0"):
            nn.LocalResponseNorm(0)
