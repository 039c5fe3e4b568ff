"""Where the data of a run are: resident on the device, or streamed to it; the weights are the same bits."""

import json
import re

import numpy as np
import pytest

import weft
from weft.__main__ import main
from weft.backend.device import memory
from weft.data import ArrayDataset, DataSplits
from weft.training import load_checkpoint, recipe


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 4)).astype(np.float32), np.arange(60) % 3
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
    return str(tmp_path / "small.npz")


def train(archive, out, *options):
    argv = ["train", "--data", archive, "--model", "mlp", "--hidden", "8", "--epochs", "2", "--batch-size", "20"]
    assert main([*argv, "--out", str(out), *options]) == 0
    return load_checkpoint(out / "model.safetensors", kind="model")["model"]


@pytest.mark.parametrize("resume", [False, True])
def test_the_same_weights_whichever_way(accelerator, archive, tmp_path, monkeypatch, capsys, resume):
    resident = train(archive, tmp_path / "resident", "--device", accelerator, "--schedule", "none")
    assert f"on {accelerator} (data resident, " in capsys.readouterr().out
    if resume:
        train(archive, tmp_path / "streamed", "--device", accelerator, "--schedule", "none", "--epochs", "1")
    monkeypatch.setattr(recipe, "_has_room", lambda device, splits: False)
    if resume:
        assert main(["train", "--resume", str(tmp_path / "streamed"), "--device", accelerator, "--epochs", "2"]) == 0
        streamed = load_checkpoint(tmp_path / "streamed" / "model.safetensors", kind="model")["model"]
    else:
        streamed = train(archive, tmp_path / "streamed", "--device", accelerator, "--schedule", "none")
    assert f"on {accelerator} (data streamed, " in capsys.readouterr().out
    assert streamed.keys() == resident.keys()
    for name in resident:
        np.testing.assert_array_equal(streamed[name], resident[name])


def test_augmented_as_before_after_resuming(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 1, 8, 8), np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
    names = "crop,rotate,jitter,mixup"
    argv = [str(tmp_path / "small.npz"), tmp_path / "whole", "--schedule", "none", "--augment", names]
    whole = train(*argv)
    argv[1] = tmp_path / "broken"
    train(*argv, "--epochs", "1")
    assert main(["train", "--resume", str(tmp_path / "broken"), "--epochs", "2"]) == 0
    resumed = load_checkpoint(tmp_path / "broken" / "model.safetensors", kind="model")["model"]
    plain = train(*argv[:1], tmp_path / "plain", "--schedule", "none")
    for name in whole:
        np.testing.assert_array_equal(resumed[name], whole[name])
    assert any((plain[name] != whole[name]).any() for name in whole)


def test_only_images_are_augmented(archive, tmp_path, capsys):
    assert (
        main(["train", "--data", archive, "--model", "mlp", "--augment", "flip", "--out", str(tmp_path / "run")]) == 2
    )
    assert "--augment flip: only images (C, H, W) are augmented, got samples of shape (4,)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("top", "dtype", "white"), [(16, "uint8", 16), (255, "uint8", None), (1, "float32", None), (255, "float32", 255)]
)
def test_what_is_white(top, dtype, white):
    assert recipe._white(np.array([0, top], dtype)) == white


def test_a_cpu_has_its_data(archive, tmp_path, capsys):
    train(archive, tmp_path / "run", "--device", "cpu")
    assert f"on cpu ({weft.num_threads()} threads)" in capsys.readouterr().out


@pytest.mark.parametrize(("free", "reusable", "has_room"), [(7600, 0, True), (7599, 0, False), (5000, 2600, True)])
def test_data_are_resident_where_they_take_a_quarter_of_what_is_free(monkeypatch, free, reusable, has_room):
    usage = memory.Usage(tensors=10**6, reusable=reusable, captured=0, steps=0, free=free, total=10**7)
    monkeypatch.setattr(memory, "usage", lambda device: {"cuda:1": usage}[device])
    part = ArrayDataset(np.zeros((20, 36), np.uint8), np.zeros(20, np.int16))
    half = ArrayDataset(np.zeros((10, 36), np.uint8), np.zeros(10, np.int16))
    assert recipe._has_room("cuda:1", DataSplits(part, part, half, ("a",))) is has_room  # 1900 bytes
    assert recipe._has_room("emulator", DataSplits(part, part))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", "x"),
        ("hidden", [0]),
        ("model", "vgg"),
        ("epochs", 1.5),
        ("validation", float("nan")),
        ("seed", -1),
        ("augment", ["flop"]),
        ("augment", "flip"),
    ],
)
def test_what_is_no_recipe(name, value):
    saved = recipe.Recipe().to_json() | {name: value}
    with pytest.raises(ValueError, match=re.escape(f"`{name}` of the recipe is {value!r}")):
        recipe.Recipe.from_json(saved)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "hidden": (3,),
            "lr": 1,
            "patience": 2,
            "stratify": False,
            "clip_grad_norm": 0.5,
            "augment": ("flip", "mixup"),
        },
    ],
)
def test_what_is_one(options):
    made = recipe.Recipe(**options)
    assert recipe.Recipe.from_json(json.loads(json.dumps(made.to_json()))) == made
