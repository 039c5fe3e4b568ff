"""What PyTorch is given is the same model."""

import types

import pytest

import weft
from weft import layers
from weft.bench import models
from weft.bench.torch_models import torch_zoo


@pytest.mark.parametrize("model", models.ZOO, ids=lambda m: m.name)
def test_pytorch_builds_the_same_model(model):
    torch = pytest.importorskip("torch")
    theirs = model.build(torch_zoo(torch)).state_dict()
    ours = model.build(models.models).state_dict()
    assert [(name, tuple(value.shape)) for name, value in theirs.items()] == [(n, v.shape) for n, v in ours.items()]


@pytest.mark.parametrize("model", models.ZOO, ids=lambda m: m.name)
def test_the_source_needs_no_more_than_the_layers(model):
    namespace = types.ModuleType("torch")
    vars(namespace).update(nn=layers, Tensor=weft.Tensor)
    theirs, ours = (model.build(zoo).state_dict() for zoo in (torch_zoo(namespace), models.models))
    assert [(name, v.shape) for name, v in theirs.items()] == [(name, v.shape) for name, v in ours.items()]
