"""`weft export`: the file computes what the saved model does of raw inputs."""

import sys

import numpy as np
import pytest

from weft.__main__ import main
from weft.compat.onnx import export
from weft.data import PerChannel
from weft.layers import Linear
from weft.training.saved_model import build_model, load_model, save_model

runtime = pytest.importorskip("onnxruntime")
CNN = {"name": "cnn", "input_shape": [1, 12, 12], "num_classes": 3}


@pytest.fixture
def run(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 12, 12)).astype(np.uint8)
    path = tmp_path / "model.safetensors"
    save_model(path, build_model(CNN), architecture=CNN, normalizer=PerChannel().fit(images))
    return tmp_path, images


def test_normalisation_is_in_the_graph(run, capsys):
    folder, images = run
    assert main(["export", str(folder), str(folder / "m.onnx")]) == 0
    assert "m.onnx" in capsys.readouterr().out
    session = runtime.InferenceSession(str(folder / "m.onnx"), providers=["CPUExecutionProvider"])
    (got,) = session.run(["output"], {"input": images.astype(np.float32)})
    expected = load_model(folder / "model.safetensors").predict(images)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_says_which_output_is_which_class(run, capsys):
    folder, _ = run
    save_model(folder / "model.safetensors", build_model(CNN), architecture=CNN, class_names=("cat", "dog", "fox"))
    assert main(["export", str(folder), str(folder / "m.onnx")]) == 0
    assert "outputs, in this order: cat, dog, fox" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"), [(["--opset", "999"], "`opset` must be from 24 to"), (["--opset", "3"], "--opset")]
)
def test_wrong_use(options, message, run, capsys):
    folder, _ = run
    try:
        status = main(["export", str(folder), str(folder / "m.onnx"), *options])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (folder / "m.onnx").exists()


def test_without_onnx(run, capsys, monkeypatch):
    folder, images = run
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", str(folder), str(folder / "m.onnx")]) == 2
    assert 'pip install "weft[onnx]"' in capsys.readouterr().err
    with pytest.raises(ImportError, match="`export` needs onnx"):
        export(Linear(2, 2), images, folder / "m.onnx")
