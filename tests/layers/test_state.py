"""state_dict and load_state_dict, against what PyTorch's documentation says of them; here loading is all or nothing."""

import harness  # noqa: F401  (registers the device "strict")
import numpy as np
import pytest

import weft
from weft import layers as nn


class TestStateDict:
    def test_round_trip(self):
        net, other = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
        result = other.load_state_dict(net.state_dict())
        assert result == ([], [])
        assert result.missing_keys == [] == result.unexpected_keys
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy())

    def test_values_share_memory_and_are_off_the_tape(self):
        net = nn.Linear(2, 1)
        assert net.state_dict()["bias"].data is net.bias.data
        assert not net.state_dict()["bias"].requires_grad
        assert net.state_dict(keep_vars=True)["bias"] is net.bias
        assert "net.bias" in net.state_dict(prefix="net.")

    def test_loading_writes_into_the_memory_that_is_there(self):
        net = nn.Linear(2, 1)
        arena = np.zeros(2, np.float32)
        net.weight.data = arena.reshape(1, 2)
        net.load_state_dict({"weight": [[3.0, 4.0]], "bias": np.array([1], np.int64)})
        assert arena.tolist() == [3.0, 4.0]
        assert net.bias.tolist() == [1.0]

    def test_assigned_values_are_the_parameters(self):
        """With PyTorch's `assign`: their dtype and their memory, and what was not learned still is not."""
        net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        net[0].weight.requires_grad_(False)
        before = {name: p.requires_grad for name, p in net.named_parameters()}
        given = {k: v.double() if v.dtype == weft.float32 else v for k, v in net.state_dict().items()}
        assert net.load_state_dict(given, assign=True) == ([], [])
        assert {name: p.requires_grad for name, p in net.named_parameters()} == before
        assert net[0].weight.dtype == net[1].running_mean.dtype == weft.float64
        assert all(v.data is given[k].data for k, v in net.state_dict().items())
        assert list(net.state_dict()) == list(given)
        net(weft.ones((4, 2), dtype=weft.float64)).sum().backward()

    def test_assigned_values_must_be_numbers_that_can_be_learned(self):
        net = nn.Linear(2, 1)
        weight = net.weight
        given = {"weight": weft.asarray([[1, 2]]), "bias": weft.zeros(1)}
        with pytest.raises(RuntimeError, match="dtype: weight must be of a real floating-point one, got int64"):
            net.load_state_dict(given, assign=True)
        assert net.weight is weight

    def test_values_may_be_of_another_device_and_dtype(self):
        net = nn.Linear(2, 1).to("strict")
        net.load_state_dict(nn.Linear(2, 1).double().state_dict())
        assert net.weight.device == "strict"
        assert net.weight.dtype == weft.float32

    def test_foreign_tensors_are_detached_and_brought_to_the_host(self):
        """What PyTorch's tensors ask for; bfloat16 has no NumPy dtype, and comes as float32."""

        class Foreign:
            def __init__(self, values, dtype):
                self.values, self.dtype, self.steps = values, dtype, []

            def detach(self):
                self.steps.append("detach")
                return self

            def cpu(self):
                self.steps.append("cpu")
                return self

            def float(self):
                self.steps.append("float")
                return self

            def __array__(self, dtype=None, copy=None):
                return np.asarray(self.values, dtype)

        weight, bias = Foreign([[1.0, 2.0]], "torch.bfloat16"), Foreign([3.0], "torch.float32")
        net = nn.Linear(2, 1)
        net.load_state_dict({"weight": weight, "bias": bias})
        assert (weight.steps, bias.steps) == (["detach", "cpu", "float"], ["detach", "cpu"])
        assert net.weight.tolist() == [[1.0, 2.0]]

    def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_loaded(self):
        net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
        wrong = {"0.weight": np.ones((3, 2)), "0.bias": np.ones(4), "1.weight": np.ones((3, 1)), "extra": np.ones(1)}
        with pytest.raises(RuntimeError) as error:
            net.load_state_dict(wrong)
        assert str(error.value).split("\n  ") == [
            "`state_dict` must fit Sequential, and nothing of it was loaded:",
            "shape: 0.bias must have (3,), got (4,)",
            "shape: 1.weight must have (1, 3), got (3, 1)",
            "missing: 1.bias",
            "unexpected: extra",
        ]
        for name, value in before.items():
            np.testing.assert_array_equal(net.state_dict()[name].numpy(), value)

    def test_not_strict(self):
        net = nn.Linear(2, 1)
        assert net.load_state_dict({"bias": [7.0], "other": [1.0]}, strict=False) == (["weight"], ["other"])
        assert net.bias.tolist() == [7.0]
        with pytest.raises(RuntimeError, match=r"bias must have \(1,\), got \(2,\)"):
            net.load_state_dict({"bias": [7.0, 8.0]}, strict=False)

    def test_a_common_prefix_is_pointed_out(self):
        net = nn.Linear(2, 1)
        with pytest.raises(RuntimeError, match=r"prefix; remove it: .*removeprefix\('module\.'\)"):
            net.load_state_dict({f"module.{k}": v for k, v in net.state_dict().items()})

    def test_what_cannot_be_read(self):
        with pytest.raises(TypeError, match="`state_dict` must be a mapping of names to arrays, got list"):
            nn.Linear(2, 1).load_state_dict([1])
        with pytest.raises(TypeError, match=r"`state_dict\['bias'\]` must be an array of numbers, got str"):
            nn.Linear(2, 1).load_state_dict({"weight": np.ones((1, 2)), "bias": "one"})

    def test_num_batches_tracked_may_be_missing(self):
        net = nn.BatchNorm1d(2)
        state = net.state_dict()
        del state["num_batches_tracked"]
        assert net.load_state_dict(state) == ([], [])


def test_a_name_that_is_nearly_right_is_told():
    state = dict(nn.Linear(2, 3).state_dict())
    state["wieght"] = state.pop("weight")
    with pytest.raises(RuntimeError, match=r"missing: weight\n  unexpected: wieght; is it `weight`\?"):
        nn.Linear(2, 3).load_state_dict(state)
