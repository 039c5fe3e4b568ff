"""What PyTorch is given is the same model."""

import pytest

from weft.bench import models
from weft.bench.torch_models import torch_zoo


@pytest.mark.parametrize("model", models.ZOO, ids=lambda m: m.name)
def test_pytorch_builds_the_same_model(model):
    torch = pytest.importorskip("torch")
    theirs = model.build(torch_zoo(torch)).state_dict()
    ours = model.build(models.models).state_dict()
    assert [(name, tuple(value.shape)) for name, value in theirs.items()] == [(n, v.shape) for n, v in ours.items()]
