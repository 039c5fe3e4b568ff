"""Graphs become modules: the node cases of the onnx package, training, and what is refused."""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.compat.onnx import export, load
from weft.layers import models

onnx = pytest.importorskip("onnx")
HEAD = '<ir_version: 8, opset_import: ["" : 17]> '

PASSED = Path(__file__).with_name("node_cases.json")  # node cases that hold, by their first operator


def read(folder):
    for data in sorted(Path(folder).glob("test_data_set_*")):
        yield tuple(
            [onnx.numpy_helper.to_array(onnx.load_tensor(f)) for f in sorted(data.glob(f"{kind}_*.pb"))]
            for kind in ("input", "output")
        )


def as_array(x):
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def check(case, model) -> None:
    module = load(model)
    for inputs, wanted in case.data_sets or read(case.model_dir):
        got = module(*map(as_array, inputs))
        got = got if isinstance(got, tuple) else (got,)
        for g, w in zip(got, map(as_array, wanted), strict=True):
            g = g.detach().numpy()
            assert (g.dtype, g.shape) == (w.dtype, w.shape), case.name
            is_half = g.dtype.itemsize == 2 and g.dtype.kind not in "iu"
            exact = g.dtype.kind in "biu"
            g, w = (a if exact or a.dtype.kind == "c" else a.astype(np.float64) for a in (g, w))
            np.testing.assert_allclose(
                g, w, case.rtol if not is_half else 2e-2, 1e-2 if is_half else 1e-6, err_msg=case.name
            )


def passed() -> dict[str, int]:
    """Runs all node cases: of those whose operators are covered the ones that pass by name, and all others are refused."""
    from onnx.backend.test.loader import load_model_tests

    found: dict[str, int] = {}
    refused: list[str] = []
    with warnings.catch_warnings():  # making the cases casts out of range
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        model = case.model if case.model is not None else onnx.load(f"{case.model_dir}/model.onnx")
        try:
            with warnings.catch_warnings():  # −∞ and zeros are among the numbers
                warnings.simplefilter("ignore", RuntimeWarning)
                check(case, model)
        except REFUSED as error:
            refused.append(f"{case.name}: {error}")
        else:
            operator = model.graph.node[0].op_type
            found[operator] = found.get(operator, 0) + 1
    unclear = [text for text in refused if not re.search(r"not covered|must|needs numbers", text)]
    assert unclear == []
    return found


REFUSED = (NotImplementedError, TypeError, ValueError)


