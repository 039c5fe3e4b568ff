"""Graphs become modules: the node cases of the onnx package, training, and what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.compat.onnx import load, supported_operators

onnx = pytest.importorskip("onnx")
HEAD = '<ir_version: 8, opset_import: ["" : 17]> '

PASSED = {
    "Abs": 1,
    "Add": 8,
    "Identity": 3,
    "Exp": 2,
    "Flatten": 9,
    "Gemm": 11,
    "Log": 2,
    "MatMul": 7,
    "Mul": 9,
    "Neg": 2,
    "Relu": 1,
    "Sigmoid": 2,
    "Sqrt": 2,
    "Sub": 9,
    "Tanh": 2,
    "Transpose": 7,
}  # node cases by their first operator


def read(folder):
    for data in sorted(Path(folder).glob("test_data_set_*")):
        yield tuple(
            [onnx.numpy_helper.to_array(onnx.load_tensor(f)) for f in sorted(data.glob(f"{kind}_*.pb"))]
            for kind in ("input", "output")
        )


def test_node_cases() -> None:
    from onnx.backend.test.loader import load_model_tests

    passed: dict[str, int] = {}
    with warnings.catch_warnings():  # making the cases casts out of range
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        model = case.model if case.model is not None else onnx.load(f"{case.model_dir}/model.onnx")
        if {n.op_type for n in model.graph.node} - set(supported_operators()):
            with pytest.raises(NotImplementedError, match=r"operator .* \(node .*\) is not covered"):
                load(model)
            continue
        if any(i.type.WhichOneof("value") != "tensor_type" for i in model.graph.input):
            with pytest.raises(NotImplementedError, match="inputs should be tensors"):
                load(model)
            continue
        module = load(model)
        for inputs, wanted in case.data_sets or read(case.model_dir):
            got = module(*inputs).detach().numpy()
            assert (got.dtype, got.shape) == (wanted[0].dtype, wanted[0].shape), case.name
            np.testing.assert_allclose(got, wanted[0], rtol=1e-4, atol=1e-6, err_msg=case.name)
        passed[model.graph.node[0].op_type] = passed.get(model.graph.node[0].op_type, 0) + 1
    assert passed == PASSED


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
    with pytest.raises(TypeError, match="requires the inputs"):
        load(model)(z=np.ones(2, np.float32))
    model.opset_import[0].version = 6
    with pytest.raises(ValueError, match="`opset` should be at least 13"):
        load(model)
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xfenot a model")
    with pytest.raises(ValueError, match="should be an ONNX model"):
        load(tmp_path / "bad.onnx")


def test_names_with_dots_are_kept_and_taken_names_refused() -> None:
    for name, right in (("a.b", True), ("forward", False)):
        model = onnx.parser.parse_model(HEAD + "g (float[2] x) => (float[2] y) { y = Add(x, W) }")
        model.graph.node[0].input[1] = name
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), name))
        if right:
            assert list(load(model).state_dict()) == [name]
        else:
            with pytest.raises(ValueError, match="should be free in a Module"):
                load(model)
