"""`DistributedDataParallel` in one process; in several, see `checks.py`."""

import pytest

import weft
from weft import distributed as dist
from weft import layers as nn


class TestAlone:
    def test_is_the_module(self):
        module = nn.Linear(3, 2)
        model = dist.DistributedDataParallel(module)
        x = weft.ones((4, 3))
        assert model(x).tolist() == module(x).tolist()
        assert [name for name, _ in model.named_parameters()] == ["module.weight", "module.bias"]
        with model.no_sync():
            model(x).sum().backward()
        assert module.weight.grad is not None

    def test_wrong_arguments(self):
        with pytest.raises(TypeError, match="`module` must be a Module, got 3"):
            dist.DistributedDataParallel(3)
        with pytest.raises(ValueError, match="must have a parameter that requires a gradient"):
            dist.DistributedDataParallel(nn.ReLU())
        with pytest.raises(ValueError, match="`dim` must be 0, the axis of samples, got 1"):
            dist.DistributedDataParallel(nn.Linear(1, 1), dim=1)
        with pytest.raises(ValueError, match="`process_group` must be None, all processes, got 'world'"):
            dist.DistributedDataParallel(nn.Linear(1, 1), process_group="world")
        with pytest.raises(ValueError, match="`bucket_cap_mb` must be positive, got 0"):
            dist.DistributedDataParallel(nn.Linear(1, 1), bucket_cap_mb=0)
        with pytest.raises(TypeError, match="has no argument `bucket`"):
            dist.DistributedDataParallel(nn.Linear(1, 1), bucket=3)
