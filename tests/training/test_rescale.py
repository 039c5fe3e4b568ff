"""Units of a regression's targets, against NumPy in float64."""

import numpy as np
import pytest

import weft
from weft.training import build_model, load_model, save_model
from weft.training.rescale import RelativeMSE, Rescale, spread

ARCHITECTURE = {"name": "mlp", "input_shape": [4], "num_classes": 2, "hidden": [8]}


@pytest.fixture
def targets(rng):
    return rng.normal([2000.0, -5.0], [300.0, 0.1], (50, 2)).astype(np.float32)


def test_spread(targets):
    found = spread(targets)
    np.testing.assert_allclose(found["mean"], targets.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(found["std"], targets.astype(np.float64).std(axis=0))
    assert spread(np.ones((3, 1), np.float32)) == {"mean": [1.0], "std": [1.0]}  # all alike


def test_the_loss_is_that_of_standardised_targets(rng, targets):
    scale, z = spread(targets), weft.asarray(rng.standard_normal((50, 2)).astype(np.float32))
    z.requires_grad = True
    values = z.detach().numpy()
    loss = RelativeMSE(scale["std"])(Rescale(**scale)(z), weft.asarray(targets))
    loss.backward()
    y = (targets.astype(np.float64) - scale["mean"]) / scale["std"]
    np.testing.assert_allclose(loss.item(), ((values - y) ** 2).mean(), rtol=1e-4)
    np.testing.assert_allclose(z.grad.numpy(), 2 * (values - y) / y.size, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_saved_and_loaded(tmp_path, name):
    shape = {"name": "mlp", "input_shape": [3, 8, 8], "num_classes": 2, "hidden": [8]}
    shape = shape if name == "mlp" else {"name": name, "input_shape": [3, 8, 8], "num_classes": 2}
    architecture = shape | {"output": {"mean": [3.0, 4.0], "std": [1e-6, 1e-6]}}
    save_model(tmp_path / "m.safetensors", build_model(architecture), architecture=architecture)
    predicted = load_model(tmp_path / "m.safetensors").predict(np.ones((2, 3, 8, 8), np.float32))
    np.testing.assert_allclose(predicted, [[3, 4]] * 2, rtol=1e-3)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"mean": [0.0], "std": [0.0]}, "`std` must be positive, got 0.0"),
        ({"mean": [0.0], "std": [1.0, 1.0]}, "`std` must be a list of a number for each target"),
        ({"mean": [], "std": []}, "`mean` must be a list"),
        ({"mean": 1.0, "std": [1.0]}, "`mean` must be a list"),
        ({"mean": [float("nan")], "std": [1.0]}, "`mean` must be"),
    ],
)
def test_what_is_no_scale(output, message):
    with pytest.raises(ValueError, match=message):
        build_model(ARCHITECTURE | {"output": output})
