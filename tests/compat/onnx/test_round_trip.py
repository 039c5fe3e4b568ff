"""Models that are written, read, trained on and written again: what both train to is the same, at any batch and length."""

import numpy as np
import pytest

import weft
from weft import layers as nn
from weft.compat.onnx import export, load
from weft.layers import models

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(0)


class Classifier(nn.Module):
    """Classes of sequences, by what a recurrent layer has at their end."""

    def __init__(self, recurrent, width):
        super().__init__()
        self.words, self.recurrent, self.classes = nn.Embedding(20, 8), recurrent, nn.Linear(width, 3)

    def forward(self, x):
        return self.classes(self.recurrent(self.words(x))[0][:, -1])


def pictures(n):
    return RNG.standard_normal((n, 3, 16, 16)).astype(np.float32)


def words(n, time):
    return RNG.integers(0, 20, (n, time))


BOTH, SMALL = {0: "batch", 1: "time"}, {"vocab_size": 20, "context": 16, "width": 16, "layers": 2, "heads": 2}
LSTM = {"batch_first": True, "num_layers": 2, "bidirectional": True}
MODELS = {
    "resnet18": (lambda: models.resnet18((3, 16, 16), 10), pictures(2), pictures(3), {0: "batch"}),
    "gpt2": (lambda: models.gpt2(**SMALL), words(2, 6), words(3, 9), BOTH),
    "bert": (lambda: models.BERT(**SMALL), words(2, 6), words(3, 9), BOTH),
    "lstm": (lambda: Classifier(nn.LSTM(8, 6, **LSTM), 12), words(2, 6), words(3, 9), BOTH),
    "gru": (lambda: Classifier(nn.GRU(8, 6, batch_first=True), 6), words(2, 6), words(3, 9), BOTH),
    "rnn": (lambda: Classifier(nn.RNN(8, 6, batch_first=True, nonlinearity="relu"), 6), words(2, 6), words(3, 9), BOTH),
}


def first(result):
    return first(result[0]) if isinstance(result, tuple) else result


def trained(model, x) -> list[float]:
    optimizer, losses = weft.optimizers.SGD(model.parameters(), lr=0.02), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (first(model(weft.asarray(x))) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_written_read_trained_on_and_written_again(name: str, tmp_path) -> None:
    make, x, then, axes = MODELS[name]
    weft.manual_seed(0)
    model, path = make().eval(), tmp_path / "m.onnx"
    export(model, weft.asarray(x), path, dynamic_axes={"input_0": axes})
    again = load(path).eval()
    np.testing.assert_allclose(
        first(again(then)).detach().numpy(), first(model(weft.asarray(then))).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    wanted = trained(model, then)
    assert wanted[-1] < wanted[0]
    np.testing.assert_allclose(trained(again, then), wanted, rtol=1e-4)
    export(again, weft.asarray(x), path, dynamic_axes={"input_0": axes})
    for a, b in zip(first(load(path)(then)).detach().numpy(), first(again(then)).detach().numpy(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_numbers_that_the_exporter_made_are_no_parameters(tmp_path) -> None:
    make, x, _, axes = MODELS["lstm"]
    export(make(), weft.asarray(x), tmp_path / "m.onnx", dynamic_axes={"input_0": axes})
    layers = [f"recurrent.weight_{kind}_l{i}" for i in (0, 1) for kind in ("ih", "hh")]
    names = dict(load(tmp_path / "m.onnx").named_parameters())
    assert all(any(of in name for of in ("weight", "bias")) for name in names)
    assert len(names) == 1 + 3 * len(layers) + 2
    assert all(p.size > 1 for p in names.values())


def test_what_pytorch_says_of_its_initialisers_holds() -> None:
    text = """<ir_version: 10, opset_import: ["" : 20]> g (float[2] x) => (float[2] y)
        <float[2] w = {1.0, 2.0}, float[2] table = {3.0, 4.0}, float[2] folded = {5.0, 6.0}, float eps = {0.5}>
        { a = Mul (x, w) b = Add (a, table) c = Mul (b, folded) y = Add (c, eps) }"""
    model = onnx.parser.parse_model(text)
    for name, kind in (("w", "PARAMETER"), ("table", "BUFFER")):
        value = model.graph.value_info.add(name=name)
        value.metadata_props.add(key="pkg.torch.export.graph_signature.InputSpec.kind", value=kind)
    net = load(model)
    assert sorted(name for name, _ in net.named_parameters()) == ["folded", "w"]
    assert sorted(name for name, _ in net.named_buffers()) == ["eps", "table"]
    plain = load(onnx.parser.parse_model(text))
    assert len(list(plain.parameters())) == 4
