"""The command line on data as people have them: tables, folders of images, regression, classes of unequal size."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_cli import fails

import weft
from weft.__main__ import main
from weft.training import load_checkpoint, load_model

FAST = ["--epochs", "3", "--batch-size", "50", "--quiet", "--threads", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if "plots" not in request.fixturenames:  # they take longer than the training here
        for name in ("plot_history", "plot_confusion", "plot_parity"):
            monkeypatch.setattr(f"weft.training.cli.train.{name}", lambda *_, **__: None)
    threads = weft.num_threads()
    yield
    weft.set_num_threads(threads)


@pytest.fixture
def plots():
    """For the tests that draw."""


@pytest.fixture
def skewed(rng):
    """190 samples of one class and 10 of another, which one feature tells apart, with some overlap."""
    y = np.arange(200) % 20 == 0
    x = np.stack([rng.normal(2 * y, 1), rng.standard_normal(200)], axis=1).astype(np.float32)
    np.savez("skewed.npz", x_train=x, y_train=y, x_dev=x, y_dev=y, x_test=x, y_test=y)
    return "skewed.npz"


@pytest.fixture
def plane(rng):
    """A quantity in thousands, linear in four features."""
    x = rng.standard_normal((300, 4)).astype(np.float32)
    y = 50_000 + 4000 * x @ np.array([1.0, -2.0, 0.5, 0.0])
    parts = {"train": slice(200), "dev": slice(200, 250), "test": slice(250, 300)}
    np.savez("plane.npz", **{f"x_{p}": x[s] for p, s in parts.items()}, **{f"y_{p}": y[s] for p, s in parts.items()})
    return "plane.npz"


def recall(out):
    model, data = load_model(f"{out}/model.safetensors"), np.load("skewed.npz")
    return (model.predict_classes(data["x_test"]) == 1)[data["y_test"]].mean()


class TestRegression:
    OPTIONS = ["--task", "regression", "--hidden", "16", "--schedule", "none", "--lr", "0.02", "--batch-size", "20"]

    def run(self, data, *options, epochs=10):
        argv = ["train", "--data", data, *self.OPTIONS, "--epochs", str(epochs), "--threads", "1", "--out", "run"]
        return main([*argv, *options])

    def test_result(self, plane, capsys, plots):
        assert self.run(plane, "--quiet") == 0
        shown = capsys.readouterr().out
        for name in ("test MAE", "test RMSE", "test R²", "parity         run/parity.png"):
            assert name in shown
        info = json.loads(Path("run/model.json").read_text())["info"]
        assert info["test_r2"] > 0.99
        data, model = np.load(plane), load_model("run/model.safetensors")
        error = model.predict(data["x_test"])[:, 0] - data["y_test"]
        np.testing.assert_allclose(np.abs(error).mean(), info["test_mae"], rtol=1e-4)  # in the units of the data
        np.testing.assert_allclose(np.sqrt((error**2).mean()), info["test_rmse"], rtol=1e-4)
        np.testing.assert_allclose(
            1 - (error**2).sum() / ((data["y_test"] - data["y_test"].mean()) ** 2).sum(), info["test_r2"]
        )
        checkpoint = load_model("run/last.safetensors")
        np.testing.assert_array_equal(checkpoint.predict(data["x_test"]), model.predict(data["x_test"]))

    def test_resumed(self, plane, capsys):
        assert self.run(plane, "--quiet", epochs=4) == 0
        whole = load_checkpoint("run/model.safetensors", kind="model")["model"]
        assert self.run(plane, "--quiet", "--overwrite", epochs=2) == 0
        assert "--task cannot change on resuming: the run was begun with regression" in fails(
            capsys, "train", "--resume", "run", "--task", "images"
        )
        assert main(["train", "--resume", "run", "--epochs", "4", "--quiet"]) == 0
        for name, value in load_checkpoint("run/model.safetensors", kind="model")["model"].items():
            np.testing.assert_array_equal(value, whole[name])

    def test_classes_are_not_asked_for(self, plane, capsys):
        assert "weft train --task regression" in fails(capsys, "train", "--data", plane)

    @pytest.mark.parametrize("option", ["--class-weights balanced", "--balanced-sampling", "--label-smoothing 0.1"])
    def test_options_of_classes(self, plane, capsys, option):
        name = option.split()[0]
        line = fails(capsys, "train", "--data", plane, *self.OPTIONS, *option.split())
        assert line == f"weft train: {name} is for classes, got --task regression\n"

    def test_images_without_quantities(self, capsys):
        assert "`regression` is for tables and .npz files, got True for `digits`" in fails(
            capsys, "train", "--task", "regression"
        )


class TestClassesOfUnequalSize:
    @pytest.mark.parametrize("option", [["--class-weights", "balanced"], ["--balanced-sampling"]])
    def test_the_rare_one_is_found(self, skewed, option):
        assert main(["train", "--data", skewed, *FAST, "--out", "plain"]) == 0
        assert main(["train", "--data", skewed, *FAST, "--out", "even", *option]) == 0
        assert recall("plain") < 0.3
        assert recall("even") >= 0.7
        assert load_model("even/model.safetensors").class_names == ("False", "True")

    @pytest.mark.parametrize("option", [["--class-weights", "balanced"], ["--balanced-sampling"]])
    def test_resumed(self, skewed, option):
        options = ["--data", skewed, *FAST, "--schedule", "none", *option]
        assert main(["train", *options, "--out", "whole"]) == 0
        assert main(["train", *options, "--out", "halved", "--epochs", "1"]) == 0
        assert main(["train", "--resume", "halved", "--epochs", "3", "--quiet"]) == 0
        whole, halved = (
            load_checkpoint(f"{out}/model.safetensors", kind="model")["model"] for out in ("whole", "halved")
        )
        for name in whole:
            np.testing.assert_array_equal(whole[name], halved[name])

    def test_one_way_at_a_time(self, skewed, capsys):
        line = fails(capsys, "train", "--data", skewed, "--class-weights", "balanced", "--balanced-sampling")
        assert "--class-weights and --balanced-sampling each even out the classes, got both; leave one out" in line


class TestTables:
    @pytest.fixture
    def flowers(self):
        pytest.importorskip("pyarrow", reason='pip install "weft[tables]"')
        rows = [
            f"{i % 3 + i / 1000},{'wet' if i % 2 else 'dry'},{i},{('iris', 'rose', 'tulip')[i % 3]}" for i in range(90)
        ]
        with open("flowers.csv", "w") as file:
            file.write("\n".join(["size,soil,number,species", *rows]))
        return "flowers.csv"

    def test_classes(self, flowers):
        argv = ["train", "--data", flowers, "--target", "species", "--ignore", "number", "--test", "0.3", *FAST]
        assert main([*argv, "--epochs", "20", "--out", "run"]) == 0
        model = load_model("run/model.safetensors")
        assert model.info["features"] == ["size", "soil=dry", "soil=wet"]
        assert model.predict_names(np.array([[0.0, 1, 0], [2.0, 0, 1]])) == ["iris", "tulip"]
        assert (model.info["recipe"]["ignore"], model.info["recipe"]["model"]) == (["number"], "mlp")
        assert main(["train", "--resume", "run", "--quiet"]) == 0

    def test_which_column(self, flowers, capsys):
        assert "name the target: target='species' (weft train --target species)" in fails(
            capsys, "train", "--data", flowers
        )


def test_folders_of_images(rng, capsys):
    image = pytest.importorskip("PIL.Image", reason="Pillow, which comes with matplotlib")
    for name, grey in (("dark", 40), ("light", 200)):
        for i in range(20):
            Path("shades", name).mkdir(parents=True, exist_ok=True)
            image.fromarray(rng.integers(grey, grey + 40, (8, 8 + i % 2), np.uint8)).save(f"shades/{name}/{i}.png")
    assert "bring all to one size: image_size=64 (weft train --image-size 64)" in fails(
        capsys, "train", "--data", "shades"
    )
    assert main(["train", "--data", "shades", "--image-size", "8", *FAST, "--out", "run"]) == 0
    model = load_model("run/model.safetensors")
    assert (model.class_names, model.architecture["input_shape"]) == (("dark", "light"), [1, 8, 8])


def test_a_layout_that_is_asked_for(rng, capsys):
    x, y = rng.integers(0, 256, (20, 3, 8, 3), np.uint8), np.arange(20) % 2
    np.savez("odd.npz", x_train=x, y_train=y, x_dev=x, y_dev=y, x_test=x, y_test=y)
    assert "say which it is: layout='NCHW' or 'NHWC' (weft train --layout NCHW)" in fails(
        capsys, "train", "--data", "odd.npz"
    )
    assert main(["train", "--data", "odd.npz", "--layout", "NHWC", "--model", "mlp", *FAST, "--out", "run"]) == 0
    assert load_model("run/model.safetensors").architecture["input_shape"] == [3, 3, 8]


def test_help_has_an_example_of_each(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    examples = shown[shown.index("examples:") :]
    for part in (".npz", ".csv", ".parquet", "--target", "--image-size", "--task regression", "--class-weights balanced",
                 "--balanced-sampling", "--layout", "--ignore", "kmnist"):  # fmt: skip
        assert part in examples