def test_node_cases() -> None:
    """Those of the onnx package: right to its tolerance, or refused with a clear error; what passed once goes on to pass."""
    found, wanted = passed(), json.loads(PASSED.read_text())
    assert {name: found.get(name, 0) for name in wanted if found.get(name, 0) < wanted[name]} == {}


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (lambda: models.resnet18((3, 16, 16), 10), (1, 3, 16, 16)),
        (lambda: models.GPT2(vocab_size=11, context=8, width=16, layers=2, heads=2), (2, 8)),
    ],
    ids=["resnet18", "gpt2"],
)
def test_written_read_and_trained_on(model, shape, tmp_path) -> None:
    rng = np.random.default_rng(0)
    model = model().eval()
    x = weft.asarray(rng.integers(0, 11, shape) if len(shape) == 2 else rng.standard_normal(shape).astype(np.float32))
    export(model, (x,), tmp_path / "a.onnx")
    again = load(tmp_path / "a.onnx")
    np.testing.assert_allclose(again(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    optimizer, losses = weft.optimizers.SGD(again.parameters(), lr=1e-2), []
    for _ in range(3):
        optimizer.zero_grad()
        loss = (again(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_loaded_perceptron_trains() -> None:
    graph = "g (float[N, 3] x) => (float[N, 1] y) { h = Gemm<transB = 1>(x, W) t = Tanh(h) y = MatMul(t, V) }"
    model = onnx.parser.parse_model(HEAD + graph)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 1)).astype(np.float32)
    for name, value in (("W", first), ("V", second)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    module = load(model)
    assert list(module.state_dict()) == ["W", "V"]
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(module(x=x).detach().numpy(), np.tanh(x @ first.T) @ second, rtol=1e-5, atol=1e-6)
    optimizer = weft.optimizers.SGD(module.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (module(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_what_is_refused(tmp_path) -> None:
    model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = Relu(x) }")
    with pytest.raises(TypeError, match="must be called with the inputs"):
        load(model)(z=np.ones(2, np.float32))
    model.opset_import[0].version = 6
    with pytest.raises(ValueError, match="the opset must be at least 7"):
        load(model)
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xfenot a model")
    with pytest.raises(ValueError, match="must be an ONNX model"):
        load(tmp_path / "bad.onnx")


def test_names_with_dots_are_kept_and_taken_names_refused() -> None:
    for name, right in (("a.b", True), ("inputs", True), ("forward", False), ("_graph", False)):
        model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = Add(x, W) }")
        model.graph.node[0].input[1] = name
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), name))
        if right:
            assert list(load(model).state_dict()) == [name]
        else:
            with pytest.raises(ValueError, match="must be free in a Module"):
                load(model)


LOOP = """<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, int64 n) => (float[2] y, float[K, 2] each) {
  y, each = Loop (n, , x) <body = b (int64 i, bool go, float[2] h) => (bool on, float[2] next, float[2] kept) {
    on = Identity (go)  next = Mul (h, W)  kept = Identity (next) }> }"""
BRANCH = """<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, bool c) => (float[2] y) {
  y = If (c) <then_branch = t () => (float[2] a) { a = Mul (x, W) }, else_branch = e () => (float[2] b) { b = Neg (x) }> }"""


def with_weight(text: str) -> weft.layers.Module:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2.0, 3.0], np.float32), "W"))
    return load(model)


def test_loops_and_branches_train() -> None:
    x = np.array([1.0, -1.0], np.float32)
    module = with_weight(LOOP)
    y, each = module(x, np.asarray(3))
    assert (y.tolist(), each.tolist()) == ([8, -27], [[2, -3], [4, -9], [8, -27]])
    y.sum().backward()
    assert module.W.grad.tolist() == [12, -27]
    with pytest.raises(NotImplementedError, match="a Loop must run at least once where it collects"):
        module(x, np.asarray(0))
    module = with_weight(BRANCH)
    assert module(x, np.asarray(False)).tolist() == [-1, 1]
    module(x, np.asarray(True)).sum().backward()
    assert module.W.grad.tolist() == [1, -1]


def test_what_is_within_a_branch_is_refused_too() -> None:
    with pytest.raises(NotImplementedError, match="operator StringConcat"):
        load(onnx.parser.parse_model(BRANCH.replace("b = Neg (x)", "b = StringConcat (x, x)")))


def test_transforms_train() -> None:
    """DFT, which is a product with cosines and sines, against NumPy, and its gradient: that of Σ |X|² is 2 T x."""
    text = '<ir_version: 8, opset_import: ["" : 20]> g (float[1, 6, 1] x) => (float[1, 6, 2] y) { y = DFT (x) }'
    x = weft.asarray(np.random.default_rng(0).normal(size=(1, 6, 1)).astype(np.float32)).requires_grad_()
    y = load(onnx.parser.parse_model(text))(x)
    expected = np.fft.fft(x.detach().numpy()[0, :, 0])
    np.testing.assert_allclose(
        y.detach().numpy()[0], np.stack([expected.real, expected.imag], -1), rtol=1e-5, atol=1e-5
    )
    (y**2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 12 * x.detach().numpy(), rtol=1e-5, atol=1e-5)


if __name__ == "__main__":  # after operators were added
    PASSED.write_text(json.dumps(dict(sorted(passed().items())), indent=0) + "\n")
