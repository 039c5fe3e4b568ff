"""`ZeroRedundancyOptimizer` in one process; in several, see `checks.py`."""

import pytest

import weft
from weft import distributed as dist
from weft import layers as nn
from weft import optimizers as optim


class TestAlone:
    def test_is_the_optimizer(self):
        finals = []
        for make in (optim.AdamW, lambda p, **options: dist.ZeroRedundancyOptimizer(p, optim.AdamW, **options)):
            weft.manual_seed(1)
            model = nn.Linear(3, 2)
            optimizer = make(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                (model(weft.ones((4, 3))) ** 2).sum().backward()
                optimizer.step()
            finals.append(model.weight.tolist())
            assert optimizer.state_dict()["state"][0]["step"] == 3
        assert finals[0] == finals[1]
        assert repr(optimizer).startswith("ZeroRedundancyAdamW")

    def test_wrong_arguments(self):
        p = [weft.Parameter(weft.ones((2, 2)))]
        with pytest.raises(TypeError, match=r"must be a class of optimizers, optim\.Adam say, got 'Adam'"):
            dist.ZeroRedundancyOptimizer(p, "Adam")
        for rule in (optim.Muon, optim.Adafactor, optim.LBFGS):
            with pytest.raises(ValueError, match=f"must have an elementwise rule, got {rule.__name__}"):
                dist.ZeroRedundancyOptimizer(p, rule)
        with pytest.raises(ValueError, match=r"`process_group` must be None, all processes, got .world."):
            dist.ZeroRedundancyOptimizer(p, optim.SGD, process_group="world")
