"""Names of outputs, against models that tell how many classes they have and models that do not."""

import pytest

from weft import layers as nn
from weft.training.class_names import checked

THREE = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.Softmax(-1))


@pytest.mark.parametrize(
    ("names", "model", "architecture"),
    [
        (["a", "b", "c"], THREE, None),
        (("a", "b", "c"), None, {"name": "mlp", "num_classes": 3}),
        (["no", "yes"], nn.Linear(4, 1), None),  # one score tells them apart
        ([], THREE, None),
        (["a"], nn.Sequential(nn.Linear(4, 3), nn.ReLU()), None),  # not told by such a model
    ],
)
def test_fits(names, model, architecture):
    assert checked(names, model, architecture) == tuple(names)


@pytest.mark.parametrize(
    ("names", "model", "error", "message"),
    [
        ("abc", THREE, TypeError, "must be a list of words, such as .*, got 'abc'"),
        ((0, 7, 14), THREE, TypeError, r"must be a list of words, .*got \(0, 7, 14\)"),
        (["a", "b", "a"], THREE, ValueError, "must be different, got 'a' twice"),
        (["a", "b"], THREE, ValueError, "must name the 3 classes of the model, got 2 names"),
        (["a"], nn.Linear(4, 1), ValueError, "must name the 2 classes of the model, which its one score tells apart"),
    ],
)
def test_does_not(names, model, error, message):
    with pytest.raises(error, match=f"`class_names` {message}"):
        checked(names, model)
