"""The zoo is complete, and its benches state what they do."""

import numpy as np

from weft.bench import models
from weft.bench.machine import Machine
from weft.layers.models import MODELS


def test_a_row_for_each_model():
    assert [m.name for m in models.ZOO] == list(MODELS), (
        "a model of layers.models needs its row in bench/models.py: ZOO"
    )


def test_operations_and_samples():
    """784·128 + 128·64 + 64·10 = 109,184 multiplications; in training, twice again but for the first layer's input."""
    machine = Machine("cpu", np)
    training = models.training(machine, models.ZOO[0], 16, "float32")
    assert training.work == 2 * 16 * (3 * 109_184 - 784 * 128)
    assert (training.units, training.unit) == (16, "samples")
    assert training.about == "MLP training, 1×28×28, batch 16, float32"
    assert models.inference(machine, models.ZOO[0], 16, "float32").work == 2 * 16 * 109_184


def test_half_precision_is_for_gpus():
    assert not [b for b in models.benches("cpu") if "bfloat16" in b.name]
    assert {b.sizes["batch"] for b in models.benches("cuda") if b.name.startswith("resnet18")} == {128}
