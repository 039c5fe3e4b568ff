"""Each module gets its own mode back, whatever happens within."""

import pytest

import weft
from weft import layers as nn
from weft.layers.evaluating import evaluating
from weft.training import Predictor, Trainer


def model():
    """In training, but for what is frozen; or the other way round."""
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval(), nn.Sequential(nn.Dropout(0.5)))


def modes(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("is_training", [True, False])
def test_modes_come_back(is_training):
    made = model()
    made.training = is_training
    before = modes(made)
    with evaluating(made):
        assert modes(made) == [False] * 5
    assert modes(made) == before
    with pytest.raises(ZeroDivisionError), evaluating(made):
        _ = 1 / 0
    assert modes(made) == before


def test_evaluation_and_prediction_leave_what_is_frozen():
    made, x = model(), weft.ones((4, 2))
    before = modes(made)
    trainer = Trainer(made, nn.MSELoss(), weft.optimizers.SGD(made.parameters(), lr=0.1))
    trainer.evaluate([(x, x)])
    assert modes(made) == before
    Predictor(made).predict(x.numpy())
    assert modes(made) == before
