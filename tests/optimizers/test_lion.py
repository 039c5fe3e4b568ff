"""Lion against Chen et al.'s program 1, per parameter in float64."""

import numpy as np
import pytest

from weft import optimizers as optim

OPTIONS = [{}, {"lr": 0.1, "betas": (0.5, 0.7), "weight_decay": 0.1}, {"lr": 0.1, "maximize": True}]


def lion(p, g, s, t, o):
    β1, β2 = o.betas
    m = s.get("m", 0)
    direction = np.sign(β1 * m + (1 - β1) * g)
    s["m"] = β2 * m + (1 - β2) * g
    return p - o.lr * (direction + o.weight_decay * p)


class TestLion:
    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    def test_follows_the_paper(self, follows, options):
        follows(optim.Lion, lion, options)
