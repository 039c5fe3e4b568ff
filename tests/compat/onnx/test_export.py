"""ONNX export against onnxruntime: the graph computes what the model does, at sizes it was not written at."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.backend.tape.autograd import PRIMITIVES
from weft.compat.onnx.export import ExportError, export
from weft.compat.onnx.export_layers import HANDLERS
from weft.layers import models

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def flat(result):
    return [result.numpy()] if isinstance(result, weft.Tensor) else [x for r in result for x in flat(r)]


def agree(model, at, then, path, axes=None, atol=1e-5, **options):
    """Written at the inputs `at`, run at `then`."""
    names = [f"input_{i}" for i in range(len(at))]
    export(model, tuple(map(weft.asarray, at)), path, dynamic_axes=axes, **options)
    got = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, dict(zip(names, then)))
    with weft.no_grad():
        expected = flat(model.eval()(*map(weft.asarray, then)))
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)


BATCH = {"input_0": {0: "batch"}}
FIRST = {
    "mlp": (lambda: models.mlp((1, 6, 6), 3), (1, 6, 6)),
    "cnn": (lambda: models.cnn((1, 12, 12), 3), (1, 12, 12)),
    "resnet18": (lambda: models.resnet18((3, 16, 16), 4), (3, 16, 16)),
    "lstm": (lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), (5, 3)),
    "gru": (lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True), (5, 3)),
    "rnn": (lambda: nn.RNN(3, 4, nonlinearity="relu", batch_first=True, bias=False), (5, 3)),
    "transformer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (5, 8)),
}


@pytest.mark.parametrize("name", FIRST)
def test_written_at_batch_2_run_at_batch_3(name, tmp_path):
    make, shape = FIRST[name]
    weft.manual_seed(0)
    agree(make(), [numbers(2, *shape)], [numbers(3, *shape)], tmp_path / "m.onnx", BATCH)
