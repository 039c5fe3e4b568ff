"""A validation that cannot be is told before the first epoch, and trying it leaves no trace."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft import optimizers as optim
from weft.training import Trainer

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 4)).astype("f"), np.arange(12) % 3


def trainer():
    weft.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (
            (X, np.where(np.arange(12) == 5, 100_000_000, Y)),
            r"must hold classes in \[0, 3\), .*got 100000000 in sample 5",
        ),
        ((X[:, :3], Y), r"`input` must have shape"),
    ],
)
def test_is_told_before_the_first_epoch(validation, message):
    t = trainer()
    before = [p.tolist() for p in t.model.parameters()]
    with pytest.raises((ValueError, IndexError), match=message):
        t.fit((X, Y), validation, epochs=1)
    assert [p.tolist() for p in t.model.parameters()] == before


def test_leaves_no_trace():
    """The same weights as without a validation, whose random numbers would be others."""
    weights = []
    for validation in (None, (X, Y)):
        t = trainer()
        t.fit((X, Y), validation, epochs=2)
        assert t.model.training
        assert len(t.history) == 2
        weights.append([p.tolist() for p in t.model.parameters()])
    assert weights[0] == weights[1]
